import type { Step } from "../../../sim/step.js";
import { EFAULT, ENOTTY } from "../../../uapi/errno.js";
import {
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_SET as SET,
  vfio_device_feature_vf_token,
} from "../../../uapi/vfio.js";
import { checkFeature, type FeatureCall } from "../../feature-call.js";
import type { LowPower } from "./low-power.js";
import type { VfToken } from "./vf-token.js";

/** The features of every function (vfio.md 15.1). `token` is null of a function that can have no virtual ones. */
export function* pciFeature(call: FeatureCall, power: LowPower, token: VfToken | null): Step<number> {
  switch (call.feature) {
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
      return yield* power.entry(call, false);
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return yield* power.entry(call, true);
    case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
      return yield* power.exit(call);
    case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
      return token === null ? -ENOTTY : yield* setToken(call, token);
    default:
      return -ENOTTY;
  }
}

function* setToken(call: FeatureCall, token: VfToken): Step<number> {
  const { size } = vfio_device_feature_vf_token;
  const check = checkFeature(call, SET, size);
  if (check <= 0) return check;
  const uuid = readUuid(call, size);
  if (uuid === null) return -EFAULT;
  yield* token.set(uuid);
  return 0;
}

function readUuid({ process, address }: FeatureCall, size: number): string | null {
  const bytes = new Uint8Array(size);
  if (!process.memory.copyIn(address, bytes)) return null;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
