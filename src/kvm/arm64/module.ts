import type { PhysicalGic } from "../../arch/gic/contract.js";
import type { IrqPort } from "../../arch/irq-port.js";
import type { HostCpu } from "../../host/cpu.js";
import { type IrqAction, IrqReturn, IrqType } from "../../host/irq/types.js";
import type { ItsDriver } from "../../host/its/its-driver.js";
import type { GicHost } from "../../host/gic/gic-host.js";
import { current } from "../../sim/context.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { WorkQueue } from "../../sim/workqueue.js";
import type { KvmHost } from "../host.js";
import { Stage } from "../vcpu-core.js";
import { PTIMER_PPI, VTIMER_PPI } from "./timer.js";
import type { Vcpu } from "./vcpu.js";

/** gic-v3.md A9.12 */
const MAINTENANCE_PPI = 25;

export interface KvmModuleOptions {
  /** CNTFRQ_EL0; default 62.5 MHz. */
  counterHz?: number;
  /** halt_poll_ns, the longest halt poll; default 0: off. */
  haltPollMaxNs?: number;
  /** kvm-arm.vgic_v4_enable: messages of devices go straight into guests where the hardware can. Default false. */
  vgicV4Enable?: boolean;
}

/** The handler of a timer's PPI on every CPU: the interrupt is for the vCPU that is loaded there. */
class TimerHandler implements IrqAction {
  constructor(
    private readonly module: KvmModule,
    private readonly intid: number,
  ) {}

  *handler(_irq: number, _devId: object | null): Step<number> {
    const timer = this.module.loaded[current().cpu]?.timers.byPpi(this.intid);
    if (timer) yield* timer.interrupt();
    return IrqReturn.HANDLED;
  }
}

/**
 * The maintenance interrupt of the virtual CPU interface. It has nothing to do: the exit that it causes folds the list
 * registers, and clears the control register before the host could acknowledge it (host-irq.md 2.4, K14).
 */
class MaintenanceHandler implements IrqAction {
  *handler(_irq: number, _devId: object | null): Step<number> {
    return IrqReturn.HANDLED;
  }
}

/** A vLPI is signalled to the guest that runs on a CPU: nothing exits, it is taken where the guest next looks. */
class VirtualSignal implements IrqPort {
  constructor(
    private readonly module: KvmModule,
    private readonly cpu: number,
  ) {}

  *irq(): Step<void> {
    const vcpu = this.module.loaded[this.cpu];
    if (vcpu !== null && vcpu.stage === Stage.GUEST) yield* vcpu.forceExit(false);
  }
}

/** KVM on a host: what all VMs share. `start` once, before the first vCPU runs. */
export class KvmModule implements KvmHost {
  readonly sim: Sim;
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  readonly gic: PhysicalGic;
  readonly its: ItsDriver | null;
  readonly cpus: readonly HostCpu[];
  readonly counterHz: number;
  readonly haltPollMaxNs: number;
  readonly loaded: (Vcpu | null)[];

  constructor(
    readonly host: GicHost,
    options: KvmModuleOptions = {},
  ) {
    this.sim = host.sim;
    this.events = host.events;
    this.irqfdCleanup = host.irqfdCleanup;
    this.gic = host.gic;
    this.its = options.vgicV4Enable === true && host.its?.hasV4 === true ? host.its : null;
    this.cpus = host.cpus;
    this.counterHz = options.counterHz ?? 62_500_000;
    this.haltPollMaxNs = options.haltPollMaxNs ?? 0;
    this.loaded = host.cpus.map(() => null);
    if (this.its !== null) for (let cpu = 0; cpu < this.cpus.length; cpu++) this.its.gic.connectVirtual(cpu, new VirtualSignal(this, cpu));
  }

  /**
   * Takes the maintenance PPI and the timers' PPIs; the latter are marked as forwarded, the guest ends them
   * (host-irq.md 1.8, 2.5). 0 or a negative errno.
   */
  *start(): Step<number> {
    const maintenance = yield* this.takePpi(MAINTENANCE_PPI, new MaintenanceHandler(), "vgic", false);
    if (maintenance < 0) return maintenance;
    const virtual = yield* this.takePpi(VTIMER_PPI, new TimerHandler(this, VTIMER_PPI), "kvm guest vtimer", true);
    if (virtual < 0) return virtual;
    return yield* this.takePpi(PTIMER_PPI, new TimerHandler(this, PTIMER_PPI), "kvm guest ptimer", true);
  }

  private *takePpi(intid: number, action: IrqAction, name: string, isForwarded: boolean): Step<number> {
    const { host } = this;
    const irq = yield* host.mapIrq(intid, IrqType.LEVEL_HIGH);
    const requested = yield* host.requestPercpuIrq(irq, action, name, this);
    if (requested < 0) return requested;
    const forwarded = isForwarded ? yield* host.setIrqVcpuAffinity(irq, this) : 0;
    if (forwarded < 0) return forwarded;
    for (let cpu = 0; cpu < this.cpus.length; cpu++) yield* this.enablePpi(irq, intid, cpu);
    return 0;
  }

  /** What each CPU does when it comes up. */
  private *enablePpi(irq: number, intid: number, cpu: number): Step<void> {
    const desc = this.host.desc(irq);
    if (desc === null) return;
    desc.percpuEnabled[cpu] = 1;
    yield* this.gic.setEnabled(cpu, intid, true);
  }
}
