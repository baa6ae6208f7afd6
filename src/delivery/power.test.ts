import { describe, expect, it } from "vitest";
import { type MechanismName, mechanismsOf } from "../board/assign.js";
import type { Board } from "../board/board.js";
import { builtinBoard } from "../board/builtin.js";
import { realBoardsHere, realBytes, WHY_SKIPPED } from "../board/fdt.fixture.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { addPciFunction } from "../board/pci.js";
import { readBoard } from "../board/read-board.js";
import { COST_PROFILES, DEFAULT_POWER_PROFILE } from "../scenario/profiles.js";
import { workloadSchema } from "../scenario/scenario.js";
import { TraceBuffer } from "../sim/event.js";
import { compare, runOne } from "./compare.js";
import type { DeliveryRequest } from "./request.js";
import type { MechanismResult } from "./result.js";
import { comparisonText } from "./table.js";

const NVME = "/pci@800000020000001/00:01.0";
const PIN = 0;
const MESSAGE = 1;

function pseries(): Board {
  const board = builtinBoard("pseries");
  if (board === undefined) throw new Error("no board pseries");
  return board;
}

function request(irqs: readonly number[], workload: object = {}, mechanisms?: readonly MechanismName[], board = pseries(), path = NVME): DeliveryRequest {
  const profile = COST_PROFILES.find((each) => each.name === DEFAULT_POWER_PROFILE);
  if (profile === undefined) throw new Error("no profile");
  const device = findDevice(board, path);
  const interrupts = irqs.map((index) => findInterrupt(device, index));
  return { board, device, interrupts, workload: workloadSchema.parse({ interrupts: 200, ...workload }), profile, mechanisms: mechanisms ?? mechanismsOf(board) };
}

function one(mechanism: MechanismName, irq: number, workload: object = {}): MechanismResult {
  const [result] = compare(request([irq], workload, [mechanism])).mechanisms;
  return result;
}

/** Nothing lost, nothing invented. */
const WHOLE = { raised: 200, delivered: 200, coalesced: 0, lost: 0, hostInterrupts: 200, hostMasksPerInterrupt: 0 };

/** xics.md 13.2: the EOI looks at the line before the listener lowers it, so each level interrupt is presented once more. */
const TWICE = { spurious: 200, resamplefdSignalsPerInterrupt: 2 };

describe("a message on Power", () => {
  it.each([
    ["the VMM pulses its source: one ioctl; the kick, H_XIRR and H_EOI", "userspace", {}, { EXTERNAL: 1, SYSCALL: 2 }, 2, 0, 1],
    ["an irqfd: the kick, H_XIRR and H_EOI", "irqfd", {}, { EXTERNAL: 1, SYSCALL: 2 }, 2, 0, 0],
    ["the same in real mode, which serves both hypercalls: the kick alone", "irqfd", { realMode: true }, { EXTERNAL: 1 }, 2, 2, 0],
    ["a guest that has ceded is woken, not kicked, and cedes again", "irqfd", { wait: "cede" }, { SYSCALL: 3 }, 3, 0, 0],
    ["the same in real mode: H_CEDE alone leaves", "irqfd", { wait: "cede", realMode: true }, { SYSCALL: 1 }, 3, 2, 0],
  ] as const)("%s", (_what, mechanism, workload, exits, hypercalls, real, ioctls) => {
    const result = one(mechanism, MESSAGE, workload);
    expect(result).toMatchObject({ ...WHOLE, spurious: 0, exitsByReason: exits, hypercallsPerInterrupt: hypercalls, realModeHypercallsPerInterrupt: real, ioctlsPerInterrupt: ioctls });
  });

  it("every hypercall is either finished in real mode or an exit", () => {
    for (const realMode of [false, true])
      for (const wait of ["spin", "cede"]) {
        const { hypercallsPerInterrupt: all, realModeHypercallsPerInterrupt: real, exitsByReason } = one("irqfd", MESSAGE, { realMode, wait });
        expect((real ?? 0) + (exitsByReason?.["SYSCALL"] ?? 0)).toBe(all);
      }
  });
});

/** Once in a run the registers are unmapped, and when it is quiet mapped again. */
const TRAPPING = 2 / 200;

describe("a level pin on Power", () => {
  it.each([
    ["the VMM raises, traps the register and lowers: no second presentation", "userspace", {}, { EXTERNAL: 1, H_DATA_STORAGE: 1, SYSCALL: 2 }, 2, 0, { spurious: 0, ioctlsPerInterrupt: 4 + TRAPPING }],
    ["a resampling irqfd: a second presentation with two hypercalls of its own", "irqfd+resample", {}, { EXTERNAL: 1, SYSCALL: 4 }, 4, 0, { ...TWICE, ioctlsPerInterrupt: 0 }],
    ["real mode accepts both, and leaves both ends to virtual mode, where the listener is", "irqfd+resample", { realMode: true }, { EXTERNAL: 1, SYSCALL: 2 }, 4, 2, TWICE],
    ["the VMM's way has no listener: real mode serves it all", "userspace", { realMode: true }, { EXTERNAL: 1, H_DATA_STORAGE: 1 }, 2, 2, { spurious: 0 }],
  ] as const)("%s", (_what, mechanism, workload, exits, hypercalls, real, more) => {
    expect(one(mechanism, PIN, workload)).toMatchObject({ ...WHOLE, exitsByReason: exits, hypercallsPerInterrupt: hypercalls, realModeHypercallsPerInterrupt: real, ...more });
  });

  it("goes hop by hop from the pin of the host bridge to the register and back", () => {
    const trace = new TraceBuffer();
    runOne(request([PIN], { interrupts: 1 }, ["irqfd+resample"]), trace);
    const hops = ["device_raise", "host_ack", "pci_intx", "host_eoi", "xics_deliver", "guest_ack", "device_service", "guest_eoi", "xics_eoi", "resampler_notify"];
    const seen = trace.events.map((event) => event.name as string).filter((name) => hops.includes(name));
    expect(seen.slice(0, 4)).toEqual(["device_raise", "host_ack", "pci_intx", "xics_deliver"]);
    expect(seen.slice(seen.indexOf("guest_ack"))).toEqual([
      "guest_ack",
      "device_service",
      "guest_eoi",
      "xics_eoi",
      "xics_deliver",
      "resampler_notify",
      "pci_intx",
      "guest_ack",
      "device_service",
      "guest_eoi",
      "xics_eoi",
      "resampler_notify",
    ]);
    expect(trace.events.filter((event) => event.name === "host_ack").map((event) => event.args[1])).toContain(0x1205);
  });
});

