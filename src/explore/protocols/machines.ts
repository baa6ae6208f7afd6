import { isX86, type MechanismName } from "../../board/assign.js";
import { builtinBoard } from "../../board/builtin.js";
import { findDevice, findInterrupt } from "../../board/find-device.js";
import { COST_PROFILES } from "../../scenario/profiles.js";
import { workloadSchema } from "../../scenario/scenario.js";
import type { DeliveryRequest } from "../../delivery/request.js";
import { asking } from "../asking.js";
import { deliveryProtocol } from "../delivery-protocol.js";
import { PROPERTIES } from "../properties/index.js";
import type { Protocol } from "../protocol.js";

const RAISES = 2;

interface Where {
  readonly board: string;
  readonly device: string;
  readonly index: number;
  readonly mechanism: MechanismName;
}

function request({ board: name, device: path, index, mechanism }: Where): DeliveryRequest {
  const board = builtinBoard(name);
  if (board === undefined) throw new Error(`no board ${name}`);
  const device = findDevice(board, path);
  return { board, device, interrupts: [findInterrupt(device, index)], workload: workloadSchema.parse({ wait: isX86(board) ? "hlt" : "wfi" }), profile: COST_PROFILES[0], mechanisms: [mechanism] };
}

/** A whole machine, host, VMM and guest, of which every property that hears events is asked. */
function machine(name: string, where: Where, how: string): Protocol {
  const source = "kvm-irq-core.md 1 to 5, 8.3";
  const makers = PROPERTIES.map(({ make }) => make);
  const title = `A device of the ${where.board} board raises its interrupt twice, at any moment, ${how}: every rule holds from the wire to the guest.`;
  const named = (hazards: Parameters<Protocol["program"]>[0]) => asking(deliveryProtocol(request(where), { raises: RAISES, sliceEnds: 0 }, source), makers).program(hazards);
  return { name, title, source, program: named };
}

const MIDWAY = { board: "midway", device: "/soc/ethernet@fff50000", index: 0 };

export const midwayResampled = machine("midway-irqfd-resample", { ...MIDWAY, mechanism: "irqfd+resample" }, "delivered by an irqfd that resamples");
export const midwayForwarded = machine("midway-forward", { ...MIDWAY, mechanism: "forward" }, "forwarded to its guest");
const PC = { board: "pc", device: "01:00.0" };

export const pcPinResampled = machine("pc-pin-irqfd-resample", { ...PC, index: 0, mechanism: "irqfd+resample" }, "by its pin and an irqfd that resamples");
export const pcMessage = machine("pc-message-irqfd", { ...PC, index: 1, mechanism: "irqfd" }, "by a message and an irqfd");
