import { describe, expect, it } from "vitest";
import { binding } from "./bindings.js";
import { run, type Step } from "../sim/step.js";
import { DEVICE, DISTRIBUTOR, GuestMachine } from "../explore/stages/guest-machine.js";
import { type Assembler, Label, Op } from "./op.js";
import { writeSgi } from "./software.js";

const BAR_HVA = 0x7e00_0000_0000;
const EDGE = [{ intid: 40, trigger: "edge" }] as const;

describe("exits per interrupt (host-irq.md 3.6)", () => {
  it("KVM_IRQ_LINE edge, guest running: 1 IRQ exit, 1 IPI0", () => {
    const m = new GuestMachine({ guest: { spis: EDGE } }).boot();
    for (let i = 0; i < 10; i++) {
      m.pulse(40);
      m.settle();
    }
    expect(m.since).toEqual({ exits: 10, IRQ: 10, IPI0: 10, hostIrqs: 10, acks: 10 });
  });

  it("KVM_IRQ_LINE edge, guest in WFI: 1 WFx exit, IPI1, halt_wakeup", () => {
    const m = new GuestMachine({ guest: { spis: EDGE, idle: "wfi" } }).boot();
    for (let i = 0; i < 10; i++) {
      m.pulse(40);
      m.settle();
    }
    expect(m.since).toEqual({ exits: 10, WFx: 10, haltWakeup: 10, IPI1: 10, hostIrqs: 10, acks: 10 });
  });

  for (const idle of ["spin", "wfi"] as const)
    it(`level by a user-space device, acknowledged by MMIO, guest ${idle}: 3 exits`, () => {
      const guest = { spis: [{ intid: 41, trigger: "level" }], devices: [binding(41, DEVICE)], idle } as const;
      const m = new GuestMachine({ guest }).boot();
      m.threads[0].onWrite = function* () {
        yield* m.setLine(41, 0);
      };
      for (let i = 0; i < 10; i++) {
        m.irqLine(41, 1);
        m.settle();
      }
      const common = { exits: 30, DABT: 10, mmioUser: 10, hostIrqs: 10, acks: 10 };
      expect(m.since).toEqual(idle === "spin" ? { ...common, IRQ: 20, IPI0: 10 } : { ...common, WFx: 10, IRQ: 10, IPI1: 10, haltWakeup: 10 });
    });

  it("GICv2, edge: as on GICv3", () => {
    const m = new GuestMachine({ version: 2, guest: { spis: EDGE } }).boot();
    m.pulse(40);
    m.settle();
    expect(m.since).toEqual({ exits: 1, IRQ: 1, IPI0: 1, hostIrqs: 1, acks: 1 });
  });

  it("level by a device whose registers are mapped: its service is no exit, only kick and EOI maintenance", () => {
    const m = new GuestMachine({ guest: { spis: [{ intid: 41, trigger: "level" }], devices: [binding(41, DEVICE, { accessesPerService: 3 })] } });
    const written: number[] = [];
    const region = {
      *read(): Step<number> {
        return 0;
      },
      *write(offset: number, _size: number, value: number): Step<void> {
        written.push(offset, value);
        if (written.length === 6) yield* m.setLine(41, 0);
      },
    };
    m.process.memory.map(BAR_HVA, 0x1000, { region, regionOffset: 0x100 });
    expect(m.setMemory(1, DEVICE, 0x1000, BAR_HVA)).toBe(0);
    m.boot();
    m.irqLine(41, 1);
    m.settle();
    expect(written).toEqual([0x100, 1, 0x100, 1, 0x100, 1]);
    expect(m.since).toEqual({ exits: 2, IRQ: 2, IPI0: 1, hostIrqs: 1, acks: 1 });
  });

  for (const version of [2, 3] as const)
    it(`SGI to another vCPU, GICv${version}: a trap at the sender and an IRQ at the target`, () => {
      const gic = { version, distributor: DISTRIBUTOR };
      const main = (code: Assembler, vcpu: number): void => {
        code.delay(10_000, 20);
        for (let i = 0; i < 10 && vcpu === 0; i++) writeSgi(code.delay(1000, 20), gic, 3, 1);
      };
      const m = new GuestMachine({ version, vcpus: 2, guest: { main } });
      for (const thread of m.threads) m.sim.wake(thread, 0);
      run(m.sim.runUntil(5000));
      m.zero();
      m.settle();
      const trap = version === 3 ? { SYSREG: 10 } : { DABT: 10, mmioKernel: 10 };
      expect(m.since).toEqual({ exits: 20, IRQ: 10, ...trap, IPI0: 10, hostIrqs: 10, acks: 10 });
    });

  it("K28: one SGI from two vCPUs of a GICv2 is two interrupts, each ended with its own source", () => {
    const gic = { version: 2, distributor: DISTRIBUTOR } as const;
    const main = (code: Assembler, vcpu: number): void => {
      code.delay(10_000, 20);
      if (vcpu > 0) writeSgi(code, gic, 1, 0);
    };
    const m = new GuestMachine({ version: 2, vcpus: 3, guest: { main } });
    for (const thread of m.threads) m.sim.wake(thread, 0);
    m.settle();
    expect(m.software.guest.stats.acknowledged).toBe(2);
    expect(m.trace.lines("guest_eoi")).toEqual(["guest_eoi(0,1)", "guest_eoi(0,1)"]);
    const irq = m.vgic.dist.irq(m.vgic.dist.cpus[0], 1);
    expect([irq?.active, irq?.source]).toEqual([false, 0]);
  });

  for (const idle of ["spin", "wfi"] as const)
    it(`irqfd, edge, guest ${idle}: as KVM_IRQ_LINE`, () => {
      const m = new GuestMachine({ guest: { spis: EDGE, idle } }).boot();
      const fd = m.irqfd(8);
      for (let i = 0; i < 10; i++) m.signal(fd);
      const common = { exits: 10, hostIrqs: 10, acks: 10 };
      expect(m.since).toEqual(idle === "spin" ? { ...common, IRQ: 10, IPI0: 10 } : { ...common, WFx: 10, IPI1: 10, haltWakeup: 10 });
    });

  for (const idle of ["spin", "wfi"] as const)
    it(`irqfd with resamplefd, level, guest ${idle}: kick and EOI maintenance; PPI 25 is never taken`, () => {
      const m = new GuestMachine({ guest: { spis: [{ intid: 41, trigger: "level" }], idle } }).boot();
      const fd = m.irqfd(9, true);
      for (let i = 0; i < 10; i++) m.signal(fd);
      const common = { exits: 20, hostIrqs: 10, acks: 10 };
      expect(m.since).toEqual(idle === "spin" ? { ...common, IRQ: 20, IPI0: 10 } : { ...common, WFx: 10, IRQ: 10, IPI1: 10, haltWakeup: 10 });
    });

  it("EOImode 1: GICV serves DIR without an exit, a GICv3 host traps it (gic-v3.md A9.3, A9.10)", () => {
    for (const version of [2, 3] as const) {
      const m = new GuestMachine({ version, guest: { spis: EDGE, eoiMode: 1 } }).boot();
      for (let i = 0; i < 10; i++) {
        m.pulse(40);
        m.settle();
      }
      const common = { IRQ: 10, IPI0: 10, hostIrqs: 10, acks: 10 };
      expect(m.since).toEqual(version === 2 ? { ...common, exits: 10 } : { ...common, exits: 20, SYSREG: 10 });
    }
  });

  for (const idle of ["spin", "wfi"] as const)
    it(`virtual timer, guest ${idle}: 1 exit; PPI 27 only while it runs; the EOI costs nothing`, () => {
      const m = new GuestMachine({ guest: { idle, ppis: [27], main: startTimer, onInterrupt: rearmTimer } });
      m.sim.wake(m.threads[0], 0);
      run(m.sim.runUntil(5000));
      m.zero();
      m.settle();
      expect(m.since).toEqual(
        idle === "spin" ? { exits: 10, IRQ: 10, hostIrqs: 10, acks: 10 } : { exits: 10, WFx: 10, haltWakeup: 10, acks: 10 },
      );
      expect(m.gic.isActive(1, 27)).toBe(false);
    });
});

function startTimer(code: Assembler): void {
  code.op(Op.MOV, 20, 10).timer(10_000);
}

/** Ten times in all. */
function rearmTimer(code: Assembler): void {
  const off = new Label();
  const end = new Label();
  code.op(Op.SUB, 20, 1).branchIf(Op.CBZ, 20, off).timer(10_000).branch(end);
  code.place(off).timer(-1).place(end);
}
