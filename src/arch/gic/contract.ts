import type { Step } from "../../sim/step.js";
import type { IrqPort } from "../irq-port.js";

/** IAR value when nothing can be acknowledged. */
export const SPURIOUS_INTID = 1023;

/**
 * A physical GIC as the host sees it (host-irq.md 2): inputs from the devices, the distributor's registers by their
 * effect, one CPU interface and one virtual CPU interface per physical CPU. GICv2 and GICv3 implement it.
 * Each call is one register access or one input change: one atomic step. The plain reads (`isEnabled`, `isPending`,
 * `isActive`, `lineLevel`) have no point of their own: inside a Step announce `yield reads(gic, "GIC")` first.
 */
export interface PhysicalGic {
  readonly version: 2 | 3;
  readonly cpus: number;
  /** INTIDs 0 to `interrupts`-1 exist. */
  readonly interrupts: number;
  /** True when priority drop (EOIR) and deactivation (DIR) are split on this host. */
  readonly eoiMode: 0 | 1;

  /** The wire of an SPI changed (edge inputs latch the rise). */
  setSpi(intid: number, isHigh: boolean): Step<void>;
  /** The wire of a PPI of one CPU changed. */
  setPpi(cpu: number, intid: number, isHigh: boolean): Step<void>;
  /** Sends an SGI (GICD_SGIR, ICC_SGI1R). */
  sendSgi(from: number, to: number, sgi: number): Step<void>;

  /** IAR: the acknowledged value (GICv2: with the source CPU of an SGI in [12:10]), or {@link SPURIOUS_INTID}. */
  acknowledge(cpu: number): Step<number>;
  /** EOIR, with the value that IAR returned. */
  endOfInterrupt(cpu: number, iar: number): Step<void>;
  /** DIR, with the value that IAR returned. */
  deactivate(cpu: number, iar: number): Step<void>;

  /** ISENABLER / ICENABLER; `cpu` matters for INTID < 32. */
  setEnabled(cpu: number, intid: number, isEnabled: boolean): Step<void>;
  isEnabled(cpu: number, intid: number): boolean;
  /** ISPENDR / ICPENDR. */
  setPending(cpu: number, intid: number, isPending: boolean): Step<void>;
  isPending(cpu: number, intid: number): boolean;
  /** ISACTIVER / ICACTIVER. */
  setActive(cpu: number, intid: number, isActive: boolean): Step<void>;
  isActive(cpu: number, intid: number): boolean;
  /** The level of the input wire, whatever the latch says. */
  lineLevel(cpu: number, intid: number): boolean;
  /** ICFGR. */
  setTrigger(cpu: number, intid: number, trigger: "level" | "edge"): Step<void>;
  /** ITARGETSR or IROUTER: one CPU. */
  setTarget(intid: number, cpu: number): Step<void>;
  setPriority(cpu: number, intid: number, priority: number): Step<void>;

  /**
   * Connects the IRQ signal of one CPU. The port hears each change; by the time it acts another context may have changed the
   * wire again, and {@link isSignalled} tells the truth.
   */
  connect(cpu: number, port: IrqPort): void;
  /** The IRQ signal of one CPU as it is now. */
  isSignalled(cpu: number): boolean;
  /** The virtual CPU interface hardware of one CPU. */
  virtualInterface(cpu: number): VirtualInterface;
}

/** An LR's state: bits 63:62 in GICv3, 29:28 in GICv2. */
export const enum LrState {
  INVALID = 0,
  PENDING = 1,
  ACTIVE = 2,
  PENDING_ACTIVE = 3,
}

/**
 * The virtual CPU interface of one physical CPU: list registers and what the guest sees through them (host-irq.md 2.3,
 * gic-v3.md A9.7, A10). GICv2 keeps its 32-bit list registers in `lrLo`; GICv3 uses both halves. The hypervisor side
 * writes the arrays directly while the vCPU is out of the guest, then calls `enter`; after `leave` it reads them back.
 */
export interface VirtualInterface {
  readonly version: 2 | 3;
  readonly listRegisters: number;
  /** ICH_VTR_EL2 / GICH_VTR: what is implemented. */
  readonly vtr: number;
  readonly lrLo: Int32Array;
  readonly lrHi: Int32Array;
  /** ICH_HCR_EL2 / GICH_HCR; En is bit 0, EOIcount bits 31:27. */
  hcr: number;
  /** ICH_VMCR_EL2 / GICH_VMCR. */
  vmcr: number;
  /** Active priorities: group 0 and group 1 (GICv2: only the first word of `ap0r`, GICH_APR). */
  readonly ap0r: Int32Array;
  readonly ap1r: Int32Array;

  /** The guest's view. `iar`: INTID (GICv2: with source CPU); group by register, GICv2 ignores `group`. */
  acknowledge(group: 0 | 1): Step<number>;
  /** EOIR of the group: priority drop and, with EOImode 0, deactivation; a HW list register deactivates physically. */
  endOfInterrupt(group: 0 | 1, iar: number): Step<void>;
  deactivate(iar: number): Step<void>;
  highestPending(group: 0 | 1): number;
  runningPriority(): number;
  /** Would the guest's IRQ (1) or FIQ (0) be signalled now? */
  isSignalled(group: 0 | 1): boolean;

  /** ICH_MISR_EL2 / GICH_MISR, computed. */
  misr(): number;
  /** One bit per list register: ended with an EOI request. */
  eisr(): number;
  /** One bit per list register: empty, holds nothing. */
  elrsr(): number;
  /** Brings the maintenance interrupt's level up to date after the hypervisor side wrote the registers. */
  update(): Step<void>;
}
