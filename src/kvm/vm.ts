import type { PhysicalGic } from "../arch/gic/contract.js";
import { File } from "../host/file.js";
import type { ItsDriver } from "../host/its/its-driver.js";
import type { Process } from "../host/process.js";
import type { AckListener, ArmIrqchip, ArmIrqchipVm, GuestRam, IrqchipVcpu, MmioBus } from "../irqchip/contract.js";
import { type Countable, counts, shared, writes } from "../sim/access.js";
import { Lifetime } from "../sim/lifetime.js";
import { Mutex, Spinlock } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import type { Step } from "../sim/step.js";
import { EIO } from "../uapi/errno.js";
import type { Arch, VmArch } from "./arch.js";
import type { KvmDevice } from "./device.js";
import type { Hazards } from "../sim/hazards.js";
import type { KvmHost } from "./host.js";
import { SlotRam } from "./guest-ram.js";
import { Buses } from "./io-bus.js";
import { Irqfds } from "./irqfds.js";
import { MemorySlots } from "./memslots.js";
import { notifyAcked, NotifierLists } from "./notifiers.js";
import { installDefaultRouting } from "./routing.js";
import { RoutingTable } from "./routing-table.js";
import type { Vcpu } from "./arm64/vcpu.js";
import { VM_IOCTLS } from "./vm-ioctls.js";

/** A vCPU, as the VM drives it beside what an irqchip sees. */
export interface VmVcpu extends IrqchipVcpu {
  /** Out of the guest, and kept out until {@link unpause}; `pause` asks, {@link waitForPause} waits until it is out. */
  pause(): Step<void>;
  waitForPause(): Step<void>;
  unpause(): Step<void>;
  /** KVM_IRQ_LINE of type CPU without an in-kernel controller: the IRQ (0) or FIQ (1) input. 0 or a negative errno. */
  interruptLine(fiq: boolean, level: boolean): Step<number>;
  /** At VM destruction; its memory ends behind that. */
  destroy(): Step<void>;
  readonly lifetime: Lifetime;
}

/**
 * One virtual machine: its locks (kvm-irq-core.md 0.4), its lists and tables, and the reference count that its own,
 * its vCPUs' and its devices' descriptors share.
 */
export class Vm implements ArmIrqchipVm, AckListener, Countable {
  readonly sim: Sim;
  /** kvm.lock: devices, irqchip and vCPU creation. */
  readonly lock: Mutex;
  /** slots_lock: memory slots, I/O buses, ioeventfds. */
  readonly slotsLock: Mutex;
  /** irq_lock: the swap of the routing table, both notifier lists. */
  readonly irqLock: Mutex;
  /** Readers: routing table, notifier lists, resampler lists. */
  readonly irqSrcu: Srcu;
  /** Readers: I/O buses, memory slots. */
  readonly srcu: Srcu;
  readonly hostGic: PhysicalGic | null;
  readonly directIts: ItsDriver | null;
  readonly acks: AckListener = this;
  readonly mmioBus: MmioBus;
  readonly ram: GuestRam;

  /** Online vCPUs by index. */
  readonly vcpus: VmVcpu[] = [];
  /** Written under kvm.lock; a GICv2 that initialises itself reads it without. */
  createdVcpus = 0;
  /** Devices on the VM's list; kvm.lock. */
  readonly devices: KvmDevice[] = [];
  readonly irqfds: Irqfds;
  readonly notifiers: NotifierLists;
  readonly buses: Buses;
  /** The table in force; swapped under irq_lock, read under irq_srcu. */
  routing: RoutingTable;
  /** VFIO files that may bypass the caches, as the KVM-VFIO device registers them. */
  nonCoherentDma = 0;
  readonly arch: VmArch;
  readonly slots: MemorySlots;
  /** arm64: the same vCPUs as `vcpus`, in full. */
  readonly armVcpus: Vcpu[] = [];
  /** The feature set that the first KVM_ARM_VCPU_INIT fixed, POWER_OFF left out; -1 before. */
  armFeatures = -1;
  /** KVM_CAP_ARM_NISV_TO_USER was enabled. */
  nisvToUser = false;
  /** KVM_CAP_HALT_POLL: the longest halt poll, nanoseconds; 0 is off. */
  haltPollMaxNs: number;
  readonly hazards: Hazards;
  isDead = false;
  isDestroyed = false;
  private references = 1;
  private readonly lifetime = new Lifetime("VM");

