import { EINVAL } from "../../uapi/errno.js";
import {
  VFIO_DEVICE_STATE_ERROR as ERROR,
  VFIO_DEVICE_STATE_NR,
  VFIO_DEVICE_STATE_PRE_COPY as PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P as PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING as RESUMING,
  VFIO_DEVICE_STATE_RUNNING as RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P as RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP as STOP,
  VFIO_DEVICE_STATE_STOP_COPY as STOP_COPY,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
} from "../../uapi/vfio.js";

/** First step from a state (row) to another (column, in the order of the numbers), with everything supported (vfio.md 15.2). */
const STEPS: Readonly<Record<number, readonly number[]>> = {
  [ERROR]: [ERROR, ERROR, ERROR, ERROR, ERROR, ERROR, ERROR, ERROR],
  [STOP]: [ERROR, STOP, RUNNING_P2P, STOP_COPY, RESUMING, RUNNING_P2P, RUNNING_P2P, RUNNING_P2P],
  [RUNNING]: [ERROR, RUNNING_P2P, RUNNING, RUNNING_P2P, RUNNING_P2P, RUNNING_P2P, PRE_COPY, RUNNING_P2P],
  [STOP_COPY]: [ERROR, STOP, STOP, STOP_COPY, STOP, STOP, ERROR, ERROR],
  [RESUMING]: [ERROR, STOP, STOP, STOP, RESUMING, STOP, STOP, STOP],
  [RUNNING_P2P]: [ERROR, STOP, RUNNING, STOP, STOP, RUNNING_P2P, RUNNING, PRE_COPY_P2P],
  [PRE_COPY]: [ERROR, RUNNING, RUNNING, PRE_COPY_P2P, RUNNING, RUNNING, PRE_COPY, PRE_COPY_P2P],
  [PRE_COPY_P2P]: [ERROR, RUNNING_P2P, RUNNING_P2P, STOP_COPY, RUNNING_P2P, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P],
};

/** What a device must be able to do for a state to exist. */
function needs(state: number): number {
  if (state === RUNNING_P2P) return VFIO_MIGRATION_P2P;
  if (state === PRE_COPY) return VFIO_MIGRATION_PRE_COPY;
  return state === PRE_COPY_P2P ? VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY : 0;
}

/** Has a device with these VFIO_MIGRATION_* flags the state? */
export function hasState(flags: number, state: number): boolean {
  return state < VFIO_DEVICE_STATE_NR && (needs(state) & ~flags) === 0;
}

/** The state to enter next on the way from one to another; -EINVAL where there is no way. */
export function nextState(flags: number, from: number, to: number): number {
  if (!hasState(flags, to)) return -EINVAL;
  let next = STEPS[from][to];
  while (!hasState(flags, next)) next = STEPS[next][to];
  return next === ERROR ? -EINVAL : next;
}

/** Is state of the device being read out, in one file from its first state to its last? */
export function isSaving(state: number): boolean {
  return state === PRE_COPY || state === PRE_COPY_P2P || state === STOP_COPY;
}
