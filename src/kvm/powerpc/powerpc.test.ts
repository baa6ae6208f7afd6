import { describe, expect, it } from "vitest";
import { PaprMachine } from "../../conform/papr-machine.js";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { PhysicalXics } from "../../host/xics/physical-xics.js";
import { XicsHost } from "../../host/xics/xics-host.js";
import { H_CPPR, H_EOI, H_XIRR } from "../../irqchip/xics/constants.js";
import { run, type Step } from "../../sim/step.js";
import { EINVAL, ENOTTY } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { KVM_INTERRUPT_SET, KVM_INTERRUPT_SET_LEVEL, KVM_INTERRUPT_UNSET } from "../../uapi/powerpc.js";
import { PpcE500 } from "./e500.js";
import { EXTERNAL_VECTOR, PpcExit, type PpcGuestCpu } from "./guest.js";
import { H_CEDE } from "./hypercall.js";
import { PpcModule } from "./module.js";
import { PpcVcpuFile } from "./vcpu-ioctl.js";
import type { PpcVcpu } from "./vcpu.js";
import { VcpuThread } from "../vcpu-thread.js";

const OPEN = 0;
const IDLE = 1;
const HANDLER = EXTERNAL_VECTOR;
const HANDLER_END = EXTERNAL_VECTOR + 1;
const AFTER = EXTERNAL_VECTOR + 2;

/** Opens its priority, cedes for ever; its handler accepts, notes, ends, returns. A table of operations and a counter. */
class IdleGuest implements PpcGuestCpu {
  readonly taken: number[] = [];

  *run(vcpu: PpcVcpu): Step<PpcExit> {
    for (;;) {
      const isInterrupted = yield* vcpu.isInterrupted();
      if (isInterrupted) return PpcExit.EXTERNAL;
      vcpu.takeExternal();
      const isServed = yield* this.step(vcpu);
      if (!isServed) return PpcExit.SYSCALL;
    }
  }

  /** One operation: a hypercall, whose result the next one finds. False: it exits. */
  private *step(vcpu: PpcVcpu): Step<boolean> {
    const { regs } = vcpu;
    switch (regs.pc) {
      case OPEN:
        regs.pc = IDLE;
        return yield* this.call(vcpu, H_CPPR, 0xff);
      case IDLE:
        return yield* this.call(vcpu, H_CEDE, 0);
      case HANDLER:
        regs.pc = HANDLER_END;
        return yield* this.call(vcpu, H_XIRR, 0);
      case HANDLER_END:
        this.taken.push(regs.lo[4] & 0xff_ffff);
        regs.pc = AFTER;
        return yield* this.call(vcpu, H_EOI, regs.lo[4] >>> 0);
      default:
        regs.interruptReturn();
        return true;
    }
  }

  private *call(vcpu: PpcVcpu, number: number, r4: number): Step<boolean> {
    vcpu.regs.set(3, number);
    vcpu.regs.set(4, r4);
    return yield* vcpu.hypercall();
  }
}

function idle(realMode: boolean): { m: PaprMachine; vcpu: PpcVcpu; guest: IdleGuest } {
  const m = new PaprMachine({ servers: [0], realMode });
  run(m.start());
  const { vcpu } = m.cpus[0];
  const guest = new IdleGuest();
  vcpu.guest = guest;
  run(m.setSource(0x1001, 5, 0));
  return { m, vcpu, guest };
}

describe.each([false, true])("a guest on POWER, real mode %s", (realMode) => {
  it("cedes, is woken by each message of an irqfd, takes and ends it, and cedes again", () => {
    const { m, vcpu, guest } = idle(realMode);
    const fd = m.eventfd();
    run(m.irqfd(fd, 0x1001));
    expect([run(m.run(0)), vcpu.hasCeded]).toEqual([null, true]); // it sleeps in KVM_RUN
    for (let i = 0; i < 3; i++) run(m.signal(fd));
    expect([guest.taken, vcpu.hasCeded, vcpu.stat.haltWakeup, vcpu.stat.externals]).toEqual([[0x1001, 0x1001, 0x1001], true, 3, 3]);
    // Each message: one H_CEDE exits; H_XIRR and H_EOI do where real mode has not them.
    expect(vcpu.stat.hypercallExits).toBe(realMode ? 4 : 11);
  });

  it("finds what came before it ceded", () => {
    const { m, guest } = idle(realMode);
    run(m.line(0x1001, 1));
    run(m.run(0));
    expect(guest.taken).toEqual([0x1001]);
  });

  it("a signal ends its sleep with EINTR, and the next KVM_RUN goes on sleeping", () => {
    const { m, vcpu, guest } = idle(realMode);
    run(m.run(0));
    const { thread } = m.cpus[0];
    run(thread.signal(10));
    run(m.sim.settle());
    expect([thread.result, vcpu.hasCeded]).toEqual([-4, true]);
    run(thread.consume(10));
    expect(run(m.run(0))).toBe(null);
    run(m.line(0x1001, 1));
    expect(guest.taken).toEqual([0x1001]);
  });
});

