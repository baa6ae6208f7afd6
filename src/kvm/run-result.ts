/** What the parts of KVM_RUN answer besides a negative errno. */

/** Back to user space; `exit_reason` says why. */
export const TO_USER = 0;
/** Handled: round the loop again. */
export const CONTINUE = 1;
/**
 * KVM_RUN has not ended: its thread sleeps in the guest or in the kernel. The thread's body returns and, when woken,
 * calls `resume`.
 */
export { STILL_INSIDE } from "../host/file.js";
