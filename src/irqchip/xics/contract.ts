import type { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { AckListener } from "../contract.js";

// What the XICS needs of its VM and of a vCPU; kvm/ implements both.

/** One vCPU, as its presentation controller sees it. */
export interface XicsVcpu {
  readonly id: number;
  /** The external-interrupt request of the vCPU, a level (xics.md 8.1). Both are one atomic access. */
  raiseExternal(): Step<void>;
  lowerExternal(): Step<void>;
  /** Wakes it when it has ceded, makes it exit when it is in the guest. */
  kickExternal(): Step<void>;
  /** Real mode: the running guest sees its own request at once (LPCR.MER), without an exit. */
  showExternal(): void;
  /** Real mode: is it on a core, so that a message is enough to make it look? */
  readonly isOnCore: boolean;
}

/** The VM, as its XICS sees it. */
export interface XicsVm {
  readonly sim: Sim;
  /** kvm.lock: two writers of one missing block get the same one. */
  readonly lock: Mutex;
  readonly acks: AckListener;
  /** Ticks of the timebase now, an integer below 2^53. */
  timebase(): number;
  /** Is anybody told of acknowledges? Real mode asks before it leaves for a notification. */
  hasAckListeners(): Step<boolean>;
}

/** A hypercall's registers: number of the register to its halves, as int32. */
export interface HypercallRegisters {
  readonly lo: Int32Array;
  readonly hi: Int32Array;
}