describe("a VM on POWER", () => {
  it("has no routes to set and no messages to signal, and says so", () => {
    const m = new PaprMachine();
    run(m.start());
    const has = (capability: number): number => run(m.ioctl(m.vmFd, K.KVM_CHECK_EXTENSION, capability));
    expect([K.KVM_CAP_IRQ_ROUTING, K.KVM_CAP_SIGNAL_MSI, K.KVM_CAP_IRQ_MPIC, K.KVM_CAP_PPC_IRQ_XIVE].map(has)).toEqual([0, 0, 0, 0]);
    expect([K.KVM_CAP_IRQ_XICS, K.KVM_CAP_PPC_RTAS, K.KVM_CAP_IRQFD, K.KVM_CAP_IRQFD_RESAMPLE].map(has)).toEqual([1, 1, 1, 1]);
    expect([run(m.ioctl(m.vmFd, K.KVM_SET_GSI_ROUTING, 0)), run(m.ioctl(m.vmFd, K.KVM_SIGNAL_MSI, 0)), run(m.ioctl(m.vmFd, K.KVM_CREATE_IRQCHIP, 0))]).toEqual([-ENOTTY, -ENOTTY, -ENOTTY]);
    expect(run(m.ioctl(m.vmFd, K.KVM_CREATE_VCPU, 1 << 20))).toBe(-EINVAL);
  });

  it("an irqfd before there is a controller is EAGAIN", () => {
    const m = new PaprMachine({ hasXics: false });
    run(m.start());
    expect(run(m.irqfd(m.eventfd(), 0x1001))).toBe(-11);
  });
});

/** Loads a word of a register, then spins. */
class LoadGuest implements PpcGuestCpu {
  constructor(private readonly address: number) {}

  *run(vcpu: PpcVcpu): Step<PpcExit> {
    if (vcpu.regs.pc === 0) {
      vcpu.regs.pc = 4;
      vcpu.trap.address = this.address;
      return PpcExit.DATA_STORAGE;
    }
    const isInterrupted = yield* vcpu.isInterrupted();
    return isInterrupted ? PpcExit.EXTERNAL : PpcExit.IDLE;
  }
}

class OnceThread extends VcpuThread {
  result: number | null = null;
  override *userspace(result: number): Step<boolean> {
    this.result = result;
    return false;
  }
}

/** Spins with external interrupts enabled or not; what its handler finds in EPR is noted, and that is the end of it. */
class ProxyGuest implements PpcGuestCpu {
  readonly found: number[] = [];

  *run(vcpu: PpcVcpu): Step<PpcExit> {
    const { regs } = vcpu;
    if (regs.pc === HANDLER) {
      this.found.push(regs.epr);
      regs.interruptReturn();
    }
    const isInterrupted = yield* vcpu.isInterrupted();
    if (isInterrupted) return PpcExit.EXTERNAL;
    vcpu.takeExternal();
    return regs.pc === HANDLER ? PpcExit.EXTERNAL : PpcExit.IDLE;
  }
}

