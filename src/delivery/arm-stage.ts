import { isLevel } from "../board/assign.js";
import { REGISTERS_STRIDE } from "../device/register-file.js";
import { binding } from "../guest/bindings.js";
import { GuestSoftware } from "../guest/software.js";
import { costTable } from "../scenario/profile.js";
import type { Step } from "../sim/step.js";
import { GUEST, Vmm } from "../vmm/vmm.js";
import { Machine } from "./machine.js";
import { placement, type Stage, type StageRequest } from "./stage.js";

const FIRST_GUEST_SPI = 40;
const LAST_SGI = 15;

/** A board with a GIC, powered on. */
export function armMachine({ request }: StageRequest): Machine {
  const { board, device, workload, profile, hazards } = request;
  return new Machine({ board, device, seed: workload.seed, costs: costTable(profile), accessesToService: workload.accessesPerService, hazards });
}

/** Boots it, with a guest that has an in-kernel GIC. */
export function* armStage(machine: Machine, asked: StageRequest): Step<Stage> {
  const { workload } = asked.request;
  yield* machine.boot();
  const wires = asked.interrupts.map(({ index }, i) => ({ index, line: FIRST_GUEST_SPI + i, message: null }));
  const vmm = yield* Vmm.start(machine.host, machine.nodes, {
    ...placement(machine.host.cpus.length),
    vcpus: workload.vcpus,
    interrupts: 64 + 32 * Math.ceil(wires.length / 32),
    software: software(asked, machine.host.gic.version),
  });
  return { machine, vmm, wires, guestNumbers: wires.map(({ line }) => line), ipis: { first: 0, last: LAST_SGI }, deviceNumbers: null, apicv: null };
}

function software({ request, interrupts }: StageRequest, version: 2 | 3): GuestSoftware {
  const { workload, device } = request;
  const guestIntid = (i: number): number => FIRST_GUEST_SPI + i;
  return new GuestSoftware({
    gic: { version, distributor: GUEST.distributor, redistributors: GUEST.redistributors },
    base: GUEST.ram,
    spis: interrupts.map((interrupt, i) => ({ intid: guestIntid(i), trigger: isLevel(device, interrupt) ? "level" : "edge" })),
    devices: interrupts.map(({ index }, i) =>
      binding(guestIntid(i), GUEST.devices + index * REGISTERS_STRIDE, { accessesPerService: workload.accessesPerService }),
    ),
    eoiMode: workload.eoiMode,
    idle: workload.wait === "spin" ? "spin" : "wfi",
    othersIdle: "wfi",
    handlerNs: workload.handlerNs,
    vcpus: workload.vcpus,
  });
}
