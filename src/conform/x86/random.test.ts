import { describe, expect, it } from "vitest";
import { GUEST_ACTIONS, X86_ARGS, type X86Args, type X86OpName } from "./op.js";
import { randomSequence } from "./random.js";
import { SCENES } from "./scenes.js";
import { readX86Vector, type X86Call } from "./vector.js";

const SEQUENCES = 300;
const sequences = Array.from({ length: SEQUENCES }, (_, i) => randomSequence(1, i, 60));

describe("generated sequences", () => {
  it("are the same for the same seed, and others for another", () => {
    expect(sequences.slice(0, 20).map((_, i) => randomSequence(1, i, 60))).toEqual(sequences.slice(0, 20));
    expect(randomSequence(2, 0, 60).calls).not.toEqual(sequences[0].calls);
    expect(sequences[1].calls).not.toEqual(sequences[0].calls);
  });

  it("are as long as asked for, and a shorter one begins a longer one", () => {
    expect(new Set(sequences.map(({ calls }) => calls.length))).toEqual(new Set([60]));
    expect(randomSequence(1, 7, 20).calls).toEqual(sequences[7].calls.slice(0, 20));
  });

  it("consist of calls that the schema of vectors knows", () => {
    for (const { scene, seed, calls } of sequences) {
      const vector = { id: `${scene}-${seed}`, title: scene, kind: "random", flavour: "any", steps: calls.map((call) => ({ ...call, expect: {} })) };
      expect(readX86Vector(vector)).toBe(vector);
    }
  });

  it("reach every scene, every call and every action of a guest", () => {
    const operations = new Set(sequences.flatMap(({ calls }) => calls.map(({ op }) => op)));
    const actions = new Set(sequences.flatMap(({ calls }) => calls.flatMap((call) => (call.op === "guest" ? [call.args.do] : []))));
    expect([...new Set(sequences.map(({ scene }) => scene))].sort()).toEqual(SCENES.map(({ name }) => name).sort());
    expect(Object.keys(X86_ARGS).filter((op) => !operations.has(op as X86OpName))).toEqual([]);
    expect(GUEST_ACTIONS.filter((action) => !actions.has(action))).toEqual([]);
  });

  it("make each kind of call, valid and hostile, at least so often in 100,000", () => {
    const all = Array.from({ length: 2000 }, (_, i) => randomSequence(1, i, 60)).flatMap(({ calls }) => calls);
    const shareOf = (is: (call: X86Call) => boolean): number => Math.round((100_000 * all.filter(is).length) / all.length);
    const op = (...names: X86OpName[]) => (call: X86Call): boolean => names.includes(call.op);
    const guest = (is: (args: X86Args<"guest">) => boolean) => (call: X86Call): boolean => call.op === "guest" && is(call.args);
    const writes = (addr: number) => guest((args) => args.do === "mmioWrite32" && args.addr === addr);
    const sends = (mode: number) => (call: X86Call): boolean =>
      (call.op === "signalMsi" && ((call.args.data >> 8) & 7) === mode) || (writes(0xfee0_0300)(call) && call.op === "guest" && ((Number(call.args.value) >> 8) & 7) === mode);
    const least: [string, number, (call: X86Call) => boolean][] = [
      ["routing", 1500, op("setGsiRouting")],
      ["irqfds", 5000, op("irqfd")],
      ["resampling irqfds", 1500, (call) => call.op === "irqfd" && call.args.resamplefd !== undefined],
      ["eventfds", 5000, op("writeEventfd", "readEventfd")],
      ["lines", 3000, op("irqLine", "irqLineStatus")],
      ["messages", 3000, op("signalMsi")],
      ["chips", 2000, op("getIrqchip", "setIrqchip")],
      ["local APICs", 3000, op("getLapic", "setLapic")],
      ["devices", 500, op("createDevice", "hasDeviceAttr", "setDeviceAttr", "getDeviceAttr")],
      ["descriptors", 500, op("dupFd", "closeFd", "openFile", "pipe")],
      ["ioeventfds", 300, op("ioeventfd")],
      ["guests that take and return", 3500, guest((args) => args.do === "sti" || args.do === "iret")],
      ["guests that end interrupts", 5000, writes(0xfee0_00b0)],
      ["guests on other vCPUs", 2000, guest((args) => args.vcpu !== undefined && args.vcpu !== "vcpu0")],
      ["guests' memory", 300, guest((args) => args.do.startsWith("mmio") && (args.addr ?? 0) < 0x10_0000)],
      ["timers", 500, writes(0xfee0_0380)],
      ["TSC deadlines", 200, guest((args) => args.addr === 0x6e0)],
      ["PITs", 50, op("createPit2")],
      ["ids of more than a byte", 50, (call) => call.op === "createVcpu" && call.args.id > 255 && call.args.id < 4096],
      ["messages to them, or to clusters above the first", 500, (call) => call.op === "signalMsi" && (call.args.addressHi ?? 0) >= 0x100],
      ["x2APIC IPIs to them", 60, guest((args) => args.addr === 0x830 && args.do === "wrmsr" && BigInt(args.value ?? 0) >= 2n ** 40n)],
      ["local APICs of an xAPIC cluster", 250, (call) => call.op === "setLapic" && call.args.state.dfr === 0x0fff_ffff],
      ["PIT ports", 500, guest((args) => (args.port ?? 0) >= 0x40 && (args.port ?? 0) <= 0x43)],
      ["the PIT's port that cannot be read", 60, guest((args) => args.port === 0x43 && args.do.startsWith("in"))],
      ["the speaker", 50, guest((args) => args.port === 0x61)],
      ["periods below the least", 50, (call) => call.op === "setLapic" && ((call.args.state.lvtTimer ?? 0) & 0x2_0000) !== 0 && (call.args.state.timerInitial ?? 0) > 0],
      ["SMIs", 50, sends(2)],
      ["NMIs", 200, sends(4)],
      ["INITs", 200, sends(5)],
      ["start-ups", 200, sends(6)],
      ["pointers to nothing", 300, op("badPointer")],
      ["closed and wrong descriptors", 600, (call) => "vm" in call.args && call.args.vm !== undefined && call.args.vm !== "b"],
      ["GSIs out of range", 200, (call) => (call.op === "irqfd" || call.op === "irqLineStatus") && call.args.gsi > 4095],
      ["tables too long", 50, (call) => call.op === "setGsiRouting" && ((call.args.nr ?? 0) > 4096 || (!Array.isArray(call.args.entries) && call.args.entries.count > 4096))],
    ];
    expect(least.filter(([, share, is]) => shareOf(is) < share).map(([name, share, is]) => `${name}: ${shareOf(is)} of ${share}`)).toEqual([]);
  });

  it("send no INIT or start-up to a vCPU with a guest but where several have one, and arm no period that is ever over", () => {
    for (const { scene, calls } of sequences) {
      for (const call of calls) {
        if (call.op === "guest" && call.args.do === "mmioWrite32" && call.args.addr === 0xfee0_0380 && scene === "timer modes") expect([0, 0x8000_0000, 0xffff_ffff]).toContain(call.args.value);
        if (call.op === "guest" && call.args.do === "mmioWrite32" && call.args.addr === 0xfee0_0320 && scene === "timer") expect(Number(call.args.value) & 0x6_0000).toBe(0);
        if (call.op !== "signalMsi" || scene === "several guests" || ![5, 6].includes((call.args.data >> 8) & 7)) continue;
        expect([1, 2, 3]).toContain((call.args.addressLo >> 12) & 0xff);
      }
    }
  });
});
