import { describe, expect, it } from "vitest";
import { PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET } from "../kvm/arm64/psci.js";
import { run } from "../sim/step.js";
import { E2BIG, EBUSY, EEXIST, EFAULT, EINTR, EINVAL, EIO, ENOENT, ENOEXEC } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { DEVICE, GuestMachine, RAM } from "../explore/stages/guest-machine.js";
import type { Assembler } from "./op.js";
import { writeHvc } from "./software.js";

const PC = 0x0010_0040;
const X5 = 0x0010_000a;
const MPIDR = 0x0013_c005;
const POWER_OFF = 1;
const PSCI_0_2 = 1 << 2;
const RAM_HVA = 0x7f00_0000_0000;

const vmOfItsOwn = (m: GuestMachine): number => m.ioctl(m.kvm, K.KVM_CREATE_VM, 0);
const vcpu = (m: GuestMachine, vm: number, id: number): number => m.ioctl(vm, K.KVM_CREATE_VCPU, id);

describe("system and VM requests (host-irq.md 8.5)", () => {
  it("vector 70: GET_API_VERSION", () => {
    const m = new GuestMachine();
    expect(m.ioctl(m.kvm, K.KVM_GET_API_VERSION, 0)).toBe(12);
    expect(m.ioctl(m.kvm, K.KVM_GET_API_VERSION, 1)).toBe(-EINVAL);
  });

  it("vector 71: CREATE_VM takes 0 and the IPA sizes the host has", () => {
    const m = new GuestMachine();
    const create = (type: number): number => m.ioctl(m.kvm, K.KVM_CREATE_VM, type);
    expect(create(0)).toBeGreaterThan(0);
    expect(create(40)).toBeGreaterThan(0);
    expect([create(31), create(0x100)]).toEqual([-EINVAL, -EINVAL]);
  });

  it("vector 72: CREATE_VCPU refuses an id that exists and ids beyond the limit", () => {
    const m = new GuestMachine();
    const vm = vmOfItsOwn(m);
    expect(vcpu(m, vm, 0)).toBeGreaterThan(0);
    expect([vcpu(m, vm, 0), vcpu(m, vm, 512), vcpu(m, vm, 2 ** 32)]).toEqual([-EEXIST, -EINVAL, -EINVAL]);
    expect(vcpu(m, vm, 511)).toBeGreaterThan(0);
  });

  it("vector 73: with an initialised vGIC even an existing id is EBUSY", () => {
    const m = new GuestMachine();
    expect(vcpu(m, m.vmFd, 0)).toBe(-EBUSY);
  });

  it("vector 74: closing the descriptor does not free the id (K27)", () => {
    const m = new GuestMachine();
    const vm = vmOfItsOwn(m);
    const fd = vcpu(m, vm, 0);
    expect(run(m.process.close(fd))).toBe(0);
    expect(vcpu(m, vm, 0)).toBe(-EEXIST);
  });

  it("vector 75: KVM_RUN works after the VM's descriptor is closed", () => {
    const m = new GuestMachine().boot();
    expect(run(m.process.close(m.vmFd))).toBe(0);
    run(m.threads[0].signal(10));
    m.settle();
    expect(m.threads[0].results.at(-1)).toBe("-4:10");
    run(m.threads[0].consume(10));
    m.sim.wake(m.threads[0], 0);
    m.settle();
    expect(m.threads[0].results.length).toBe(m.threads[0].results.indexOf("-4:10") + 1);
  });

  it("vectors 81 to 83: memory slots", () => {
    const m = new GuestMachine();
    const vm = vmOfItsOwn(m);
    const set = (slot: number, gpa: number, size: number, hva = RAM_HVA, flags = 0): number => m.setMemory(slot, gpa, size, hva, flags, vm);
    const size = 0x20_0000;
    expect(set(0, 0x4000_0000, size)).toBe(0);
    expect(set(1, 0x4010_0000, size)).toBe(-EEXIST);
    expect(set(0, 0x4000_0000, size)).toBe(0);
    expect(set(0, 0x4000_0000, size, RAM_HVA + 0x1000)).toBe(-EINVAL);
    expect(set(0, 0x4000_0000, size, RAM_HVA, K.KVM_MEM_READONLY)).toBe(-EINVAL);
    expect(set(0, 0x4000_0000, 0)).toBe(0);
    expect(set(0, 0x4000_0000, 0)).toBe(-EINVAL);
    expect(set(0, 0x4000_0001, size)).toBe(-EINVAL);
    expect(set(0, 0x4000_0000, 0x1001)).toBe(-EINVAL);
    expect(set(0, 2 ** 40, size)).toBe(-EFAULT);
    expect(set(0x10000, 0x4000_0000, size)).toBe(-EINVAL);
    expect(set(32767, 0x4000_0000, size)).toBe(-EINVAL);
    expect(set(32766, 0x4000_0000, size)).toBe(0);
  });

  it("slots move, and only where nothing else is", () => {
    const m = new GuestMachine();
    const vm = vmOfItsOwn(m);
    const set = (slot: number, gpa: number): number => m.setMemory(slot, gpa, 0x1000, RAM_HVA, 0, vm);
    expect([set(0, 0x1000), set(1, 0x3000), set(0, 0x3000), set(0, 0x2000), set(2, 0x1000)]).toEqual([0, 0, -EEXIST, 0, 0]);
  });
});

