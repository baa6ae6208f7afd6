import type { MechanismName } from "../board/assign.js";
import type { Board, Device, Interrupt } from "../board/board.js";
import type { CostProfile } from "../scenario/profile.js";
import type { Workload } from "../scenario/scenario.js";
import type { Hazards } from "../sim/hazards.js";
import type { VfioProfileName } from "../vfio/profiles.js";

/** What to run: one device of one board, under one workload, by some mechanisms. */
export interface DeliveryRequest {
  readonly board: Board;
  readonly device: Device;
  /** Interrupts of that device; each mechanism serves those that it fits. */
  readonly interrupts: readonly Interrupt[];
  readonly workload: Workload;
  readonly profile: CostProfile;
  readonly mechanisms: readonly MechanismName[];
  /** VFIO as another kernel had it. Default modern. */
  readonly vfioProfile?: VfioProfileName;
  /** Rules switched off. */
  readonly hazards?: Partial<Hazards>;
}