describe("virq compare on Power", () => {
  it("a pin and messages named together: each mechanism serves those that it fits", () => {
    const comparison = compare(request([PIN, MESSAGE, 2, 3]));
    expect(comparison.mechanisms.map((each) => [each.mechanism, each.irqs, each.lost])).toEqual([
      ["userspace", [0], 0],
      ["irqfd", [1, 2, 3], 0],
      ["irqfd+resample", [0], 0],
    ]);
  });

  it("bursts on several vectors coalesce by P and Q, and nothing is lost", () => {
    const { raised, delivered, coalesced, lost } = compare(request([1, 2, 3, 4], { interrupts: 400, burst: 4 }, ["irqfd"])).mechanisms[0];
    expect([raised, lost, (delivered ?? 0) + (coalesced ?? 0)]).toEqual([400, 0, 400]);
    expect(coalesced).toBeGreaterThan(0);
  });

  it("64 vCPUs, of which one takes the interrupts and the others have ceded, make no difference to it", () => {
    const { vcpus: _, ...several } = one("irqfd", MESSAGE, { vcpus: 62 }) as MechanismResult & { vcpus?: number };
    expect(several).toEqual(one("irqfd", MESSAGE));
  });

  it("the rows of hypercalls are Power's alone, and times that nobody measured are not told", () => {
    const text = comparisonText(compare(request([MESSAGE], { realMode: true }, ["irqfd"])));
    expect(text).toMatch(/^hypercalls +2\.00\n {2}in real mode +2\.00$/m);
    expect(text).toMatch(/^latency p50 +n\/a$/m);
    expect(text).toMatch(/hypercalls in real mode where it can/);
    const midway = builtinBoard("midway");
    if (midway === undefined) throw new Error("midway");
    const arm = compare(request([0], {}, ["userspace"], midway, "/soc/ethernet@fff50000"));
    expect(comparisonText(arm)).not.toMatch(/hypercalls/);
    expect(arm.mechanisms[0]).toMatchObject({ realMode: null, hypercallsPerInterrupt: null, realModeHypercallsPerInterrupt: null });
  });

  it("mechanisms of other architectures say whose they are", () => {
    expect(compare(request([PIN], {}, ["posted", "forward"])).mechanisms.map((each) => each.why)).toEqual(["it is a mechanism of x86, and the board is none", "it is a mechanism of Arm, and the board is none"]);
  });

  it("a guest that waits by what only others have is the person's mistake", () => {
    for (const wait of ["hlt", "wfi"]) expect(() => compare(request([PIN], { wait }))).toThrow(/--wait (hlt|wfi) .* is for guests of (x86|Arm) boards, and pseries is none/);
  });

  it("more messages than firmware has are the person's mistake", () => {
    const board = pseries();
    const small = { ...board, pciHosts: board.pciHosts.map((host) => ({ ...host, msiTotal: 2 })) };
    expect(() => compare(request([1, 2, 3], {}, ["irqfd"], small))).toThrow(/no 3 interrupts left for messages/);
  });

  it("a function that is plugged into the other host bridge is served, too", () => {
    const board = addPciFunction(pseries(), { bdf: "00:05.0", intxPin: 2, msiVectors: 1, host: "/pci@800000020000000" });
    for (const [irq, mechanism] of [[0, "irqfd+resample"], [1, "irqfd"]] as const)
      expect(compare(request([irq], {}, [mechanism], board, "/pci@800000020000000/00:05.0")).mechanisms[0]).toMatchObject(WHOLE);
  });
});

describe.skipIf(!realBoardsHere)(`QEMU's device tree of a POWER8${WHY_SKIPPED}`, () => {
  it("pin and message of the function that it lists are delivered, in both modes", () => {
    const board = readBoard(realBytes("qemu-pseries-power8-xics"), "qemu");
    for (const realMode of [false, true]) {
      const results = compare(request([PIN, MESSAGE], { realMode }, undefined, board, "/pci@800000020000000/usb-xhci@1")).mechanisms;
      expect(results.map((each) => [each.mechanism, each.delivered, each.lost])).toEqual([
        ["userspace", 200, 0],
        ["irqfd", 200, 0],
        ["irqfd+resample", 200, 0],
      ]);
    }
  });
});
