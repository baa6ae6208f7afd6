import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { MechanismName } from "../board/assign.js";
import type { Board, BoardOptions } from "../board/board.js";
import { builtinBoard } from "../board/builtin.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { realBoardsHere, realBytes, WHY_SKIPPED } from "../board/fdt.fixture.js";
import { addPciFunction } from "../board/pci.js";
import { readBoard } from "../board/read-board.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { workloadSchema } from "../scenario/scenario.js";
import { TraceBuffer } from "../sim/event.js";
import { compare, runOne } from "./compare.js";
import type { DeliveryRequest } from "./request.js";
import type { Comparison, MechanismResult } from "./result.js";

const DIRECT: readonly MechanismName[] = ["direct", "direct:runnable", "direct:blocked"];
const VF = "f9:10.0";

function boardNamed(name: string, options: BoardOptions = {}): Board {
  const board = builtinBoard(name, { assumeIommu: true, ...options });
  if (board === undefined) throw new Error("no board");
  return board;
}

function request(board: Board, name: string, workload: object = {}, mechanisms = DIRECT, irqs: readonly number[] = [0]): DeliveryRequest {
  const device = findDevice(board, name);
  const interrupts = irqs.map((index) => findInterrupt(device, index));
  return { board, device, interrupts, workload: workloadSchema.parse({ interrupts: 200, ...workload }), profile: COST_PROFILES[0], mechanisms };
}

function by(all: Comparison, mechanism: MechanismName): MechanismResult {
  const found = all.mechanisms.find((each) => each.mechanism === mechanism);
  if (found === undefined) throw new Error(`${mechanism} is missing`);
  return found;
}

const d05 = (workload: object = {}, mechanisms = DIRECT, irqs: readonly number[] = [0], options: BoardOptions = {}): Comparison => compare(request(boardNamed("d05", options), VF, workload, mechanisms, irqs));

/** A row of exits-per-interrupt.json; counts per interrupt. */
interface Row {
  readonly mode: string;
  readonly wait: "spin" | "wfi";
  readonly kvm_exit: Readonly<Record<string, number>>;
  readonly host_irqs_cpu1: Readonly<Record<string, number>>;
}

const recorded: readonly { host: string; rows: readonly Row[] }[] = JSON.parse(gunzipSync(readFileSync(new URL("../../../test/conformance/exits-per-interrupt.json.gz", import.meta.url))).toString()).runs;

/** What a real kernel counted, without its ticks. */
function counted(host: string, mode: string, wait: Row["wait"]): { exits: Record<string, number>; doorbells: number } {
  const row = recorded.find((each) => each.host.includes(host))?.rows.find((each) => each.mode.startsWith(mode) && each.wait === wait);
  if (row === undefined) throw new Error(`no row ${mode} on ${host}`);
  const hostIrqs = (name: string): number => Object.entries(row.host_irqs_cpu1).reduce((total, [key, count]) => total + (key.includes(name) ? count : 0), 0);
  const ticks = hostIrqs("arch_timer");
  const exits = Object.entries(row.kvm_exit).map(([reason, count]): [string, number] => [reason, Math.round(reason === "IRQ" ? Math.max(count - ticks, 0) : count)]);
  return { exits: Object.fromEntries(exits.filter(([, count]) => count > 0)), doorbells: Math.round(hostIrqs("GICv4-vpe")) };
}

/** The same of a run, to whole numbers. */
function measured({ exitsByReason, doorbellsPerInterrupt }: MechanismResult): { exits: Record<string, number>; doorbells: number } {
  const exits = Object.entries(exitsByReason ?? {}).map(([reason, count]): [string, number] => [reason, Math.round(count)]);
  return { exits: Object.fromEntries(exits.filter(([, count]) => count > 0)), doorbells: Math.round(doorbellsPerInterrupt ?? -1) };
}

const MSI = "VFIO MSI: irqfd, LPI";

