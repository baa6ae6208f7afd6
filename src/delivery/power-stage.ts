import { isLevel } from "../board/assign.js";
import type { Device, Interrupt } from "../board/board.js";
import { REGISTERS_STRIDE } from "../device/register-file.js";
import { type PpcBinding, PpcSoftware } from "../guest/ppc-software.js";
import type { Step } from "../sim/step.js";
import { PPC_GUEST, PpcVmm } from "../vmm/ppc-vmm.js";
import type { Wire } from "./mechanisms/mechanism.js";
import { PowerMachine } from "./power-machine.js";
import { machineOptions, placement, type Stage, type StageRequest } from "./stage.js";

/** Sources of the guest, as QEMU numbers them: pins of its host bridge, and messages. */
const FIRST_PIN = 0x1200;
const FIRST_MESSAGE = 0x1300;
/** Pins of a host bridge. */
const PINS = 4;
const MESSAGE_ADDRESS = 0x400_0000_0000 % 0x1_0000_0000;
const XICS_IPI = 2;

/** Why the guest has no source for so many; null: it has. */
export function whyNoGuestSources(device: Device, interrupts: readonly Interrupt[]): string | null {
  const levels = interrupts.filter((interrupt) => isLevel(device, interrupt)).length;
  return levels > PINS ? `the guest's host bridge has ${PINS} pins` : null;
}

/** A Power board, powered on. */
export function powerMachine({ request }: StageRequest): PowerMachine {
  return new PowerMachine(machineOptions(request), request.workload.realMode);
}

/** Boots it, with a guest that has an in-kernel XICS. */
export function* powerStage(machine: PowerMachine, asked: StageRequest): Step<Stage> {
  const { device, workload } = asked.request;
  yield* machine.boot();
  const wires = wiresOf(device, asked.interrupts);
  const servers = Array.from({ length: workload.vcpus }, (_, index) => index);
  const vmm = yield* PpcVmm.start(machine.host, machine.nodes, {
    ...placement(machine.host.cpus.length),
    servers,
    sources: wires.map(({ line, message }) => ({ irq: line, isLsi: message === null })),
    software: new PpcSoftware({
      servers,
      tokens: PPC_GUEST.tokens,
      rtas: PPC_GUEST.rtas,
      devices: wires.map(({ index, line }): PpcBinding => ({ source: line, address: PPC_GUEST.devices + index * REGISTERS_STRIDE, accessesPerService: workload.accessesPerService })),
      idle: workload.wait === "spin" ? "spin" : "cede",
      handlerNs: workload.handlerNs,
    }),
  });
  return {
    machine,
    vmm,
    wires,
    guestNumbers: wires.map(({ line }) => line),
    spuriousNumber: 0,
    ipis: { first: XICS_IPI, last: XICS_IPI },
    deviceNumbers: null,
    apicv: null,
    realMode: machine.hasRealMode,
  };
}

/** A pin gets a level source, a message one of its own, whose number is its data. */
function wiresOf(device: Device, interrupts: readonly Interrupt[]): Wire[] {
  let pins = 0;
  return interrupts.map((interrupt, i): Wire => {
    const { index } = interrupt;
    if (isLevel(device, interrupt)) return { index, line: FIRST_PIN + pins++, message: null };
    return { index, line: FIRST_MESSAGE + i, message: { address: MESSAGE_ADDRESS, data: FIRST_MESSAGE + i } };
  });
}
