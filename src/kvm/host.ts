import type { PhysicalGic } from "../arch/gic/contract.js";
import type { HostCpu } from "../host/cpu.js";
import type { ItsDriver } from "../host/its/its-driver.js";
import type { Sim } from "../sim/sim.js";
import type { WorkQueue } from "../sim/workqueue.js";
import type { Vcpu } from "./arm64/vcpu.js";

/** What KVM needs of the host kernel; `KvmModule` makes it of a `Host` (src/host/machine.ts). */
export interface KvmHost {
  readonly sim: Sim;
  /** The shared system work queue: an irqfd's inject work. */
  readonly events: WorkQueue;
  /** `kvm-irqfd-cleanup`, one for all VMs: an irqfd's shutdown work. */
  readonly irqfdCleanup: WorkQueue;
  /** The controller guests are served with; null on a host without one. */
  readonly gic: PhysicalGic | null;
  /** arm64: the ITSs whose GICv4 KVM may use; null or absent without, or without leave. */
  readonly its?: ItsDriver | null;
  readonly cpus: readonly HostCpu[];
  /** CNTFRQ_EL0 */
  readonly counterHz: number;
  /** The longest halt poll of a new VM's vCPUs, nanoseconds; 0 is off. */
  readonly haltPollMaxNs: number;
  /** By physical CPU: the vCPU whose state is loaded there (kvm_running_vcpu). */
  readonly loaded: (Vcpu | null)[];
}