describe("GICv4: a device's message to a vCPU in each state costs what a real kernel counted (exits-per-interrupt.json)", () => {
  const GICV4 = "kvm-arm.vgic_v4_enable=1";

  it("resident: no exit, no host interrupt, no signal, no wake-up; nor any while the guest waits with its CPU to itself", () => {
    expect(counted(GICV4, MSI, "spin")).toEqual({ exits: {}, doorbells: 0 });
    expect(counted(GICV4, MSI, "wfi")).toEqual({ exits: {}, doorbells: 0 });
    for (const wait of ["spin", "wfi"] as const) expect(measured(by(d05({ wait }, ["direct"]), "direct"))).toEqual(counted(GICV4, MSI, wait));
    expect(by(d05({}, ["direct"]), "direct")).toMatchObject({
      raised: 200, delivered: 200, coalesced: 0, lost: 0, spurious: 0, hostInterrupts: 0, exitsPerInterrupt: 0, exitsByReason: {}, ipisPerInterrupt: 0, eventfdSignalsPerInterrupt: 0,
      ioctlsPerInterrupt: 0, wakeupsPerInterrupt: 0, doorbellsPerInterrupt: 0, vpeMovesPerInterrupt: 0, itsCommandsPerInterrupt: 0, preemptionsPerInterrupt: 0,
      byState: { resident: { interrupts: 200 }, runnable: { interrupts: 0 }, blocked: { interrupts: 0 } },
    });
  });

  it("blocked, another task on its CPU: the exit of the WFI, and one doorbell that wakes it", () => {
    const result = by(d05({}, ["direct:blocked"]), "direct:blocked");
    expect(counted(GICV4, "VFIO MSI, blocked vCPU", "wfi")).toEqual({ exits: { WFx: 1 }, doorbells: 1 });
    expect(measured(result)).toEqual(counted(GICV4, "VFIO MSI, blocked vCPU", "wfi"));
    expect(result).toMatchObject({ delivered: 200, coalesced: 0, lost: 0, hostInterrupts: 0, doorbellsPerInterrupt: 1, exitsByReason: { WFx: 1 }, ipisPerInterrupt: 0, eventfdSignalsPerInterrupt: 0, byState: { blocked: { interrupts: 200 } } });
  });

  it("runnable: nothing is told; the exit is that of its preemption, and it finds the interrupt when it is resident again", () => {
    const result = by(d05({}, ["direct:runnable"]), "direct:runnable");
    expect(result).toMatchObject({ delivered: 200, coalesced: 0, lost: 0, hostInterrupts: 0, doorbellsPerInterrupt: 0, exitsByReason: { IRQ: 1 }, preemptionsPerInterrupt: 1, wakeupsPerInterrupt: 0, byState: { runnable: { interrupts: 200 } } });
  });

  it("runnable: refused where the guest waits by WFI, which would be the blocked case under another name", () => {
    const all = d05({ wait: "wfi" });
    expect(by(all, "direct:runnable")).toMatchObject({ applicable: false, why: "the guest waits by WFI, so a neighbour finds it blocked, which is direct:blocked; --wait spin keeps it runnable" });
    expect([by(all, "direct").applicable, by(all, "direct:blocked").applicable]).toEqual([true, true]);
  });

  it("the way through the host, on the same machine with the parameter off: one exit by a kick, or the WFI's", () => {
    for (const wait of ["spin", "wfi"] as const) expect(measured(by(d05({ wait }, ["irqfd"]), "irqfd"))).toEqual(counted("arm64 Linux 6.1.192 KVM VHE, GICv3", MSI, wait));
  });

  it("the guest's own ITS commands are the cause: its messages are nobody's VLPIs before MAPTI, and its device's are after", () => {
    const trace = new TraceBuffer();
    runOne(request(boardNamed("d05"), VF, { interrupts: 3 }, ["direct"]), trace);
    expect(trace.lines("host_ack")).toEqual([]);
    expect(trace.lines("guest_ack")).toEqual(["guest_ack(0,8192)", "guest_ack(0,8192)", "guest_ack(0,8192)"]);
  });
});

