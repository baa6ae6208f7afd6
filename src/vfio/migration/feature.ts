import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, EMFILE, ENOTTY } from "../../uapi/errno.js";
import {
  VFIO_DEVICE_FEATURE_GET as GET,
  VFIO_DEVICE_FEATURE_SET as SET,
  VFIO_MIGRATION_PRE_COPY,
  vfio_device_feature_mig_data_size,
  vfio_device_feature_mig_state,
  vfio_device_feature_migration,
} from "../../uapi/vfio.js";
import type { VfioDevice } from "../device.js";
import { checkFeature, type FeatureCall } from "../feature-call.js";
import type { MigrationFile } from "./data-file.js";

// The features of migration (vfio.md 15.1, 15.3).

const data = new UserArgument(8);
const NO_FILE = -1;

/** MIGRATION: what the device can. */
export function* migrationFlags(device: VfioDevice, call: FeatureCall): Step<number> {
  const { migration } = device;
  if (migration === null) return -ENOTTY;
  const { size, flags } = vfio_device_feature_migration;
  const check = checkFeature(call, GET, size);
  if (check <= 0) return check;
  flags.setNumber(data.view, migration.flags);
  return data.copyOut(call.process, call.address, size) ? 0 : -EFAULT;
}

/** MIG_DEVICE_STATE: data_fd is written whatever becomes of the request, -1 where there is no new file. */
export function* deviceState(device: VfioDevice, call: FeatureCall): Step<number> {
  const { migration } = device;
  if (migration === null) return -ENOTTY;
  const { size, device_state } = vfio_device_feature_mig_state;
  const check = checkFeature(call, GET | SET, size);
  if (check <= 0) return check;
  if (!data.copyIn(call.process, call.address, size)) return -EFAULT;
  if (call.flags & GET) return respond(call, yield* migration.currentState(), NO_FILE);
  const target = device_state.get(data.view);
  const made: { file: MigrationFile | null } = { file: null };
  const result = yield* migration.setState(target, made);
  const { file } = made;
  if (result !== 0 || file === null) {
    if (file !== null) yield* file.put();
    return respond(call, target, NO_FILE) === 0 ? result : -EFAULT;
  }
  const fd = call.process.install(file);
  if (fd >= 0) return respond(call, target, fd);
  yield* file.put();
  return respond(call, target, NO_FILE) === 0 ? -EMFILE : -EFAULT;
}

function respond({ process, address }: FeatureCall, state: number, fd: number): number {
  const { size, device_state, data_fd } = vfio_device_feature_mig_state;
  device_state.set(data.view, state);
  data_fd.set(data.view, fd);
  return data.copyOut(process, address, size) ? 0 : -EFAULT;
}

/** MIG_DATA_SIZE: bytes that STOP_COPY would give. */
export function* dataSize(device: VfioDevice, call: FeatureCall): Step<number> {
  const { migration } = device;
  if (migration === null) return -ENOTTY;
  const { size, stop_copy_length } = vfio_device_feature_mig_data_size;
  const check = checkFeature(call, GET, size);
  if (check <= 0) return check;
  const bytes = yield* migration.dataSize();
  stop_copy_length.setNumber(data.view, bytes);
  return data.copyOut(call.process, call.address, size) ? 0 : -EFAULT;
}

/** MIG_PRECOPY_INFOv2: its user understands that PRE_COPY's initial bytes may begin anew, which those of virq's files never do. */
export function* precopyInfoV2(device: VfioDevice, call: FeatureCall): Step<number> {
  const { migration } = device;
  if (migration === null) return -ENOTTY;
  const check = checkFeature(call, SET, 0);
  if (check <= 0) return check;
  return (migration.flags & VFIO_MIGRATION_PRE_COPY) === 0 ? -EINVAL : 0;
}
