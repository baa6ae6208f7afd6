import { describe, expect, it } from "vitest";
import { EFAULT, EINVAL } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import { LAPIC, SPIV, X86Machine } from "../../explore/stages/x86-machine.js";

const TPR = LAPIC + 0x80;
const PPR = LAPIC + 0xa0;
const RAM = 0x10_0000;
const NOWHERE = 0x7000_0000;
const WORD_AT = 0x3000;

class VapicMachine extends X86Machine {
  readonly user = this.process.memory.map(RAM, 0x1_0000);

  report(vcpu: number, enabled: number, flags = 0): number {
    return this.ioctlOn(vcpu, X.KVM_TPR_ACCESS_REPORTING, X.kvm_tpr_access_ctl, (view) => {
      X.kvm_tpr_access_ctl.enabled.set(view, enabled);
      X.kvm_tpr_access_ctl.flags.set(view, flags);
    });
  }

  vapic(vcpu: number, address: number): number {
    return this.ioctlOn(vcpu, X.KVM_SET_VAPIC_ADDR, X.kvm_vapic_addr, (view) => X.kvm_vapic_addr.vapic_addr.setNumber(view, address));
  }

  /** 64 KiB from guest physical 0. */
  ram(vm: number): void {
    const result = this.ioctlOn(vm, K.KVM_SET_USER_MEMORY_REGION, K.kvm_userspace_memory_region, (view) => {
      K.kvm_userspace_memory_region.memory_size.setNumber(view, 0x1_0000);
      K.kvm_userspace_memory_region.userspace_addr.setNumber(view, RAM);
    });
    if (result !== 0) throw new Error(`KVM_SET_USER_MEMORY_REGION: ${result}`);
  }

  /** The exit's fields: address of the instruction, and whether it wrote. */
  access(vcpu: number): { rip: number; isWrite: number } {
    const { rip, is_write } = K.kvm_run.tpr_access;
    return { rip: this.page(vcpu, rip.offset, 8), isWrite: this.page(vcpu, is_write.offset, 4) };
  }

  get word(): number {
    return this.process.memory.getU32(RAM + WORD_AT);
  }
}

/** A vCPU that stands at an address of its own. */
function machine(mode: "none" | "full" | "split"): { m: VapicMachine; vm: number; vcpu: number } {
  const m = new VapicMachine();
  const vm = mode === "none" ? m.createVm() : mode === "full" ? m.xf() : m.xs();
  const vcpu = m.vcpu(vm, 0);
  m.vcpuOf(vcpu).regs.rip = 0x1234;
  m.ram(vm);
  return { m, vm, vcpu };
}

