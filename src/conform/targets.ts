import { PHYSICAL } from "./physical-target.js";
import type { TargetMaker, TargetName } from "./target.js";
import { VIRTUAL } from "./virtual-target.js";

/** What vectors run on. */
export const TARGETS: Readonly<Record<TargetName, TargetMaker>> = {
  physical: PHYSICAL,
  virtual: VIRTUAL,
};
