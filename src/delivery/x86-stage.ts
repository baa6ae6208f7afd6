import { HostVector } from "../arch/x86/host-vectors.js";
import { isLevel, type MechanismName } from "../board/assign.js";
import type { Device, Interrupt } from "../board/board.js";
import { REGISTERS_STRIDE } from "../device/register-file.js";
import { PIC_BASE, type X86Binding, X86Software } from "../guest/x86-software.js";
import type { Workload } from "../scenario/scenario.js";
import type { Step } from "../sim/step.js";
import { X86_GUEST, X86Vmm } from "../vmm/x86-vmm.js";
import { PcMachine } from "./machine.js";
import type { Wire } from "./mechanisms/mechanism.js";
import { machineOptions, placement, type Stage, type StageRequest } from "./stage.js";

/** Lines of the first PIC that a PC leaves to PCI. */
const PIC_LINES: readonly number[] = [5, 7, 3, 4];
/** Pins of the IOAPIC beyond the ISA interrupts. */
const FIRST_PIN = 16;
const PINS = 8;
const FIRST_MESSAGE_GSI = 24;
const FIRST_VECTOR = 0x40;
const END_VECTOR = 0xf0;
const MESSAGE_ADDRESS = 0xfee0_0000;
const HIGHEST_VECTOR = 0xff;

/** Why the guest has no number for so many, or for such interrupts; null: it has. */
export function whyNoGuestNumbers(device: Device, interrupts: readonly Interrupt[], workload: Workload, mechanism: MechanismName): string | null {
  const levels = interrupts.filter((interrupt) => isLevel(device, interrupt)).length;
  if (interrupts.length > END_VECTOR - FIRST_VECTOR) return `the guest's CPU has ${END_VECTOR - FIRST_VECTOR} vectors for devices`;
  if (workload.eoi !== "pic") return levels > PINS ? `the guest's IOAPIC has ${PINS} pins for PCI` : null;
  if (mechanism === "split") return "a split irqchip has no PIC in the kernel, and this guest uses one";
  if (levels < interrupts.length) return "the guest uses the PIC alone, which takes no messages";
  return levels > PIC_LINES.length ? `the guest's PIC has ${PIC_LINES.length} lines for PCI` : null;
}

/** A PC, powered on. Posting needs APIC virtualisation, the other mechanisms have it where the workload asks for it. */
export function pcMachine({ request, mechanism }: StageRequest): PcMachine {
  const postsDevices = mechanism === "posted";
  return new PcMachine(machineOptions(request), { apicv: request.workload.apicv || postsDevices, postsDevices });
}

/** Boots it, with a guest whose local APICs are in the kernel. */
export function* x86Stage(machine: PcMachine, asked: StageRequest): Step<Stage> {
  const { device, workload } = asked.request;
  yield* machine.boot();
  const { wires, vectors } = guestNumbers(device, asked.interrupts, workload);
  const vmm = yield* X86Vmm.start(machine.host, machine.nodes, {
    ...placement(machine.host.cpus.length),
    vcpus: workload.vcpus,
    irqchip: asked.mechanism === "split" ? "split" : "full",
    software: new X86Software({
      base: X86_GUEST.code,
      cpus: workload.vcpus,
      scratch: X86_GUEST.scratch,
      devices: wires.map((wire, i) => bindingOf(wire, vectors[i], workload)),
      eoi: workload.eoi,
      idle: workload.wait === "spin" ? "spin" : "hlt",
      handlerNs: workload.handlerNs,
    }),
  });
  for (let i = 0; i < wires.length; i++) {
    const { line, message } = wires[i];
    if (message !== null) yield* vmm.routeMessage(line, message);
  }
  const ipis = { first: HostVector.POSTED_INTR_WAKEUP, last: HIGHEST_VECTOR };
  const deviceNumbers = { first: HostVector.FIRST_EXTERNAL, last: HostVector.FIRST_SYSTEM - 1 };
  return { machine, vmm, wires, guestNumbers: () => vectors, guestWiring: null, spuriousNumber: -1, ipis, deviceNumbers, apicv: machine.hasApicv, realMode: null };
}

/** A level interrupt gets a pin, a message a GSI of its own; each has its vector. */
function guestNumbers(device: Device, interrupts: readonly Interrupt[], workload: Workload): { wires: Wire[]; vectors: number[] } {
  const wires: Wire[] = [];
  const vectors: number[] = [];
  let pins = 0;
  for (const [i, interrupt] of interrupts.entries()) {
    const isPic = workload.eoi === "pic";
    const pin = isPic ? PIC_LINES[pins] : FIRST_PIN + pins;
    const vector = isPic ? PIC_BASE + pin : FIRST_VECTOR + i;
    if (isLevel(device, interrupt)) {
      pins++;
      wires.push({ index: interrupt.index, line: pin, message: null });
    } else wires.push({ index: interrupt.index, line: FIRST_MESSAGE_GSI + i, message: { address: MESSAGE_ADDRESS, data: vector } });
    vectors.push(vector);
  }
  return { wires, vectors };
}

function bindingOf({ index, line, message }: Wire, vector: number, workload: Workload): X86Binding {
  const address = X86_GUEST.devices + index * REGISTERS_STRIDE;
  return { vector, pin: message === null ? line : null, address, accessesPerService: workload.accessesPerService };
}