  constructor(
    readonly host: KvmHost,
    /** The process that made the VM: requests from other address spaces get -EIO. */
    readonly process: Process,
    arch: Arch,
    readonly ipaBits: number,
  ) {
    const { sim } = host;
    this.sim = sim;
    this.hazards = sim.hazards;
    this.hostGic = host.gic;
    this.directIts = host.its ?? null;
    this.lock = new Mutex(sim, "kvm.lock");
    this.slotsLock = new Mutex(sim, "slots_lock");
    this.irqLock = new Mutex(sim, "irq_lock");
    this.irqSrcu = new Srcu(sim, "irq_srcu");
    this.srcu = new Srcu(sim, "srcu");
    this.irqfds = new Irqfds(this, new Spinlock(sim, "irqfds.lock"), new Mutex(sim, "resampler_lock"));
    this.notifiers = new NotifierLists();
    this.buses = new Buses(this);
    this.mmioBus = this.buses.mmioPort;
    this.slots = new MemorySlots(ipaBits, process.memory);
    this.ram = new SlotRam(this.slots, process.memory, this.srcu);
    this.haltPollMaxNs = host.haltPollMaxNs;
    this.arch = arch.createVm(this);
    this.routing = this.arch.createRouting?.() ?? RoutingTable.empty(this);
    const { irqfds, notifiers, buses } = this;
    this.lifetime.spans(this, this.lock, this.slotsLock, this.irqLock, this.irqSrcu, this.srcu);
    this.lifetime.spans(irqfds, irqfds.lock, irqfds.resamplerLock, irqfds.active, irqfds.resamplers, notifiers, notifiers.mask, buses);
  }

  /** The Arm in-kernel interrupt controller; null before it is created and on other architectures. */
  get armIrqchip(): ArmIrqchip | null {
    return this.arch.armIrqchip;
  }

  get remaining(): number {
    return this.references;
  }

  /** Takes one more reference: a descriptor, or a user in flight. */
  get(): void {
    this.lifetime.raise(this.references);
    this.references++;
  }

  /** Drops a reference; the last one destroys the VM. */
  *put(): Step<void> {
    yield counts(this, "references");
    this.lifetime.lower(--this.references);
    if (this.references > 0) return;
    yield* this.destroy();
    this.lifetime.free();
  }

  /** What every VM, vCPU and device request tests first: 0 or -EIO (kvm-irq-core.md 0.3). */
  admits(process: Process): number {
    return process.memory !== this.process.memory || this.isDead ? -EIO : 0;
  }

  *notifyAcked(chip: number, pin: number): Step<void> {
    yield* notifyAcked(this, chip, pin);
  }

  *installDefaultRouting(pins: number): Step<number> {
    return yield* installDefaultRouting(this, pins);
  }

  *haltGuest(): Step<void> {
    for (let i = 0; i < this.vcpus.length; i++) yield* this.vcpus[i].pause();
    for (let i = 0; i < this.vcpus.length; i++) yield* this.vcpus[i].waitForPause();
  }

  *resumeGuest(): Step<void> {
    for (let i = 0; i < this.vcpus.length; i++) yield* this.vcpus[i].unpause();
  }

  /** kvm-irq-core.md 6.3: the VM file's release has shut down all irqfds before. */
  private *destroy(): Step<void> {
    this.isDead = true;
    const isLate = this.hazards.freeTableBeforeTimers;
    if (!isLate && this.arch.stopTimers !== undefined) yield* this.arch.stopTimers(); // what they raise asks the table (H26)
    yield writes(this, "routing");
    this.routing.free();
    if (isLate && this.arch.stopTimers !== undefined) yield* this.arch.stopTimers();
    yield* this.buses.destroy();
    const isEarly = this.hazards.vcpusBeforeIrqchip;
    if (isEarly) yield* this.destroyVcpus();
    yield* this.arch.destroy(); // its interrupts name the vCPUs (gic.md R21)
    if (!isEarly) yield* this.destroyVcpus();
    for (let i = 0; i < this.devices.length; i++) yield* this.devices[i].destroy();
    this.devices.length = 0;
    this.isDestroyed = true;
  }

  private *destroyVcpus(): Step<void> {
    for (let i = 0; i < this.vcpus.length; i++) {
      yield* this.vcpus[i].destroy();
      this.vcpus[i].lifetime.free();
    }
  }
}
shared(Vm, "routing");

/** The descriptor KVM_CREATE_VM returns. */
export class VmFile extends File {
  readonly kind = "kvm-vm";

  constructor(readonly vm: Vm) {
    super();
  }

  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    const { vm } = this;
    const refused = vm.admits(process);
    if (refused !== 0) return refused;
    const handler = vm.arch.ioctls.get(request) ?? VM_IOCTLS.get(request);
    if (handler === undefined) return vm.arch.unknownIoctl;
    return yield* handler(vm, process, argument);
  }

  /** Every irqfd goes, also while vCPU or device descriptors keep the VM alive (2.6). */
  override *release(): Step<void> {
    yield* this.vm.irqfds.releaseAll();
    yield* this.vm.put();
  }
}
