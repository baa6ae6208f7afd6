import { File } from "../host/file.js";
import type { Mutex, Spinlock } from "../sim/lock.js";
import type { Step } from "../sim/step.js";

// What the KVM-VFIO device sees of VFIO (vfio.md 5.6, kvm-irq-core.md 8): implemented here, called by kvm/.

/** A file that KVM_DEV_VFIO_FILE_ADD accepts: an opened group, or a device (by group or by cdev). */
export abstract class VfioFile extends File {
  /** A group file names no device: it can be tracked, not forwarded from. */
  abstract readonly isGroupFile: boolean;

  /** Hands over the VM that tracks this file, and null when it no longer does. Before the device is opened, for drivers that need it. */
  abstract setKvm(vm: object | null): Step<void>;

  /** False while DMA through this file may bypass the CPU caches: the VM then counts as non-coherent. */
  abstract enforcesCoherency(): boolean;
}

/** An open device. */
export abstract class VfioDeviceFile extends VfioFile {
  readonly isGroupFile = false;
  /** The device behind the file: one object for all files that open the same device. */
  abstract readonly device: ForwardingDevice;
}

/**
 * A VFIO device as the forwarding group sees it (kvm-irq-core.md 8.3). References are on the device, not on a file:
 * closing the last file quiesces its interrupts, and the object stays for the nodes that hold it (I10, H38).
 */
export interface ForwardingDevice {
  readonly name: string;
  /** Forwarding is for the platform bus only: 8.3 check 7. */
  readonly isPlatform: boolean;
  /** References by open files and forwarding nodes together. */
  readonly references: number;
  get(): void;
  put(): Step<void>;
  /** The interrupt, or null: index beyond the device's, subindex not 0, no host interrupt (check 8). */
  forwardable(index: number, subindex: number): ForwardableIrq | null;
}

/** One interrupt of a device that may be completed by the guest instead of the host. */
export interface ForwardableIrq {
  /** INTID on the physical GIC. */
  readonly hostIntid: number;
  /** The lock SET_IRQS takes for this interrupt: checks 12 and 13 and the change itself stand under it (H36). */
  readonly lock: Mutex;
  /** A trigger eventfd is installed. `lock` held. */
  readonly isSignalling: boolean;
  /** Masked by the user or by the automasking handler. `lock` held. */
  isMasked(): Step<boolean>;
  /** The host descriptor's lock (irq_desc.lock): held while the mark and the virtual link change together (check 14). */
  readonly descriptorLock: Spinlock;
  /** Active at the physical controller? `descriptorLock` held. */
  isActive(): Step<boolean>;
  /** Sets or clears FORWARDED_TO_VCPU (host-irq.md 1.8). `descriptorLock` held. */
  setForwarded(isForwarded: boolean): Step<void>;
  /** Writes ICACTIVER: who unmarks an active interrupt deactivates it (H37). `descriptorLock` held. */
  deactivate(): Step<void>;
}
