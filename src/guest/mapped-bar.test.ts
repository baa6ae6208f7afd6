import { describe, expect, it } from "vitest";
import type { Arch } from "../kvm/arch.js";
import { Arm64 } from "../kvm/arm64/arm64.js";
import { KvmModule } from "../kvm/arm64/module.js";
import { KvmFile } from "../kvm/system.js";
import { X86 } from "../kvm/x86/x86.js";
import { VcpuFile } from "../kvm/arm64/vcpu-ioctl.js";
import { X86VcpuFile } from "../kvm/x86/vcpu-ioctl.js";
import { run } from "../sim/step.js";
import { EFAULT } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { PciStage } from "../explore/stages/pci-stage.js";
import { Bindings } from "./bindings.js";
import { DriverGuest } from "./driver-guest.js";
import { GICV3_GUEST } from "./guest-gic.js";
import { Assembler } from "./op.js";
import { X86DriverGuest } from "./x86-driver-guest.js";
import { X86Assembler, X86Op } from "./x86-op.js";

const BAR = 0x6000_0000;
const PROGRAM = 0x8000;
const REGISTER = 0x10;
/** Nothing is here: the access ends KVM_RUN with KVM_EXIT_MMIO. */
const DONE = 0x7000_0000;

/** Both architectures' guests: a store to a register of the BAR, a load of it, and an access to nothing. */
const ARM = new DriverGuest(new Assembler(PROGRAM).store(BAR + REGISTER, 77).load(BAR + REGISTER, 3).store(DONE, 1).assemble(), GICV3_GUEST, new Bindings([]));
const X86_GUEST = new X86DriverGuest(new X86Assembler(PROGRAM).store(BAR + REGISTER, 77).wideOp(X86Op.LOAD, BAR + REGISTER, 0, 4).store(DONE, 1).otherHandlers().assemble());

/** A vCPU in the process that has function A open, whose BAR 0 is a memory slot of the guest. */
class Bench {
  readonly world = new PciStage();
  private readonly device: number;
  private readonly vcpuFd: number;
  private readonly runAddress: number;

  constructor(arch: Arch, makesVcpu: (ioctl: (fd: number, request: number, words: readonly number[]) => number, vcpu: number) => void) {
    const { world } = this;
    const { process } = world;
    this.device = world.ready().d;
    const module = new KvmModule(world.machine.host);
    run(module.start());
    const kvm = process.install(new KvmFile(module, arch));
    const vmFd = world.ioctl(kvm, K.KVM_CREATE_VM, 0);
    const bar = run(process.mmap(this.device, 0x1_0000, 0, true));
    expect(world.call(vmFd, K.KVM_SET_USER_MEMORY_REGION, 0, 0, BAR, 0, 0x1_0000, 0, bar % 2 ** 32, Math.floor(bar / 2 ** 32))).toBe(0);
    this.vcpuFd = world.ioctl(vmFd, K.KVM_CREATE_VCPU, 0);
    makesVcpu((fd, request, words) => world.call(fd, request, ...words), this.vcpuFd);
    const file = process.file(this.vcpuFd);
    if (file instanceof X86VcpuFile) {
      file.vcpu.guest = X86_GUEST;
      file.vcpu.regs.rip = PROGRAM;
    } else if (file instanceof VcpuFile) {
      file.vcpu.guest = ARM;
      file.vcpu.regs.pc = PROGRAM;
    } else throw new Error("no vCPU");
    this.runAddress = file.vcpu.runAddress;
  }

  /** COMMAND.MEMORY, as a guest's write reaches vfio-pci by its VMM. */
  decode(isOn: boolean): void {
    this.world.configWrite(this.device, 4, 2, isOn ? 2 : 0);
  }

  /** KVM_RUN: its result and the exit reason. */
  run(): [number, number] {
    const result = this.world.ioctl(this.vcpuFd, K.KVM_RUN, 0);
    return [result, this.world.process.memory.getU32(this.runAddress + K.kvm_run.exit_reason.offset)];
  }
}

const ARCHES = {
  arm64: () =>
    new Bench(new Arm64({ cpus: 2, gicVersion: 3 }), (ioctl, fd) => {
      expect(ioctl(fd, K.KVM_ARM_VCPU_INIT, [5, 0, 0, 0, 0, 0, 0, 0])).toBe(0);
    }),
  x86: () => new Bench(new X86(2), () => {}),
};

describe("a guest's access to a BAR that does not decode (vfio.md 14, vector 69)", () => {
  it.each(["arm64", "x86"] as const)("%s: while memory is on it reaches the register and does not exit", (arch) => {
    const bench = ARCHES[arch]();
    bench.decode(true);
    expect(bench.run()).toEqual([0, K.KVM_EXIT_MMIO]);
    expect(bench.world.bar0.log).toEqual(["w4@10=4d", "r4@10"]);
  });

  it.each(["arm64", "x86"] as const)("%s: KVM_RUN ends with EFAULT, as often as it is called, and the register is not touched", (arch) => {
    const bench = ARCHES[arch]();
    bench.decode(false);
    expect([bench.run(), bench.run()]).toEqual([[-EFAULT, K.KVM_EXIT_UNKNOWN], [-EFAULT, K.KVM_EXIT_UNKNOWN]]);
    expect(bench.world.bar0.log).toEqual([]);
  });

  it.each(["arm64", "x86"] as const)("%s: with memory on again the same instruction is done", (arch) => {
    const bench = ARCHES[arch]();
    bench.decode(false);
    bench.run();
    bench.decode(true);
    expect(bench.run()).toEqual([0, K.KVM_EXIT_MMIO]);
    expect(bench.world.bar0.log).toEqual(["w4@10=4d", "r4@10"]);
  });
});
