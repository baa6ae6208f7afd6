import { beforeAll, describe, expect, it } from "vitest";
import { MECHANISMS, type MechanismName } from "../board/assign.js";
import { builtinBoard } from "../board/builtin.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { addPciFunction } from "../board/pci.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { workloadSchema } from "../scenario/scenario.js";
import { TraceBuffer } from "../sim/event.js";
import { Random } from "../sim/random.js";
import { VFIO_DEVICE_SET_IRQS } from "../uapi/vfio.js";
import { compare, runOne } from "./compare.js";
import type { DeliveryRequest } from "./request.js";
import type { Comparison, MechanismResult } from "./result.js";

/** A function with a pin and `msiVectors` vectors, under the first port of the built-in Seattle. */
function request(irqs: number[], workload: object = {}, msiVectors = 8, mechanisms: readonly MechanismName[] = MECHANISMS): DeliveryRequest {
  const overdrive = builtinBoard("overdrive");
  if (overdrive === undefined) throw new Error("no board");
  const board = addPciFunction(overdrive, { bdf: "01:00.0", intxPin: 1, msiVectors, under: "00:02.1" });
  const device = findDevice(board, "01:00.0");
  const interrupts = irqs.map((index) => findInterrupt(device, index));
  return { board, device, interrupts, workload: workloadSchema.parse({ interrupts: 200, ...workload }), profile: COST_PROFILES[0], mechanisms };
}

const comparison = (...asked: Parameters<typeof request>): Comparison => compare(request(...asked));

const by = (all: Comparison, mechanism: MechanismName): MechanismResult => {
  const found = all.mechanisms.find((each) => each.mechanism === mechanism);
  if (found === undefined) throw new Error(`${mechanism} is missing`);
  return found;
};

describe("INTx of a function on an Arm board", () => {
  let intx: Comparison;
  beforeAll(() => {
    intx = comparison([0]);
  });

  it("costs the exits of a level line (host-irq.md 3.6): resample 2, user space 3", () => {
    expect(by(intx, "irqfd+resample").exitsByReason).toEqual({ IRQ: 2 });
    expect(by(intx, "userspace").exitsByReason).toEqual({ DABT: 1, IRQ: 2 });
  });

  it("host-irq 1.12: DisINTx masks it in the function, so the host takes it once and writes no chip", () => {
    for (const name of ["userspace", "userspace+eoi", "irqfd+resample"] as const)
      expect(by(intx, name)).toMatchObject({ raised: 200, delivered: 200, lost: 0, spurious: 0, hostInterrupts: 200, hostMasksPerInterrupt: 0, hostUnmasksPerInterrupt: 0 });
  });

  it("is neither forwarded nor served by a plain irqfd", () => {
    expect(by(intx, "irqfd").why).toMatch(/the line is level/);
    expect(by(intx, "forward").why).toMatch(/only interrupts of platform devices are forwarded/);
  });

  it.each([1, 2, 3])("loses nothing under bursts that overlap the handler, seed %i", (seed) => {
    for (const result of comparison([0], { interrupts: 600, burst: 3, ratePerSecond: 400_000, seed }).mechanisms.filter((each) => each.applicable)) {
      expect([result.lost, (result.delivered ?? 0) + (result.coalesced ?? 0)]).toEqual([0, 600]);
    }
  });
});

describe("QEMU's trapping VMM (vfio.md 22.2)", () => {
  const KVM_SET_USER_MEMORY_REGION = 0x4020_ae46;

  /** In ms after the first interrupt: the others, and when the registers were taken from the guest, and given back. */
  function switches(interrupts: number, ratePerSecond: number): { raised: number[]; switched: number[]; unmasked: number[] } {
    const trace = new TraceBuffer();
    runOne(request([0], { interrupts, ratePerSecond }, 8, ["userspace"]), trace);
    const raised = trace.events.filter((event) => event.name === "device_raise");
    const since = (events: typeof raised): number[] => events.map((event) => Math.round((event.timeNs - raised[0].timeNs) / 1e6));
    const ioctls = (request: number): typeof raised => trace.events.filter((event) => event.name === "sys_ioctl" && event.args[1] === request && event.timeNs >= raised[0].timeNs);
    return { raised: since(raised), switched: since(ioctls(KVM_SET_USER_MEMORY_REGION)), unmasked: since(ioctls(VFIO_DEVICE_SET_IRQS)) };
  }

  it("vector 108: the registers trap from an interrupt on until 1100 ms without another; the driver's access to them unmasks", () => {
    expect(switches(1, 10)).toEqual({ raised: [0], switched: [0, 1100], unmasked: [0] });
    // A period jitters by a tenth at most, as the seed has it: the one in which the second comes after 900 ms.
    const dice = new Random(1);
    const [first, second] = [dice.next32() / 2 ** 32, dice.next32() / 2 ** 32];
    const periodMs = 900 / (1 + (second - first) / 10);
    expect(switches(2, 1000 / periodMs)).toEqual({ raised: [0, 900], switched: [0, 2000], unmasked: [0, 900] });
  });
});

describe("messages of a function through a v2m frame, behind an SMMU", () => {
  it("cost one exit, or none but the WFI's, and one host interrupt each", () => {
    expect(by(comparison([1]), "irqfd")).toMatchObject({ exitsByReason: { IRQ: 1 }, hostInterrupts: 200, eventfdSignalsPerInterrupt: 1, lost: 0, spurious: 0 });
    expect(by(comparison([1], { wait: "wfi" }), "irqfd").exitsByReason).toEqual({ WFx: 1 });
  });

  it("of MSI with one vector go the same way as those of MSI-X", () => {
    expect(by(comparison([1], {}, 1), "irqfd")).toMatchObject({ exitsByReason: { IRQ: 1 }, delivered: 200 });
  });

  it("of several vectors are each one's own; the pin beside them is left to the mechanisms for levels", () => {
    const all = comparison([0, 1, 5, 8], { interrupts: 300 });
    expect(by(all, "irqfd")).toMatchObject({ irqs: [1, 5, 8], raised: 300, lost: 0, spurious: 0 });
    expect(by(all, "irqfd+resample")).toMatchObject({ irqs: [0], raised: 300, lost: 0 });
  });

  it("beyond what the frames have are refused in a sentence", () => {
    expect(() => comparison([700], {}, 900, ["irqfd"])).toThrow("the host has no 700 interrupts left for messages");
    expect(() => comparison([1500], {}, 2000, ["irqfd"])).toThrow("the host has no 1500 interrupts left for messages");
  });
});
