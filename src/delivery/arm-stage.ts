import { isDirect, isLevel } from "../board/assign.js";
import { REGISTERS_STRIDE } from "../device/register-file.js";
import { binding } from "../guest/bindings.js";
import { doorbellOf, FIRST_LPI, type LpiSetup } from "../guest/lpi-setup.js";
import { GuestSoftware } from "../guest/software.js";
import type { Step } from "../sim/step.js";
import { GUEST, Vmm } from "../vmm/vmm.js";
import { Machine } from "./machine.js";
import type { Wire } from "./mechanisms/mechanism.js";
import { machineOptions, placement, type Stage, type StageRequest, takersOf } from "./stage.js";

const FIRST_GUEST_SPI = 40;
const LAST_SGI = 15;
const SPURIOUS = 1023;
const FIRST_MESSAGE_GSI = 1024;
/** Where the guest's kernel keeps the tables of its ITS. */
const TABLES = GUEST.ram + 0x10_0000;
/** The function is 00:01.0 in the guest. */
const GUEST_DEVICE_ID = 8;

/** A board with a GIC, powered on. */
export function armMachine({ request, mechanism }: StageRequest): Machine {
  return new Machine(machineOptions(request), { vgicV4Enable: isDirect(mechanism), vgic: { compat: request.workload.compat } });
}

/** Boots it, with a guest that has an in-kernel GIC. */
export function* armStage(machine: Machine, asked: StageRequest): Step<Stage> {
  const { workload } = asked.request;
  yield* machine.boot();
  const hasIts = usesIts(asked, machine.host.gic.version);
  const wires = asked.interrupts.map(({ index }, i): Wire => (hasIts ? messageWire(index, i) : { index, line: FIRST_GUEST_SPI + i, message: null }));
  const vmm = yield* Vmm.start(machine.host, machine.nodes, {
    ...placement(machine.host.cpus.length, workload.cpus),
    vcpus: workload.vcpus,
    interrupts: 64 + 32 * Math.ceil(hasIts ? 0 : wires.length / 32),
    hasIts,
    software: software(asked, machine.host.gic.version, hasIts),
  });
  const routed = wires.flatMap(({ line, message }) => (message === null ? [] : [{ line, message }]));
  if (routed.length > 0) yield* vmm.routeMessages(routed);
  return { machine, vmm, wires, guestNumbers: () => wires.map(({ line }, i) => (hasIts ? FIRST_LPI + i : line)), guestWiring: null, spuriousNumber: SPURIOUS, ipis: { first: 0, last: LAST_SGI }, deviceNumbers: null, apicv: null, realMode: null };
}

/** Messages go to an ITS of the guest where a GICv3 gives it one; a GICv2's guest has an SPI for each. */
function usesIts({ interrupts }: StageRequest, version: 2 | 3): boolean {
  return version === 3 && interrupts.every((interrupt) => interrupt.kind === "msi");
}

/** Event `i` of the function, at a GSI of its own. */
function messageWire(index: number, i: number): Wire {
  const line = FIRST_GUEST_SPI + FIRST_MESSAGE_GSI + i;
  return { index, line, message: { address: doorbellOf(GUEST.its), data: i, deviceId: GUEST_DEVICE_ID } };
}

function software({ request, interrupts, mechanism }: StageRequest, version: 2 | 3, hasIts: boolean): GuestSoftware {
  const { workload, device } = request;
  const takers = takersOf({ request, interrupts });
  const guestIntid = (i: number): number => (hasIts ? FIRST_LPI : FIRST_GUEST_SPI) + i;
  const lpis: LpiSetup = { its: GUEST.its, tables: TABLES, deviceId: GUEST_DEVICE_ID, events: interrupts.length, targets: takers };
  return new GuestSoftware({
    gic: { version, distributor: GUEST.distributor, redistributors: GUEST.redistributors },
    base: GUEST.ram,
    ...(hasIts ? { lpis } : {}),
    spis: hasIts ? [] : interrupts.map((interrupt, i) => ({ intid: guestIntid(i), trigger: isLevel(device, interrupt) ? "level" : "edge", target: i % takers })),
    devices: interrupts.map(({ index }, i) =>
      binding(guestIntid(i), GUEST.devices + index * REGISTERS_STRIDE, { accessesPerService: workload.accessesPerService }),
    ),
    eoiMode: workload.eoiMode,
    idle: workload.wait === "spin" && mechanism !== "direct:blocked" ? "spin" : "wfi",
    takers,
    othersIdle: workload.others === "spin" ? "spin" : "wfi",
    handlerNs: workload.handlerNs,
    vcpus: workload.vcpus,
  });
}
