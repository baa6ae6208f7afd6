import type { PhysicalGic } from "../arch/gic/contract.js";
import type { ItsDriver } from "../host/its/its-driver.js";
import type { Process } from "../host/process.js";
import type { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";

// Upward calls of the interrupt controllers: what a VM gives its irqchip, implemented by kvm/.

/** Told when the guest has ended an interrupt that somebody may want to resample (kvm-irq-core.md 3.5, 5). */
export interface AckListener {
  notifyAcked(chip: number, pin: number): Step<void>;
}

/** One vCPU, as its interrupt controller sees it. */
export interface IrqchipVcpu {
  /** Chosen by user space. */
  readonly id: number;
  /** Order of creation, from 0. */
  readonly index: number;
  /** Held by KVM_RUN; register access from user space only tries it. */
  readonly mutex: Mutex;
  /** Has it ever run? */
  readonly hasRun: boolean;
  /** Is it powered on and scheduled on this physical CPU now (-1: nowhere)? */
  readonly physicalCpu: number;
  /** Its VM has ended it: nothing may name it any more. */
  readonly isDestroyed?: boolean;
  /** Sets KVM_REQ_IRQ_PENDING, then kicks (host-irq.md 3.2): wake when blocked, IPI when in the guest. */
  requestIrqPending(): Step<void>;
  /** Sets KVM_REQ_RELOAD_GICv4, then kicks: the vCPU's vPE is to be scheduled anew. */
  requestReloadGicv4?(): Step<void>;
  /** Sets KVM_REQ_VGIC_PROCESS_UPDATE, then kicks. */
  requestProcessUpdate(): Step<void>;
}

/** The VM, as its interrupt controller sees it. */
export interface IrqchipVm {
  readonly sim: Sim;
  /** kvm.lock */
  readonly lock: Mutex;
  readonly slotsLock: Mutex;
  /** Online vCPUs by index. */
  readonly vcpus: readonly IrqchipVcpu[];
  /** vCPUs created or being created; differs from `vcpus.length` only during creation. */
  readonly createdVcpus: number;
  readonly ipaBits: number;
  /** Null where the host has no GIC that can serve guests. */
  readonly hostGic: PhysicalGic | null;
  readonly acks: AckListener;
  readonly mmioBus: MmioBus;
  /** gsi i -> chip 0, pin i for every i < pins (kvm-irq-core.md 4.5). */
  installDefaultRouting(pins: number): Step<number>;
  /** Forces every vCPU out of the guest and keeps it out until {@link resumeGuest}. */
  haltGuest(): Step<void>;
  resumeGuest(): Step<void>;
}

/** The VM of an Arm interrupt controller. */
export interface ArmIrqchipVm extends IrqchipVm {
  readonly ram: GuestRam;
  /** The host's ITSs, where messages may go straight into guests (GICv4, and kvm-arm.vgic_v4_enable); else null or absent. */
  readonly directIts?: ItsDriver | null;
}

/** The guest's physical memory, for controllers that keep tables in it: little-endian, and only where the guest has memory. */
export interface GuestRam {
  /** Copies 32-bit words; false, where any byte is no memory. */
  readWords(address: number, into: Int32Array, words: number): Step<boolean>;
  writeWords(address: number, from: Int32Array, words: number): Step<boolean>;
  /** -1 where there is no memory. */
  readByte(address: number): Step<number>;
  writeByte(address: number, value: number): Step<boolean>;
  isVisible(address: number): Step<boolean>;
}

/** A device on the VM's MMIO bus. Values are int32 halves: `low` is returned or given, the high half goes by `high`. */
export interface MmioDevice {
  /** High 32 bits of the last 64-bit read. */
  high: number;
  /** The last access is user space's to complete after all: a register that the kernel does not serve. */
  readonly isRefused?: boolean;
  /** False: not mine although inside the registered range, try the next. Without it every access is. */
  claims?(vcpu: IrqchipVcpu, offset: number): Step<boolean>;
  /** `offset` from the registered base; the result is the low 32 bits, zero-extended from `size` bytes. */
  mmioRead(vcpu: IrqchipVcpu, offset: number, size: number): Step<number>;
  mmioWrite(vcpu: IrqchipVcpu, offset: number, size: number, low: number, high: number): Step<void>;
}

/** The VM's bus of in-kernel devices behind guest physical addresses. */
export interface MmioBus {
  /** 0, or -EEXIST, -ENOSPC, -ENOMEM. */
  register(base: number, size: number, device: MmioDevice): Step<number>;
  unregister(base: number, device: MmioDevice): Step<void>;
}

/** What KVM_CREATE_DEVICE makes of a type (kvm-irq-core.md 6). Absent accessors answer EPERM. */
export interface KvmDeviceOps {
  readonly name: string;
  /** `attrHi`:`attrLo` is the 64-bit attribute; `address` points into the process's memory. 0 or a negative errno. */
  setAttr?(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number>;
  getAttr?(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number>;
  hasAttr?(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number>;
  /** Last descriptor closed; types without it live until `destroy` at the end of the VM. */
  release?(): Step<void>;
  destroy?(): Step<void>;
}

/** What an in-kernel device says of an interrupt that it mapped to a physical one (gic-v3.md A9.9). */
export interface MappedIrqOps {
  /** VGIC_IRQ_SW_RESAMPLE: no HW list register, the physical side is deactivated when the virtual one has ended. */
  readonly swResample: boolean;
  /** The level of the device's line for this vCPU, in place of the physical GIC's pending state. */
  getInputLevel?(vcpu: number, intid: number): Step<boolean>;
}

/** What an MSI carries: KVM_SIGNAL_MSI's argument, a route's fields. */
export interface ArmMessage {
  readonly addressLo: number;
  readonly addressHi: number;
  readonly data: number;
  /** KVM_MSI_VALID_DEVID. */
  readonly flags: number;
  readonly devid: number;
}

/**
 * An Arm in-kernel interrupt controller, as kvm/ drives it (gic-v3.md A9). Per-vCPU calls take the vCPU's index.
 */
export interface ArmIrqchip extends KvmDeviceOps {
  readonly model: 2 | 3;
  readonly isInitialized: boolean;
  /** SPIs configured: valid INTIDs are below this + 32. */
  readonly spiCount: number;
  /** A vCPU came into being: its private interrupts and, when regions exist, its redistributor frame. 0 or errno. */
  vcpuCreated(vcpu: IrqchipVcpu): Step<number>;
  /** First KVM_RUN (A3.8): 0 or the errno. */
  mapResources(): Step<number>;
  /** A line or edge from software (A9.2). `vcpu` -1 for SPIs. 0, -EBUSY or -EINVAL. */
  inject(vcpu: number, intid: number, level: boolean, owner: object | null): Step<number>;
  /** An ITS exists: messages can be delivered. */
  readonly hasIts: boolean;
  /** KVM_CREATE_DEVICE of an ITS: the device, or -ENODEV (GICv2). */
  createIts(): Step<KvmDeviceOps | number>;
  /** A message (gic-its.md B7): 1, 0 (not mapped by the guest), or -ENODEV, -EINVAL, -EBUSY. */
  injectMsi(message: ArmMessage): Step<number>;
  /** The same where nothing may sleep: 1, or -EWOULDBLOCK. */
  injectMsiAtomic(message: ArmMessage): Step<number>;
  /**
   * GICv4: a device's message interrupt goes into the guest without the host (gic-v4.md C3). 0, also where that cannot be;
   * or what the host's ITS driver answers.
   */
  setForwarding(hostIrq: number, message: ArmMessage): Step<number>;
  /** @param message of its route */
  unsetForwarding(hostIrq: number, message: ArmMessage): Step<number>;
  /** The guest waits for an interrupt, and has waited: between the two a doorbell wakes its vCPU (C5.4). */
  beginWfi(vcpu: number): Step<void>;
  endWfi(vcpu: number): Step<void>;
  /** Do devices inject into this vCPU directly? Then it may as well wait in the guest (host-irq.md 3.4). */
  hasVlpis(vcpu: number): Step<boolean>;
  /** GICv2 initialises itself on first use; GICv3 answers -EBUSY. */
  ensureInitialized(): Step<number>;
  /** Links an SPI or PPI to a physical interrupt (A9.9), for good or until unmapped. 0 or errno. */
  mapPhysicalIrq(vcpu: number, intid: number, hostIntid: number, ops?: MappedIrqOps | null): Step<number>;
  unmapPhysicalIrq(vcpu: number, intid: number): Step<number>;
  /** The INTID this virtual interrupt is linked to, -1 when to none. */
  mappedPhysicalIrq(vcpu: number, intid: number): number;
  /** Is the virtual interrupt pending or active? What the ACTIVE bit of a timer's PPI becomes at load (host-irq.md 2.5.6). */
  isMappedActive(vcpu: number, intid: number): Step<boolean>;
  /** Claims a PPI or SPI for an in-kernel device: 0, -EAGAIN, -EINVAL, -EEXIST. */
  setOwner(vcpu: number, intid: number, owner: object): Step<number>;
  /** Is an enabled, pending, high enough interrupt waiting? (A9.6) */
  isPendingFor(vcpu: number): Step<boolean>;
  /** Takes the vCPU's state onto a physical CPU (VMCR, active priorities) and off it again. */
  load(vcpu: number, physicalCpu: number): Step<void>;
  put(vcpu: number): Step<void>;
  /** Before guest entry, interrupts off (A9.3); after exit (A9.4). */
  flush(vcpu: number): Step<void>;
  sync(vcpu: number): Step<void>;
  /** KVM_REQ_VGIC_PROCESS_UPDATE: prune. */
  processUpdate(vcpu: number): Step<void>;
  /**
   * A trapped guest access that the list registers cannot serve: SGI generation, ICC_DIR. `encoding` as in the attribute
   * of CPU_SYSREGS. False: UNDEFINED for the guest.
   */
  guestSysregWrite(vcpu: number, encoding: number, low: number, high: number): Step<boolean>;
  /** The guest's own CPU interface registers (ICC_* or GICC_*), served by the hardware without an exit. */
  readonly kind: "arm";
}
