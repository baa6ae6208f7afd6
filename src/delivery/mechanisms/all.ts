import type { MechanismName } from "../../board/assign.js";
import { directAsItIs, directBlocked, directRunnable } from "./direct.js";
import { forward } from "./forward.js";
import { irqfd } from "./irqfd.js";
import { irqfdResample } from "./irqfd-resample.js";
import type { DeliveryMechanism } from "./mechanism.js";
import { posted } from "./posted.js";
import { split } from "./split.js";
import { userspace } from "./userspace.js";
import { userspaceEoi } from "./userspace-eoi.js";

/** Every mechanism, by its name. */
export const DELIVERY_MECHANISMS: Readonly<Record<MechanismName, DeliveryMechanism>> = {
  userspace,
  "userspace+eoi": userspaceEoi,
  irqfd,
  "irqfd+resample": irqfdResample,
  forward,
  direct: directAsItIs,
  "direct:runnable": directRunnable,
  "direct:blocked": directBlocked,
  split,
  posted,
};