describe("vCPU requests (host-irq.md 8.5)", () => {
  it("vector 76: KVM_RUN before VCPU_INIT, and with an argument", () => {
    const m = new GuestMachine();
    const fd = vcpu(m, vmOfItsOwn(m), 0);
    expect(m.ioctl(fd, K.KVM_RUN, 0)).toBe(-ENOEXEC);
    expect(m.ioctl(fd, K.KVM_RUN, 1)).toBe(-EINVAL);
  });

  it("vector 77: VCPU_INIT checks target, unknown features, and pairs", () => {
    const m = new GuestMachine();
    const fd = vcpu(m, vmOfItsOwn(m), 0);
    expect(m.init(fd, 0, 0)).toBe(-EINVAL);
    const view = new DataView(new ArrayBuffer(K.kvm_vcpu_init.size));
    K.kvm_vcpu_init.target.set(view, 5);
    K.kvm_vcpu_init.features[1].set(view, 1);
    expect(m.call(fd, K.KVM_ARM_VCPU_INIT, view)).toBe(-ENOENT);
    expect([m.init(fd, 1 << 9), m.init(fd, 1 << 5)]).toEqual([-ENOENT, -EINVAL]);
  });

  it("vectors 78 and 79: one feature set for a VM, POWER_OFF apart; MP_STATE", () => {
    const m = new GuestMachine();
    const vm = vmOfItsOwn(m);
    const fds = [vcpu(m, vm, 0), vcpu(m, vm, 1)];
    expect(m.init(fds[0], PSCI_0_2)).toBe(0);
    expect(m.init(fds[1], PSCI_0_2 | POWER_OFF)).toBe(0);
    expect(m.init(fds[1], 0)).toBe(-EINVAL);
    expect(m.getMpState(fds[1])).toBe(5);
    expect(m.setMpState(fds[1], 3)).toBe(-EINVAL);
    expect(m.getMpState(fds[0])).toBe(0);
  });

  it("vector 80: ONE_REG before init, of another architecture, unknown, of a wrong size; MPIDR", () => {
    const m = new GuestMachine();
    const vm = vmOfItsOwn(m);
    const fd = vcpu(m, vm, 0);
    const other = vcpu(m, vm, 1);
    expect(m.getReg(fd, PC)).toBe(-ENOEXEC);
    m.init(fd, 0);
    m.init(other, 0);
    expect(m.getReg(fd, 0, 0)).toBe(-EINVAL);
    expect(m.getReg(fd, 0x0010_0ffe)).toBe(-ENOENT);
    expect(m.getReg(fd, PC, 0x6020_0000)).toBe(-EINVAL);
    expect(m.getReg(other, MPIDR)).toBe(0x8000_0001);
    expect(m.setReg(fd, PC, 0x1_2345_6780)).toBe(0);
    expect(m.getReg(fd, PC)).toBe(0x1_2345_6780);
  });

  it("GET_REG_LIST says how many there are, then lists ids that GET_ONE_REG knows", () => {
    const m = new GuestMachine();
    const { memory } = m.process;
    const at = 0x10000;
    memory.setU64(at, 0);
    expect(m.ioctl(m.fds[0], K.KVM_GET_REG_LIST, at)).toBe(-E2BIG);
    const n = memory.getU64(at);
    expect(m.ioctl(m.fds[0], K.KVM_GET_REG_LIST, at)).toBe(0);
    const ids = Array.from({ length: n }, (_, i) => [memory.getU32(at + 8 + 8 * i), memory.getU32(at + 12 + 8 * i)]);
    for (const [lo, hi] of ids) expect(m.getReg(m.fds[0], lo, hi)).toBeGreaterThanOrEqual(0);
  });

  it("vector 89: the mapping has two pages, and nothing behind them", () => {
    const m = new GuestMachine({ vcpus: 2 });
    expect(m.ioctl(m.kvm, K.KVM_GET_VCPU_MMAP_SIZE, 0)).toBe(8192);
    const address = run(m.process.mmap(m.fds[0], 3 * 4096, 0));
    expect(m.process.memory.isWritable(address, 8192)).toBe(true);
    expect(m.process.memory.isReadable(address + 8192, 1)).toBe(false);
  });

  it("another address space gets EIO; another type of request EINVAL", () => {
    const m = new GuestMachine();
    const file = m.process.file(m.fds[0]);
    const stranger = new GuestMachine().process;
    if (file === null) throw new Error("no file");
    expect(run(file.ioctl(stranger, K.KVM_RUN, 0))).toBe(-EIO);
    expect(m.ioctl(m.fds[0], 0x3b80, 0)).toBe(-EINVAL);
  });
});