describe("the GICv4 series of October 2017 (--compat v5-2017)", () => {
  const series = (workload: object): MechanismResult => by(compare(request(addPciFunction(boardNamed("virt", { gicv4: "4.0" }), { bdf: "00:02.0", msiVectors: 2 }), "00:02.0", { compat: "v5-2017", ...workload }, ["direct"])), "direct");

  it("a guest that spins takes its interrupts without an exit, as today", () => {
    expect(series({})).toMatchObject({ delivered: 200, lost: 0, exitsPerInterrupt: 0, doorbellsPerInterrupt: 0 });
  });

  it("WFI traps even where the guest has its CPU to itself: a CLEAR on entry and an INV on each side of the wait, each with its SYNC (Linux 20b3d54ecba5)", () => {
    const result = series({ wait: "wfi" });
    expect(measured(result)).toEqual({ exits: { WFx: 1 }, doorbells: 1 });
    expect(result).toMatchObject({ delivered: 200, lost: 0, vpeMovesPerInterrupt: 0 });
    expect(result.itsCommandsPerInterrupt).toBeCloseTo(2 * 3, 1);
  });

  it("64 vCPUs on 8 CPUs: nothing is lost", () => {
    const shared = { vcpus: 64, cpus: 8, others: "spin", wait: "wfi", interrupts: 100, ratePerSecond: 331, sliceNs: 1_000_000, compat: "v5-2017" } as const;
    expect(by(d05(shared, ["direct"]), "direct")).toMatchObject({ lost: 0, delivered: 100, doorbellsPerInterrupt: 1, exitsByReason: { WFx: 1 } });
  });

  it("knows no GICv4.1", () => {
    expect(by(d05({ compat: "v5-2017" }, ["direct"], [0], { gicv4: "4.1" }), "direct").why).toBe("the series of 2017 (--compat v5-2017) knows GICv4.0 alone, and the board has a GICv4.1");
  });
});

describe("GICv4 on boards", () => {
  it("every vector of each function of the D05 is a VLPI of its own", () => {
    expect(by(d05({}, ["direct"], [0, 1, 2]), "direct")).toMatchObject({ irqs: [0, 1, 2], delivered: 200, lost: 0, exitsPerInterrupt: 0 });
    const irqs = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    expect(by(compare(request(boardNamed("d05"), "fa:00.0", {}, ["direct"], irqs)), "direct")).toMatchObject({ irqs, delivered: 200, lost: 0, exitsPerInterrupt: 0 });
  });

  it.each(["4.0", "4.1"] as const)("GICv%s of the virt machine, where the person says that it is one: the same counts", (gicv4) => {
    const board = addPciFunction(boardNamed("virt", { gicv4 }), { bdf: "00:02.0", msiVectors: 2 });
    const result = compare(request(board, "00:02.0"));
    expect(measured(by(result, "direct"))).toEqual({ exits: {}, doorbells: 0 });
    expect(measured(by(result, "direct:runnable"))).toEqual({ exits: { IRQ: 1 }, doorbells: 0 });
    expect(measured(by(result, "direct:blocked"))).toEqual({ exits: { WFx: 1 }, doorbells: 1 });
    for (const mechanism of DIRECT) expect(by(result, mechanism)).toMatchObject({ delivered: 200, lost: 0, hostInterrupts: 0 });
  });

  it("without the person's word nobody knows of virtual LPIs, which the sentence says", () => {
    const board = addPciFunction(boardNamed("virt"), { bdf: "00:02.0", msiVectors: 2 });
    for (const mechanism of DIRECT) expect(by(compare(request(board, "00:02.0")), mechanism).why).toContain("--gicv4 4.0");
  });

  it("a neighbour that would come too late is refused, with the rate that leaves it time", () => {
    const { why } = by(d05({ ratePerSecond: 1e6 }), "direct:runnable");
    const rate = Number(/at most (\d+)$/.exec(why ?? "")?.[1]);
    expect(by(d05({ ratePerSecond: rate }), "direct:runnable")).toMatchObject({ applicable: true, byState: { runnable: { interrupts: 200 } } });
  });
});

