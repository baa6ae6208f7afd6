import type { PhysicalGic } from "../arch/gic/contract.js";
import type { AckListener, IrqchipVcpu, ArmIrqchipVm, MmioBus, MmioDevice } from "../irqchip/contract.js";
import type { Vgic } from "../irqchip/gic/vgic.js";
import { PlainRam } from "../irqchip/plain-ram.js";
import { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";

/** The RAM that the recorded tables and queues lie in. */
const RAM_START = 0x4000_0000;
const RAM_SIZE = 0x1000_0000;

/** A vCPU that is in the guest for a part of a step only. */
class ReplayVcpu implements IrqchipVcpu {
  readonly mutex: Mutex;
  readonly hasRun = false;
  needsProcessUpdate = false;

  constructor(
    sim: Sim,
    readonly index: number,
  ) {
    this.mutex = new Mutex(sim, "vcpu->mutex");
  }

  get id(): number {
    return this.index;
  }

  get physicalCpu(): number {
    return this.index;
  }

  /** It looks at its next entry. */
  *requestIrqPending(): Step<void> {}

  *requestProcessUpdate(): Step<void> {
    this.needsProcessUpdate = true;
  }
}

/**
 * The VM of a replay (gic.md D0.7): vCPU n is loaded on physical CPU n for good, and enters and leaves the guest when the
 * step says so; nothing else happens.
 */
export class ReplayVm implements ArmIrqchipVm, AckListener, MmioBus {
  readonly lock: Mutex;
  readonly slotsLock: Mutex;
  readonly vcpus: readonly ReplayVcpu[];
  readonly createdVcpus: number;
  readonly ipaBits = 40;
  readonly acks: AckListener = this;
  readonly mmioBus: MmioBus = this;
  readonly ram = new PlainRam(RAM_START, RAM_SIZE);

  constructor(
    readonly sim: Sim,
    readonly hostGic: PhysicalGic,
    cpus: number,
  ) {
    this.lock = new Mutex(sim, "kvm->lock");
    this.slotsLock = new Mutex(sim, "kvm->slots_lock");
    this.vcpus = Array.from({ length: cpus }, (_, index) => new ReplayVcpu(sim, index));
    this.createdVcpus = cpus;
  }

  *enter(vgic: Vgic, cpu: number): Step<void> {
    const vcpu = this.vcpus[cpu];
    if (vcpu.needsProcessUpdate) yield* vgic.processUpdate(cpu);
    vcpu.needsProcessUpdate = false;
    yield* vgic.flush(cpu);
  }

  *exit(vgic: Vgic, cpu: number): Step<void> {
    yield* vgic.sync(cpu);
  }

  /** Nobody resamples. */
  *notifyAcked(): Step<void> {}

  *installDefaultRouting(): Step<number> {
    return 0;
  }

  /** Who accesses a register has left the guest, and so has everybody else. */
  *haltGuest(): Step<void> {}

  *resumeGuest(): Step<void> {}

  /** The replay names frames, not addresses. */
  *register(_base: number, _size: number, _device: MmioDevice): Step<number> {
    return 0;
  }

  *unregister(): Step<void> {}
}
