import { CHANGE_MSI_FN, CHANGE_MSIX_FN, TCE_PAGE } from "../arch/papr.js";
import { isLevel } from "../board/assign.js";
import type { Device, Interrupt } from "../board/board.js";
import { REGISTERS_STRIDE } from "../device/register-file.js";
import type { PpcFunctionDriver, PpcService } from "../guest/ppc-function-driver.js";
import { PpcSoftware } from "../guest/ppc-software.js";
import type { Step } from "../sim/step.js";
import { PPC_GUEST, PpcVmm } from "../vmm/ppc-vmm.js";
import type { Wire } from "./mechanisms/mechanism.js";
import { CONFIG_ADDRESS, PowerFunction, VectorWire } from "./power-function.js";
import { PowerMachine } from "./power-machine.js";
import { machineOptions, placement, type Stage, type StageRequest } from "./stage.js";

/** Sources of the guest, as QEMU numbers them: pins of its host bridge. */
const FIRST_PIN = 0x1200;
/** Pins of a host bridge. */
const PINS = 4;
const XICS_IPI = 2;

/** What the function's driver has in the guest's RAM: a list of DMA entries, its sources' numbers, what hypercalls answered, and buffers. */
export const POWER_DRIVER = { list: 0x10_1000, numbers: 0x10_2000, statuses: 0x10_3000, buffers: 0x12_0000, pages: 8 } as const;

/** Why the guest has no source for so many; null: it has. */
export function whyNoGuestSources(device: Device, interrupts: readonly Interrupt[]): string | null {
  const levels = interrupts.filter((interrupt) => isLevel(device, interrupt)).length;
  return levels > PINS ? `the guest's host bridge has ${PINS} pins` : null;
}

/** A Power board, powered on. */
export function powerMachine({ request }: StageRequest): PowerMachine {
  return new PowerMachine(machineOptions(request), request.workload.realMode);
}

/** Boots it, with a guest that has an in-kernel XICS, and whose driver sets up DMA and asks firmware for messages. */
export function* powerStage(machine: PowerMachine, asked: StageRequest): Step<Stage> {
  const { device, workload } = asked.request;
  yield* machine.boot();
  const { wires, pin, vectors } = wiresOf(device, asked.interrupts);
  const pins = pin === null ? wires : [pin];
  const servers = Array.from({ length: workload.vcpus }, (_, index) => index);
  const serviceOf = ({ index }: Wire): PpcService => ({ address: PPC_GUEST.devices + index * REGISTERS_STRIDE, accessesPerService: workload.accessesPerService });
  const { msi, msix } = capabilitiesOf(device);
  const vmm = yield* PpcVmm.start(machine.host, machine.nodes, {
    ...placement(machine.host.cpus.length),
    servers,
    sources: pins.filter(({ message }) => message === null).map(({ line }) => ({ irq: line, isLsi: true })),
    software: new PpcSoftware({
      servers,
      tokens: PPC_GUEST.tokens,
      rtas: PPC_GUEST.rtas,
      devices: pins.filter(({ message }) => message === null).map((wire) => ({ source: wire.line, ...serviceOf(wire) })),
      functions: [driverOf(machine, msix > 0, pin, vectors, serviceOf)],
      idle: workload.wait === "spin" ? "spin" : "cede",
      handlerNs: workload.handlerNs,
    }),
  });
  return {
    machine,
    vmm,
    wires,
    guestNumbers: () => wires.map(({ line }) => line),
    guestWiring: vectors.length === 0 ? null : new PowerFunction(vmm, { msi, msix, pin, vectors, mechanism: asked.mechanism }),
    spuriousNumber: 0,
    ipis: { first: XICS_IPI, last: XICS_IPI },
    deviceNumbers: null,
    apicv: null,
    realMode: machine.hasRealMode,
  };
}

/** The driver of the function that is studied: DMA in any case, messages where they are studied. */
function driverOf(machine: PowerMachine, isMsix: boolean, pin: Wire | null, vectors: readonly VectorWire[], serviceOf: (wire: Wire) => PpcService): PpcFunctionDriver {
  const { list, numbers, statuses, buffers, pages } = POWER_DRIVER;
  const count = Math.max(-1, ...vectors.map(({ vector }) => vector)) + 1;
  return {
    buid: PPC_GUEST.buid,
    configAddress: CONFIG_ADDRESS,
    change: isMsix ? CHANGE_MSIX_FN : CHANGE_MSI_FN,
    count,
    messages: vectors.map((wire) => ({ vector: wire.vector, ...serviceOf(wire) })),
    numbers,
    pin: pin === null ? null : pin.line,
    dma: { liobn: PPC_GUEST.liobn, entries: machine.dmaWindow.size / TCE_PAGE, buffers, pages, list, statuses },
  };
}

/** Vectors by capability: a function with one has MSI, one with several has MSI-X (pci-hardware.ts). */
function capabilitiesOf({ pci }: Device): { msi: number; msix: number } {
  const vectors = pci?.msiVectors ?? 0;
  return vectors > 1 ? { msi: 0, msix: vectors } : { msi: vectors, msix: 0 };
}

interface Wires {
  readonly wires: readonly Wire[];
  /** Where messages are studied: the pin that their function has beside them. */
  readonly pin: Wire | null;
  readonly vectors: readonly VectorWire[];
}

/** A pin gets a level source; a message's is firmware's to choose. */
function wiresOf(device: Device, interrupts: readonly Interrupt[]): Wires {
  const pins = device.interrupts.filter((interrupt) => interrupt.kind !== "msi");
  const pinWire = ({ index }: Interrupt, i: number): Wire => ({ index, line: FIRST_PIN + i, message: null });
  if (interrupts.every((interrupt) => isLevel(device, interrupt))) return { wires: interrupts.map(pinWire), pin: null, vectors: [] };
  const vectors = interrupts.map(({ index }) => new VectorWire(index, index - pins.length));
  return { wires: vectors, pin: pins.length === 0 ? null : pinWire(pins[0], 0), vectors };
}