describe("64 vCPUs on 8 CPUs", () => {
  const SHARED = { vcpus: 64, cpus: 8, others: "spin", interrupts: 100, ratePerSecond: 331, sliceNs: 1_000_000 } as const;
  const shared = (workload: object = {}, mechanisms: readonly MechanismName[] = ["irqfd", "direct"]): Comparison => d05({ ...SHARED, ...workload }, mechanisms);

  it("busy: an interrupt that meets its vCPU on a CPU takes what it always takes, one that does not waits for the turn of 7 others", () => {
    const direct = by(shared(), "direct");
    expect(direct).toMatchObject({ lost: 0, doorbellsPerInterrupt: 0, vpeMovesPerInterrupt: 0 });
    const { resident, runnable, blocked } = direct.byState ?? {};
    // An eighth of the time on the CPU; what comes in the rest becomes one, as edges do.
    expect(resident?.interrupts).toBeGreaterThan(6);
    expect(resident?.interrupts).toBeLessThan(20);
    expect(runnable?.interrupts).toBeGreaterThan(2 * (resident?.interrupts ?? 0));
    expect(blocked?.interrupts).toBe(0);
    expect(resident?.latencyNs?.max).toBeLessThan(100);
    expect(runnable?.latencyNs?.max).toBeLessThan(7.1e6);
    expect(runnable?.latencyNs?.max).toBeGreaterThan(6e6);
  });

  it("a vCPU that waits shares its CPU, so its WFI traps: one doorbell each, and it runs before those that did not sleep", () => {
    const all = shared({ wait: "wfi" });
    expect(by(all, "direct")).toMatchObject({ lost: 0, coalesced: 0, doorbellsPerInterrupt: 1, exitsByReason: { WFx: 1 }, byState: { blocked: { interrupts: 100 } } });
    expect(by(all, "irqfd")).toMatchObject({ lost: 0, coalesced: 0, doorbellsPerInterrupt: 0, exitsByReason: { WFx: 1 }, byState: { blocked: { interrupts: 100 } } });
    for (const mechanism of ["irqfd", "direct"] as const) expect(by(all, mechanism).latencyNs?.max).toBeLessThan(20_000);
  });

  it.each(["4.0", "4.1"] as const)("GICv%s: a vCPU that waits is woken by its doorbell whichever vCPU has its CPU meanwhile, and wherever its vPE has been moved", (gicv4) => {
    for (const workload of [{ wait: "wfi" }, { wait: "wfi", vcpus: 16, cpus: 4 }]) {
      const direct = by(d05({ ...SHARED, ...workload }, ["direct"], [0], { gicv4 }), "direct");
      expect(direct).toMatchObject({ delivered: 100, lost: 0, coalesced: 0, doorbellsPerInterrupt: 1, byState: { blocked: { interrupts: 100 } } });
    }
    const several = { vcpus: 12, targets: 8, cpus: 6, others: "spin", wait: "wfi", ratePerSecond: 2000, interrupts: 200 } as const;
    expect(by(compare(request(boardNamed("d05", { gicv4 }), "fa:00.0", several, ["direct"], [0, 1, 2, 3, 4, 5, 6, 7])), "direct")).toMatchObject({ lost: 0, spurious: 0, hostInterrupts: 0 });
  });

  it("vCPUs that no interrupt is for are not counted among those that take them, however many are asked for", () => {
    const workload = { vcpus: 12, cpus: 6, others: "spin", ratePerSecond: 2000 } as const;
    const [one, eight] = [1, 8].map((targets) => by(d05({ ...workload, targets }, ["direct"]), "direct"));
    expect(eight).toEqual(one);
  });

  it("vCPUs that keep their CPUs busy and are more than these are refused, unless they share by turns", () => {
    expect(() => d05({ vcpus: 63, others: "spin", interrupts: 1 }, ["direct"])).toThrow("d05 has 62 CPUs beside those that take host interrupts and the VMM, and 63 vCPUs that keep theirs busy: have them share these by turns with --cpus");
  });

  it("vectors of eight vCPUs: each vPE that wakes on another CPU is moved there by one VMOVP with its VSYNC, and nothing is lost on the way", () => {
    const workload = { vcpus: 12, targets: 8, cpus: 6, others: "spin", wait: "wfi", ratePerSecond: 2000, interrupts: 400 } as const;
    for (const seed of [1, 2, 3]) {
      const result = by(compare(request(boardNamed("d05"), "fa:00.0", { ...workload, seed }, ["direct"], [0, 1, 2, 3, 4, 5, 6, 7])), "direct");
      expect(result).toMatchObject({ lost: 0, spurious: 0, hostInterrupts: 0 });
      expect(result.vpeMovesPerInterrupt).toBeGreaterThan(0);
      expect(result.itsCommandsPerInterrupt).toBeCloseTo(2 * (result.vpeMovesPerInterrupt ?? 0), 6);
    }
  });

  it("with direct LPIs a vPE that moves leaves no doorbell pending where it was (gic-v4.md C1.8)", () => {
    const trace = new TraceBuffer();
    const workload = { vcpus: 12, targets: 8, cpus: 6, others: "spin", wait: "wfi", ratePerSecond: 2000, interrupts: 60 } as const;
    runOne(request(boardNamed("d05"), "fa:00.0", workload, ["direct"], [0, 1, 2, 3, 4, 5, 6, 7]), trace);
    let last: readonly unknown[] = [];
    const cleared: unknown[] = [];
    for (const { name, args } of trace.events) {
      if (name === "gic_hw_write") last = args;
      if (name === "vpe_move") cleared.push([last[1], last[0] !== args[1]]);
    }
    expect(cleared.length).toBeGreaterThan(2);
    expect(cleared).toEqual(cleared.map(() => ["CLRLPIR", true]));
  });

  it("each of several vCPUs takes its own vectors", () => {
    const trace = new TraceBuffer();
    runOne(request(boardNamed("d05"), VF, { interrupts: 6, vcpus: 3, targets: 3 }, ["direct"], [0, 1, 2]), trace);
    expect(trace.lines("guest_ack").sort()).toEqual(["guest_ack(0,8192)", "guest_ack(0,8192)", "guest_ack(1,8193)", "guest_ack(1,8193)", "guest_ack(2,8194)", "guest_ack(2,8194)"]);
  });

  it("as many vCPUs as there are can take interrupts", () => {
    expect(() => d05({ targets: 2 })).toThrow("--targets 2: the guest has 1 vCPU (--vcpus)");
  });

  it("which state is shown is then not the mechanism's to choose", () => {
    expect(by(shared({}, DIRECT), "direct:blocked").why).toMatch(/^with --cpus the turns of the vCPUs decide/);
  });

  it("more CPUs than there are are refused in a sentence", () => {
    expect(() => d05({ cpus: 63 })).toThrow("d05 has 62 CPUs beside those that take host interrupts and the VMM");
  });
});

describe.skipIf(!realBoardsHere)(`the D05's own device tree${WHY_SKIPPED}`, () => {
  const tree = (): Board => addPciFunction(readBoard(realBytes("hisilicon-hip07-d05"), "d05", { assumeIommu: true }), { bdf: VF, vendor: 0x8086, device: 0x1520, msiVectors: 3, isolated: true });

  it("with the virtual function that it does not list, delivers as the built-in board does", () => {
    const mechanisms: readonly MechanismName[] = ["userspace", "irqfd", ...DIRECT];
    expect(compare(request(tree(), VF, {}, mechanisms)).mechanisms).toEqual(d05({}, mechanisms).mechanisms);
  });
});
