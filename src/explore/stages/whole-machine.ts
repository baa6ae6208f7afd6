import { isX86, type MechanismName } from "../../board/assign.js";
import { builtinBoard } from "../../board/builtin.js";
import { findDevice, findInterrupt } from "../../board/find-device.js";
import type { LineDevice } from "../../device/line-device.js";
import { armMachine, armStage } from "../../delivery/arm-stage.js";
import { DELIVERY_MECHANISMS } from "../../delivery/mechanisms/all.js";
import type { DeliveryRequest } from "../../delivery/request.js";
import type { Stage } from "../../delivery/stage.js";
import { pcMachine, x86Stage } from "../../delivery/x86-stage.js";
import { COST_PROFILES, DEFAULT_X86_PROFILE } from "../../scenario/profiles.js";
import { workloadSchema } from "../../scenario/scenario.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { AssignedDevice } from "../../vmm/platform-device.js";

export interface WholeMachineOptions {
  /** "virt": a device of a board with a GIC, on a level SPI. "pc": a PCI function of a PC, by its pin, or by its message. */
  readonly board: "virt" | "pc" | "pc, by message";
  /** What the guest does between interrupts. Default "spin". */
  readonly wait?: "spin" | "hlt";
  readonly mechanism: MechanismName;
  /** Register accesses that the guest's handler makes. Default 1. */
  readonly accessesPerService?: number;
}

const FUNCTION = "01:00.0";
const SUBJECTS = {
  virt: { board: "virt", device: "/virtio_mmio@a000000", index: 0 },
  pc: { board: "pc", device: FUNCTION, index: 0 },
  "pc, by message": { board: "pc", device: FUNCTION, index: 1 },
} as const;

function requestOf({ board: name, mechanism, wait, accessesPerService }: WholeMachineOptions): DeliveryRequest {
  const subject = SUBJECTS[name];
  const board = builtinBoard(subject.board, { assumeIommu: true });
  if (board === undefined) throw new Error(`no board ${subject.board}`);
  const found = findDevice(board, subject.device);
  const asItIs = findInterrupt(found, subject.index);
  const interrupt = asItIs.kind === "msi" ? asItIs : { ...asItIs, trigger: "level-high" as const };
  const device = { ...found, interrupts: found.interrupts.map((each) => (each === asItIs ? interrupt : each)) };
  const workload = workloadSchema.parse({ interrupts: 1, wait, accessesPerService });
  const profile = COST_PROFILES.find((each) => isX86(board) === (each.name === DEFAULT_X86_PROFILE)) ?? COST_PROFILES[0];
  return { board, device, interrupts: [interrupt], workload, profile, mechanisms: [mechanism] };
}

/** Descriptions only, which nothing changes: made once, where a search builds a machine for each execution. */
const requests = new Map<string, DeliveryRequest>();

function cachedRequest(options: WholeMachineOptions): DeliveryRequest {
  const key = `${options.board} ${options.mechanism} ${options.wait ?? ""} ${options.accessesPerService ?? 1}`;
  const made = requests.get(key) ?? requestOf(options);
  requests.set(key, made);
  return made;
}

/**
 * A machine from the device to the guest's driver: host with VFIO and KVM, the reference VMM, a guest that serves one
 * level interrupt of an assigned device. The guest runs and waits; the interrupt is not wired yet.
 */
export class WholeMachine {
  readonly sim: Sim;
  readonly source: LineDevice;
  readonly device: AssignedDevice;
  private readonly stage: Stage;

  constructor(
    private readonly options: WholeMachineOptions,
    hazards: Partial<Hazards> = {},
  ) {
    const request = { ...cachedRequest(options), hazards };
    const asked = { request, mechanism: options.mechanism, interrupts: request.interrupts };
    this.stage = run(options.board === "virt" ? armStage(armMachine(asked), asked) : x86Stage(pcMachine(asked), asked));
    const { machine, vmm, wires } = this.stage;
    this.sim = machine.sim;
    this.device = run(AssignedDevice.assign(vmm, machine.group, machine.deviceName, machine.open));
    run(this.device.prepare(wires.map((wire) => wire.index)));
    const line = machine.lineOf(wires[0].index);
    this.source = line.source;
    run(machine.placeInterrupt(line.irq));
    vmm.run();
    run(this.sim.settle());
  }

  /** What the VMM's main thread does to connect the interrupt. */
  *wire(): Step<void> {
    const { vmm, wires } = this.stage;
    yield* DELIVERY_MECHANISMS[this.options.mechanism].wire(vmm, this.device, wires[0]);
  }

  /** Null when the guest's handler found every condition that the device raised. */
  lost(): string | null {
    const { lost, raised } = this.source.counts;
    return lost === 0 ? null : `${lost} of ${raised} conditions of the device ${lost === 1 ? "is" : "are"} never served: the interrupt is lost`;
  }

  /**
   * Null when no handler ran for nothing. A level interrupt that VFIO masks by disabling it may come once too often, for
   * disabling is lazy (host-irq.md 1.7); one that its function masks does not.
   */
  invented(): string | null {
    const { spurious } = this.source.counts;
    return spurious === 0 ? null : `the guest's handler ran ${spurious} ${spurious === 1 ? "time" : "times"} for nothing: the interrupt is invented`;
  }

  /** Null while handlers run for nothing less often than conditions were raised. */
  storm(): string | null {
    const { spurious, raised } = this.source.counts;
    return spurious <= raised ? null : `the guest's handler ran ${spurious} times for nothing after ${raised} ${raised === 1 ? "condition" : "conditions"}: an interrupt storm`;
  }
}
