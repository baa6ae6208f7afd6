import type { Host } from "../host/machine.js";
import { type Context, ContextState } from "../sim/context.js";

/** Where a vCPU is when an interrupt comes for it: on a CPU (its vPE is resident there), waiting for one, or asleep. */
export const VCPU_STATES = ["resident", "runnable", "blocked"] as const;
export type VcpuState = (typeof VCPU_STATES)[number];

/** Of the vCPU that a thread runs. */
export function vcpuStateOf(host: Host, thread: Context): VcpuState {
  const { thread: running, runQueue } = host.cpus[thread.cpu];
  if (running === thread) return "resident";
  return (runQueue?.has(thread) ?? false) || thread.state === ContextState.READY ? "runnable" : "blocked";
}