const load = (code: Assembler): void => void code.load(DEVICE, 5);

/** A machine whose guest stops at its first user exit after set-up. */
function stopped(main: (code: Assembler) => void): GuestMachine {
  const m = new GuestMachine({ guest: { main } });
  const { [0]: thread } = m.threads;
  thread.goesOn = true;
  m.sim.wake(thread, 0);
  const userspace = thread.userspace.bind(thread);
  thread.userspace = function* (result: number) {
    const goesOn = yield* userspace(result);
    const isDevice = m.process.memory.getU64(m.vcpus[0].runAddress + K.kvm_run.mmio.phys_addr.offset) === DEVICE;
    return goesOn && !isDevice;
  };
  m.settle();
  return m;
}

describe("KVM_RUN (host-irq.md 4.5)", () => {
  it("vectors 84 and 85: an MMIO load goes to user space and is completed once, also by a run that ends at once (K26)", () => {
    const m = stopped(load);
    const { memory } = m.process;
    const at = m.vcpus[0].runAddress;
    const { mmio, exit_reason, immediate_exit } = K.kvm_run;
    expect(m.threads[0].results.at(-1)).toBe("0:6");
    expect([memory.getU64(at + mmio.phys_addr.offset), memory.getU32(at + mmio.len.offset), memory.getU8(at + mmio.is_write.offset)]).toEqual([
      DEVICE, 4, 0,
    ]);
    const pc = m.getReg(m.fds[0], PC);
    memory.setU32(at + mmio.data.offset, 0x1122_3344);
    memory.setU8(at + immediate_exit.offset, 1);
    m.sim.wake(m.threads[0], 0);
    m.settle();
    expect(m.threads[0].results.at(-1)).toBe(`${-EINTR}:6`);
    expect(memory.getU32(at + exit_reason.offset)).toBe(6);
    expect([m.getReg(m.fds[0], X5), m.getReg(m.fds[0], PC)]).toEqual([0x1122_3344, pc + 4]);
    memory.setU8(at + immediate_exit.offset, 0);
    m.sim.wake(m.threads[0], 0);
    m.settle();
    expect(m.vcpus[0].regs.pc).toBe(pc + 4);
    expect(m.vcpus[0].regs.xLo[5]).toBe(0x1122_3344);
  });

  it("vector 86: a pending signal ends KVM_RUN before any guest instruction", () => {
    const m = new GuestMachine();
    run(m.threads[0].signal(10));
    m.sim.wake(m.threads[0], 0);
    m.settle();
    expect(m.threads[0].results).toEqual([`${-EINTR}:10`]);
    expect(m.vcpus[0].stat).toMatchObject({ signalExits: 1, exits: 0 });
    expect(m.vcpus[0].regs.pc).toBe(RAM);
  });

  it("K29: immediate_exit is read once, at the start: without a signal the vCPU runs on", () => {
    const m = new GuestMachine().boot();
    const before = m.threads[0].results.length;
    m.process.memory.setU8(m.vcpus[0].runAddress + K.kvm_run.immediate_exit.offset, 1);
    run(m.vcpus[0].requestIrqPending());
    m.settle();
    expect(m.threads[0].results.length).toBe(before);
    run(m.threads[0].signal(10));
    m.settle();
    expect(m.threads[0].results.at(-1)).toBe(`${-EINTR}:10`);
  });

  it("vector 87: a second thread's KVM_RUN waits until the first returns", () => {
    const m = new GuestMachine().boot();
    const [first] = m.threads;
    const second = m.anotherThread(0);
    m.sim.wake(second, 1000);
    m.sim.wake(m.later(() => first.signal(10)), 5000);
    const before = first.results.length;
    m.settle();
    expect(first.results.length).toBe(before + 1);
    expect(second.results).toEqual([]);
    expect(m.vcpus[0].thread).toBe(second);
  });

  for (const [name, call, type] of [["SYSTEM_OFF", PSCI_SYSTEM_OFF, 1], ["SYSTEM_RESET", PSCI_SYSTEM_RESET, 2]] as const)
    it(`vector 88: PSCI ${name} stops every vCPU and returns to user space`, () => {
      const main = (code: Assembler, index: number): void => void (index === 0 && writeHvc(code.delay(1000, 20), call));
      const m = new GuestMachine({ vcpus: 2, guest: { main } });
      for (const thread of m.threads) m.sim.wake(thread, 0);
      m.settle();
      expect(m.threads[0].results.at(-1)).toBe("0:24");
      const { memory } = m.process;
      const at = m.vcpus[0].runAddress;
      expect([memory.getU32(at + 32), memory.getU32(at + 36), memory.getU64(at + 40)]).toEqual([type, 1, 0]);
      expect(m.getMpState(m.fds[0])).toBe(5);
      expect(m.vcpus[1].isPoweredOff).toBe(true);
    });
});
