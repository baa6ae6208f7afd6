import type { MechanismName } from "../board/assign.js";
import type { Interrupt } from "../board/board.js";
import type { Step } from "../sim/step.js";
import type { AssignedDevice } from "../vmm/platform-device.js";
import type { VmmCore } from "../vmm/vmm-core.js";
import { costTable } from "../scenario/profile.js";
import type { BoardMachine, MachineOptions } from "./machine.js";
import type { Wire, WiredEventfds } from "./mechanisms/mechanism.js";
import type { DeliveryRequest } from "./request.js";

/** What is to be set up: one mechanism for some interrupts of the request's device. */
export interface StageRequest {
  readonly request: DeliveryRequest;
  readonly mechanism: MechanismName;
  readonly interrupts: readonly Interrupt[];
}

/** Numbers at a controller: first and last. */
export interface Range {
  readonly first: number;
  readonly last: number;
}

/** Interrupts that are wired as the guest asks for them. */
export interface GuestWiring {
  /** The device is there; the guest has not run. */
  begin(device: AssignedDevice): Step<void>;
  /** Of each wire, in their order, when the guest has booted. @throws PersonError where the host has no interrupts for them */
  eventfds(): readonly WiredEventfds[];
}

/** A machine with a VMM whose guest has drivers for the wires; nothing is wired yet. */
export interface Stage {
  readonly machine: BoardMachine;
  readonly vmm: VmmCore;
  readonly wires: readonly Wire[];
  /** What the guest acknowledges for each wire, once it has booted. */
  readonly guestNumbers: () => readonly number[];
  /** Where the guest asks for its interrupts as it boots: what wires them then. Null: they are wired by who has the stage. */
  readonly guestWiring: GuestWiring | null;
  /** What an acknowledge returns when there is nothing. */
  readonly spuriousNumber: number;
  /** Numbers of inter-processor interrupts at the host's controller. */
  readonly ipis: Range;
  /** Numbers of device interrupts there; null: each line's own. */
  readonly deviceNumbers: Range | null;
  /** x86: are virtual interrupts delivered by the processor? Null elsewhere. */
  readonly apicv: boolean | null;
  /** Power: does KVM serve hypercalls of the interrupt controller in real mode? Null elsewhere. */
  readonly realMode: boolean | null;
}

/** The machine that a request asks for. */
export function machineOptions({ board, device, workload, profile, vfioProfile, hazards }: DeliveryRequest): MachineOptions {
  return { board, device, seed: workload.seed, costs: costTable(profile), accessesToService: workload.accessesPerService, dmaAddress: workload.dmaAddress, vfioProfile, hazards };
}

/** vCPUs that take interrupts: as many as asked for, where there is one for each. */
export const takersOf = ({ request, interrupts }: Pick<StageRequest, "request" | "interrupts">): number => Math.min(request.workload.targets, interrupts.length);

/** CPUs that host interrupts and the VMM take. */
export const HOST_CPUS = 2;

/**
 * Host interrupts on CPU 0, the VMM on the next, the vCPU that takes the interrupts on one of its own, the others on the rest.
 *
 * @param shared all vCPUs have so many by turns
 */
export function placement(cpus: number, shared?: number): { mainCpu: number; vcpuCpus: number[]; sharesCpus: boolean } {
  if (cpus <= HOST_CPUS) return { mainCpu: cpus - 1, vcpuCpus: [cpus - 1], sharesCpus: false };
  return { mainCpu: 1, vcpuCpus: Array.from({ length: shared ?? cpus - HOST_CPUS }, (_, i) => i + HOST_CPUS), sharesCpus: shared !== undefined };
}