describe("an e500 whose controller is user space's (mpic.md 5.9)", () => {
  function proxy(enables: boolean) {
    const m = new KvmMachine({ arch: new PpcE500(), host: (sim) => new PpcModule(new XicsHost(sim, new PhysicalXics(2))) });
    const vm = m.createVm();
    const fd = m.ioctl(vm, K.KVM_CREATE_VCPU, 0);
    const file = m.process.file(fd);
    if (!(file instanceof PpcVcpuFile)) throw new Error("no vCPU");
    const { vcpu } = file;
    const guest = new ProxyGuest();
    vcpu.guest = guest;
    vcpu.regs.isEnabled = true;
    const enable = (flag: number): number =>
      m.ioctlOn(fd, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
        K.kvm_enable_cap.cap.set(view, K.KVM_CAP_PPC_EPR);
        K.kvm_enable_cap.args[0].setNumber(view, flag);
      });
    if (enables) expect(enable(1)).toBe(0);
    const thread = new OnceThread(vcpu, m.process, fd, 1); // not on the CPU of whoever interrupts
    const enter = (): number | null => {
      thread.result = null;
      m.sim.wake(thread, 0);
      m.settle();
      return thread.result;
    };
    const interrupt = (level: number): number => m.ioctlOn(fd, K.KVM_INTERRUPT, K.kvm_interrupt, (view) => K.kvm_interrupt.irq.set(view, level));
    const { memory } = m.process;
    const reason = (): number => memory.getU32(vcpu.runAddress + K.kvm_run.exit_reason.offset);
    const answer = (vector: number): void => memory.setU32(vcpu.runAddress + K.kvm_run.epr.epr.offset, vector);
    return { vcpu, guest, thread, enter, interrupt, reason, answer, enable };
  }

  it("each external interrupt that the guest takes exits with KVM_EXIT_EPR; the next KVM_RUN shows it the vector", () => {
    const { vcpu, guest, thread, enter, interrupt, reason, answer } = proxy(true);
    expect([enter(), interrupt(KVM_INTERRUPT_SET)]).toEqual([null, 0]); // while it runs
    expect([thread.result, reason(), vcpu.regs.pc, guest.found]).toEqual([0, K.KVM_EXIT_EPR, HANDLER, []]);
    answer(0x77);
    expect([enter(), guest.found, vcpu.external]).toEqual([null, [0x77], false]);
  });

  it("one that waits exits as the guest enables interrupts; a level stays until it is lowered", () => {
    const { vcpu, guest, thread, enter, interrupt, reason, answer } = proxy(true);
    vcpu.regs.isEnabled = false;
    interrupt(KVM_INTERRUPT_SET_LEVEL);
    expect([enter(), guest.found]).toEqual([null, []]);
    vcpu.regs.isEnabled = true;
    expect([interrupt(KVM_INTERRUPT_SET_LEVEL), thread.result, reason()]).toEqual([0, 0, K.KVM_EXIT_EPR]);
    answer(0x78);
    expect([enter(), reason(), guest.found, vcpu.external]).toEqual([0, K.KVM_EXIT_EPR, [0x78], true]);
    interrupt(KVM_INTERRUPT_UNSET);
    answer(0x79);
    expect([enter(), guest.found]).toEqual([null, [0x78, 0x79]]);
  });

  it("not enabled, or disabled again, the guest takes it without an exit", () => {
    const { vcpu, guest, thread, enter, interrupt, enable } = proxy(true);
    expect(enable(0)).toBe(0);
    enter();
    interrupt(KVM_INTERRUPT_SET);
    expect([thread.result, guest.found, vcpu.stat.externals]).toEqual([null, [0], 1]);
    const bare = proxy(false);
    bare.interrupt(KVM_INTERRUPT_SET);
    expect([bare.enter(), bare.guest.found]).toEqual([null, [0]]);
  });
});

describe("a guest of an e500", () => {
  it("reads the MPIC in the kernel, and what nobody has in user space, in its own order of bytes", () => {
    const m = new KvmMachine({ arch: new PpcE500(), host: (sim) => new PpcModule(new XicsHost(sim, new PhysicalXics(2))) });
    const vm = m.createVm();
    const device = m.createDevice(vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    m.setAttr(device, 1, 0, [0xe004_0000, 0]);
    const start = (id: number, address: number): { vcpu: PpcVcpu; thread: OnceThread } => {
      const fd = m.ioctl(vm, K.KVM_CREATE_VCPU, id);
      const file = m.process.file(fd);
      if (!(file instanceof PpcVcpuFile)) throw new Error("no vCPU");
      file.vcpu.guest = new LoadGuest(address);
      const thread = new OnceThread(file.vcpu, m.process, fd, id);
      m.sim.wake(thread, 0);
      m.settle();
      return { vcpu: file.vcpu, thread };
    };
    const inKernel = start(0, 0xe004_0000);
    expect([inKernel.thread.result, inKernel.vcpu.trap.value, inKernel.vcpu.stat.mmioExitKernel]).toEqual([null, 0x0040_0200, 1]);
    const inUser = start(1, 0xd000_0000);
    const { memory } = m.process;
    const at = inUser.vcpu.runAddress + K.kvm_run.mmio.data.offset;
    expect([inUser.thread.result, memory.getU32(inUser.vcpu.runAddress + K.kvm_run.exit_reason.offset)]).toEqual([0, K.KVM_EXIT_MMIO]);
    for (const [i, byte] of [0x12, 0x34, 0x56, 0x78].entries()) memory.setU8(at + i, byte);
    m.sim.wake(inUser.thread, 0);
    m.settle();
    expect(inUser.vcpu.trap.value).toBe(0x1234_5678);
  });
});
