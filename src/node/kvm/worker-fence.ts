import * as kvm from "../../uapi/kvm.js";
import { KVM_IRQCHIP_PIC_MASTER, kvm_pic_state } from "../../uapi/x86.js";
import { must } from "./wake-timer.js";
import { SYS, type Syscalls } from "./syscalls.js";

const GSI = 5;
const PIN = 1 << GSI;
const CPU_SET_BYTES = 128;
const MOST_LOOKS = 10_000_000;

/**
 * Tells when the kernel's workers are done with what was queued before. An irqfd's interrupt is carried by a work item of
 * the CPU that signalled it, items of one CPU start in order, and this one does not sleep: so when the interrupt of a
 * second irqfd, signalled later on the same CPU, shows in the PIC of a VM kept for this, the first is delivered. This
 * thread stays on one CPU therefore. Dismantled irqfds go by another queue, which KVM_IRQFD flushes when it deassigns.
 */
export class WorkerFence {
  private readonly vm: number;
  private readonly trigger: number;
  private readonly chip = new DataView(new ArrayBuffer(kvm.kvm_irqchip.size));
  private readonly chipBytes = new Uint8Array(this.chip.buffer);
  private readonly deassign = new Uint8Array(kvm.kvm_irqfd.size);
  private readonly affinity: Uint8Array;
  private readonly affinityBytes: number;

  constructor(
    private readonly system: Syscalls,
    device: number,
  ) {
    this.affinityBytes = must(system.call(SYS.sched_getaffinity, 0, CPU_SET_BYTES, system.base), "sched_getaffinity");
    this.affinity = system.bytes.slice(0, this.affinityBytes);
    this.stayHere();
    this.vm = must(system.ioctl(device, kvm.KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    must(system.ioctl(this.vm, kvm.KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    this.trigger = must(system.call(SYS.eventfd2, 0, 0), "eventfd2");
    const irqfd = new DataView(new ArrayBuffer(kvm.kvm_irqfd.size));
    kvm.kvm_irqfd.fd.set(irqfd, this.trigger);
    kvm.kvm_irqfd.gsi.set(irqfd, GSI);
    must(system.ioctlWith(this.vm, kvm.KVM_IRQFD, new Uint8Array(irqfd.buffer)), "KVM_IRQFD");
    // Bound to no GSI of this number: finds nothing to deassign, and flushes all the same.
    kvm.kvm_irqfd.gsi.set(irqfd, GSI + 1);
    kvm.kvm_irqfd.flags.set(irqfd, kvm.KVM_IRQFD_FLAG_DEASSIGN);
    this.deassign.set(new Uint8Array(irqfd.buffer));
  }

  /** Until injections queued before are done. */
  injections(): void {
    const { system } = this;
    this.readPic();
    kvm_pic_state.irr.set(this.chip, 0, kvm.kvm_irqchip.chip.offset);
    kvm_pic_state.last_irr.set(this.chip, 0, kvm.kvm_irqchip.chip.offset);
    must(system.ioctlWith(this.vm, kvm.KVM_SET_IRQCHIP, this.chipBytes), "KVM_SET_IRQCHIP");
    system.memory.setBigUint64(0, 1n, true);
    must(system.call(SYS.write, this.trigger, system.base, 8), "write");
    for (let looks = 0; looks < MOST_LOOKS; looks++) {
      this.readPic();
      if (kvm_pic_state.irr.get(this.chip, kvm.kvm_irqchip.chip.offset) & PIN) return;
    }
    throw new Error("an irqfd's interrupt does not arrive: the kernel's worker is stuck");
  }

  /** Until irqfds whose eventfd was closed are dismantled. */
  dismantling(): void {
    must(this.system.ioctlWith(this.vm, kvm.KVM_IRQFD, this.deassign), "KVM_IRQFD");
  }

  end(): void {
    this.system.call(SYS.close, this.trigger);
    this.system.call(SYS.close, this.vm);
    this.system.bytes.set(this.affinity, 0);
    this.system.call(SYS.sched_setaffinity, 0, this.affinityBytes, this.system.base);
  }

  private readPic(): void {
    kvm.kvm_irqchip.chip_id.set(this.chip, KVM_IRQCHIP_PIC_MASTER);
    must(this.system.ioctlWith(this.vm, kvm.KVM_GET_IRQCHIP, this.chipBytes), "KVM_GET_IRQCHIP");
  }

  private stayHere(): void {
    const { system } = this;
    must(system.call(SYS.getcpu, system.base, 0, 0), "getcpu");
    const cpu = system.memory.getUint32(0, true);
    system.bytes.fill(0, 0, CPU_SET_BYTES);
    system.bytes[cpu >> 3] = 1 << (cpu & 7);
    must(system.call(SYS.sched_setaffinity, 0, CPU_SET_BYTES, system.base), "sched_setaffinity");
  }
}
