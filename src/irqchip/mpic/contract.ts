import type { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { AckListener, IrqchipVcpu, MmioBus } from "../contract.js";

// What the MPIC needs of its VM and of a vCPU; kvm/ implements both.

/** One vCPU, as an MPIC sees it: its INT line. */
export interface MpicVcpu extends IrqchipVcpu {
  /** The line goes up, and the vCPU is made to look. */
  raiseInterrupt(): Step<void>;
  lowerInterrupt(): Step<void>;
}

export interface MpicVm {
  readonly sim: Sim;
  readonly slotsLock: Mutex;
  readonly mmioBus: MmioBus;
  readonly acks: AckListener;
}