describe("14.2: user space hears of accesses to the TPR (as 6.18 does, seen through /dev/kvm)", () => {
  it.each(["full", "split"] as const)("%s: each access leaves KVM_RUN with its instruction, and has its effect", (mode) => {
    const { m, vcpu } = machine(mode);
    expect(m.report(vcpu, 7)).toBe(0);
    expect(m.runOnce(vcpu, [{ store: TPR, value: 0x55 }, { load: PPR }, { load: TPR }])).toBe(K.KVM_EXIT_TPR_ACCESS);
    expect(m.access(vcpu)).toEqual({ rip: 0x1234, isWrite: 1 });
    expect(m.runOnce(vcpu)).toBe(K.KVM_EXIT_TPR_ACCESS);
    expect(m.access(vcpu)).toEqual({ rip: 0x1234, isWrite: 0 });
    expect(m.runOnce(vcpu)).toBe(K.KVM_EXIT_IO);
    expect(m.loaded(vcpu)).toEqual([0x55, 0x55]);
  });

  it("no other register is reported, nor an access that the register does not take", () => {
    const { m, vcpu } = machine("full");
    m.report(vcpu, 1);
    expect(m.runOnce(vcpu, [{ load: PPR }, { store: TPR + 4, value: 1 }, { load: TPR + 2 }, { store: SPIV, value: 0x1ff }])).toBe(K.KVM_EXIT_IO);
  });

  it("in x2APIC mode the register is reported, and its window, which has nothing, is not", () => {
    const { m, vcpu } = machine("full");
    m.report(vcpu, 1);
    m.x2apic(vcpu);
    expect(m.runOnce(vcpu, [{ load: TPR }, { wrmsr: 0x80b, value: 0 }, { wrmsr: 0x808, value: 0x30 }])).toBe(K.KVM_EXIT_TPR_ACCESS);
    expect([m.access(vcpu).isWrite, m.apic(vcpu).cr8()]).toEqual([1, 3]);
    expect(m.runOnce(vcpu, [{ wrmsr: 0x808, value: 0x100 }])).toBe(K.KVM_EXIT_TPR_ACCESS);
  });

  it("nothing is reported until it is asked for, nor after", () => {
    const { m, vcpu } = machine("full");
    expect(m.runOnce(vcpu, [{ load: TPR }])).toBe(K.KVM_EXIT_IO);
    m.report(vcpu, 1);
    m.report(vcpu, 0);
    expect(m.runOnce(vcpu, [{ load: TPR }])).toBe(K.KVM_EXIT_IO);
  });

  it("without a local APIC in the kernel the window is user space's as ever: KVM_EXIT_MMIO", () => {
    const { m, vcpu } = machine("none");
    expect(m.report(vcpu, 1)).toBe(0);
    expect(m.runOnce(vcpu, [{ load: TPR }])).toBe(K.KVM_EXIT_MMIO);
  });

  it("the request takes no flags", () => {
    const { m, vcpu } = machine("full");
    expect([m.report(vcpu, 1, 1), m.ioctl(vcpu, X.KVM_TPR_ACCESS_REPORTING, NOWHERE)]).toEqual([-EINVAL, -EFAULT]);
    expect(m.runOnce(vcpu, [{ load: TPR }])).toBe(K.KVM_EXIT_IO);
  });

  it("14.2: in mode none a fall of CR8 leaves KVM_RUN with KVM_EXIT_SET_TPR; with a local APIC in the kernel it does not", () => {
    const none = machine("none");
    expect(none.m.runOnce(none.vcpu, [{ cr8: 9 }, { cr8: 9 }, { cr8: 8 }])).toBe(K.KVM_EXIT_SET_TPR);
    expect([none.m.page(none.vcpu, K.kvm_run.cr8.offset), none.m.runOnce(none.vcpu)]).toEqual([8, K.KVM_EXIT_IO]);
    const full = machine("full");
    expect(full.m.runOnce(full.vcpu, [{ cr8: 9 }, { cr8: 3 }])).toBe(K.KVM_EXIT_IO);
  });
});

describe("KVM_SET_VAPIC_ADDR: a word of guest memory stands for the TPR", () => {
  it("it is four bytes of the guest's memory, in a VM with a local APIC in the kernel", () => {
    const { m, vcpu } = machine("full");
    expect([0xfffc, 0xfffe, 0x1_0000, 0].map((address) => m.vapic(vcpu, address))).toEqual([0, -EINVAL, -EINVAL, 0]);
    expect(m.ioctl(vcpu, X.KVM_SET_VAPIC_ADDR, NOWHERE)).toBe(-EFAULT);
    const none = machine("none");
    expect(none.m.vapic(none.vcpu, WORD_AT)).toBe(-EINVAL);
  });

  it("what the guest leaves there is its TPR at the next exit", () => {
    const { m, vcpu } = machine("full");
    m.vapic(vcpu, WORD_AT);
    m.process.memory.setU32(RAM + WORD_AT, 0x33);
    m.guest(vcpu, [{ load: PPR }, { load: TPR }]);
    expect(m.loaded(vcpu)).toEqual([0x33, 0x33]);
  });

  it("an entry that looks at interrupts writes TPR, the class in service and the highest request", () => {
    const { m, vm, vcpu } = machine("full");
    m.guest(vcpu, [{ store: SPIV, value: 0x1ff }, { store: TPR, value: 0x12 }]);
    m.vapic(vcpu, WORD_AT);
    m.msi(vm, LAPIC, 0x65);
    m.msi(vm, LAPIC, 0x41);
    m.process.memory.setU32(RAM + WORD_AT, 0x12);
    expect(m.guest(vcpu, ["sti", "nop", "nop"])).toEqual([0x65]);
    expect(m.word.toString(16)).toBe("41006012");
  });

  it("of a local APIC that is disabled by software nothing is written", () => {
    const { m, vcpu } = machine("full");
    m.vapic(vcpu, WORD_AT);
    m.process.memory.setU32(RAM + WORD_AT, 0xabcd0022 | 0);
    m.guest(vcpu, ["sti", "nop"]);
    expect([m.word.toString(16), m.apic(vcpu).cr8()]).toEqual(["abcd0022", 2]);
  });
});
