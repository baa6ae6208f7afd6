import { PHYSICAL } from "./physical-target.js";
import type { TargetMaker, TargetName } from "./target.js";
import { VIRTUAL } from "./virtual-target.js";

/** The targets that this build has. */
export const TARGETS: Readonly<Partial<Record<TargetName, TargetMaker>>> = {
  physical: PHYSICAL,
  virtual: VIRTUAL,
};
