import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL, ENOTTY } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import type { VfioDevice } from "./device.js";
import type { FeatureCall } from "./feature-call.js";
import { dataSize, deviceState, migrationFlags, precopyInfoV2 } from "./migration/feature.js";
import { loggingReport, loggingStart, loggingStop } from "./migration/log-feature.js";

const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
const KNOWN_FLAGS = uapi.VFIO_DEVICE_FEATURE_MASK | GET | SET | PROBE;
const header = new UserArgument(uapi.vfio_device_feature.size);

type Handler = (device: VfioDevice, call: FeatureCall) => Step<number>;

/** What the core answers for every bus; the rest is the backend's. */
const CORE: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [uapi.VFIO_DEVICE_FEATURE_MIGRATION, migrationFlags],
  [uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, deviceState],
  [uapi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, dataSize],
  [uapi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, precopyInfoV2],
  [uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START, loggingStart],
  [uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, loggingStop],
  [uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, loggingReport],
]);

/**
 * DEVICE_FEATURE (vfio.md 15.1): -EFAULT, -EINVAL, -ENOTTY for a feature that the device has not or the kernel, whose last
 * one is `last`, does not know, or the feature's own.
 */
export function* deviceFeature(device: VfioDevice, last: number, process: Process, address: number): Step<number> {
  const layout = uapi.vfio_device_feature;
  if (!header.copyIn(process, address)) return -EFAULT;
  const flags = layout.flags.get(header.view);
  const argsz = layout.argsz.get(header.view);
  if (argsz < layout.size || (flags & ~KNOWN_FLAGS) !== 0) return -EINVAL;
  if ((flags & (GET | SET)) === (GET | SET) && (flags & PROBE) === 0) return -EINVAL;
  const feature = flags & uapi.VFIO_DEVICE_FEATURE_MASK;
  if (feature > last) return -ENOTTY;
  const call = { process, feature, flags, room: argsz - layout.size, address: address + layout.size };
  const handler = CORE.get(feature);
  return handler === undefined ? yield* device.feature(call) : yield* handler(device, call);
}

