import { isX86, type MechanismName } from "../../board/assign.js";
import { EventfdFile } from "../../host/eventfd.js";
import { run, type Step } from "../../sim/step.js";
import { AssignedDevice } from "../../vmm/platform-device.js";
import type { VmmCore } from "../../vmm/vmm-core.js";
import { armMachine, armStage } from "../arm-stage.js";
import { DELIVERY_MECHANISMS } from "../mechanisms/all.js";
import type { Stage, StageRequest } from "../stage.js";
import { pcMachine, x86Stage } from "../x86-stage.js";
import type { Assembled } from "./measured.js";

/** The way that KVM has for each: a level needs its end, an edge has none. */
export const mechanismFor = (isLevel: boolean): MechanismName => (isLevel ? "irqfd+resample" : "irqfd");

/** A machine with a guest of KVM's, and the device's interrupt wired into it by one of the mechanisms. */
export function assembleOnKvm(asked: StageRequest): Assembled {
  const stage = isX86(asked.request.board) ? run(x86Stage(pcMachine(asked), asked)) : run(armStage(armMachine(asked), asked));
  return run(assemble(stage, asked));
}

function* assemble({ machine, vmm, wires }: Stage, { mechanism }: StageRequest): Step<Assembled> {
  const [wire] = wires;
  const assigned = yield* AssignedDevice.assign(vmm, machine.group, machine.deviceName, machine.open);
  yield* assigned.prepare([wire.index]);
  const made = yield* DELIVERY_MECHANISMS[mechanism].wire(vmm, assigned, wire);
  vmm.run();
  yield* machine.sim.settle();
  const { irq, source } = machine.lineOf(wire.index);
  yield* machine.placeInterrupt(irq);
  return { host: machine.host, vfio: assigned.vfio, index: wire.index, irq, source, trigger: idOf(vmm, made.trigger), resample: idOf(vmm, made.resample), guest: null };
}

function idOf(vmm: VmmCore, fd: number): number {
  const file = fd < 0 ? null : vmm.process.file(fd);
  return file instanceof EventfdFile ? file.context.id : -1;
}
