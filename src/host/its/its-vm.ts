import { shared, writes } from "../../sim/access.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";

/** The properties byte of a vLPI as a configuration table has it (gic-v4.md C3.2). */
export const vlpiProperties = (priority: number, isEnabled: boolean): number => (priority & 0xfc) | 2 | (isEnabled ? 1 : 0);

/** What a device's event is for a guest: the kernel's its_vlpi_map. */
export interface VlpiMap {
  readonly vm: ItsVm;
  vpe: ItsVpe;
  readonly vintid: number;
  /** See {@link vlpiProperties}. */
  properties: number;
  /** 4.0: it rings while its vPE is away. */
  isDoorbellOn: boolean;
}

/** A virtual CPU as the ITSs know it: the kernel's its_vpe (gic-v4.md C1.5). */
export class ItsVpe {
  /** vpe_lock: its redistributor, and {@link pendingLast}. */
  readonly lock: Spinlock;
  vm: ItsVm | null = null;
  /** Unique on the host; -1 while the VM has no vPEs. */
  id = -1;
  /** Physical address of its virtual pending table. */
  vpt = -1;
  /** The doorbell: Linux irq, and LPI. */
  irq = 0;
  doorbellLpi = 0;
  /** col_idx: the physical CPU whose redistributor it is mapped to; -1: none yet. */
  cpu = -1;
  /** Its VLPIs: {@link count}. */
  vlpis = 0;
  isResident = false;
  /** 4.0 and 4.1: the redistributor has settled since it became resident. */
  isReady = false;
  /** A hint: something may be pending. May be true for nothing, never false with something pending. */
  pendingLast = false;
  /** 4.0: the redistributor left nothing cached. */
  idai = true;
  /** 4.0 without DirectLPI: its event of the proxy device, -1. */
  proxyEvent = -1;
  /** 4.1: ITSs that it is mapped on. */
  mappings = 0;
  /** 4.1: its pending table has never been in use, so that hardware need not read it. */
  isFresh = true;
  /** 4.1. */
  readonly sgiConfig = Array.from({ length: 16 }, () => ({ isEnabled: false, group: 0 as 0 | 1, priority: 0 }));

  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "vpe_lock");
  }

  /** vlpi_count: by one more, or by one less. */
  *count(by: 1 | -1): Step<void> {
    yield writes(this, "vlpis");
    this.vlpis += by;
  }
}
shared(ItsVpe, "cpu", "pendingLast", "vlpis");

/** A VM as the ITSs know it: the kernel's its_vm. */
export class ItsVm {
  /** Physical address of its virtual configuration table, -1 before {@link ItsDriver.allocateVcpuIrqs}. */
  vprop = -1;
  vpes: readonly ItsVpe[] = [];
  doorbellBase = 0;
  doorbells = 0;
  /** vmapp_lock, of each VM since Linux 6.11: VMAPPs that come and go with its first and last vLPI on an ITS (hazard R18). */
  readonly vmappLock: Spinlock;
  /** By ITS number: events mapped there; {@link vmappLock}. */
  readonly vlpis: Int32Array;

  constructor(sim: Sim, itses: number) {
    this.vmappLock = new Spinlock(sim, "vmapp_lock");
    this.vlpis = new Int32Array(itses);
  }
}
