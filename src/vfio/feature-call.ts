import type { Process } from "../host/process.js";
import { EINVAL } from "../uapi/errno.js";
import { VFIO_DEVICE_FEATURE_GET as GET, VFIO_DEVICE_FEATURE_PROBE as PROBE, VFIO_DEVICE_FEATURE_SET as SET } from "../uapi/vfio.js";

/** One DEVICE_FEATURE request: which feature, what is asked, and where its data begin in the caller's memory. */
export interface FeatureCall {
  readonly process: Process;
  readonly feature: number;
  readonly flags: number;
  /** Bytes that the caller gives behind the header. */
  readonly room: number;
  readonly address: number;
}

/** Nothing is left but to do it. */
const GO_ON = 1;

/**
 * The check of a feature that there is (vfio.md 15.1): -EINVAL for an operation that it has not, 0 where the caller only
 * probes, -EINVAL for neither GET nor SET and for too little data; 1 to go on.
 * @param operations GET and SET bits that the feature has
 */
export function checkFeature(call: FeatureCall, operations: number, size: number): number {
  if ((call.flags & (GET | SET) & ~operations) !== 0) return -EINVAL;
  if ((call.flags & PROBE) !== 0) return 0;
  if ((call.flags & (GET | SET)) === 0) return -EINVAL;
  return call.room < size ? -EINVAL : GO_ON;
}
