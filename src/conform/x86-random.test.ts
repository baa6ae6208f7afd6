import { describe, expect, it } from "vitest";
import { GUEST_ACTIONS, X86_ARGS, type X86OpName } from "./x86-op.js";
import { randomSequence } from "./x86-random.js";
import { readX86Vector } from "./x86-vector.js";

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

  it("reach every scene, every call but that which only waits, and every action of a guest", () => {
    const operations = new Set(sequences.flatMap(({ calls }) => calls.map(({ op }) => op)));
    const actions = new Set(sequences.flatMap(({ calls }) => calls.flatMap((call) => (call.op === "guest" ? [call.args.do] : []))));
    expect([...new Set(sequences.map(({ scene }) => scene))].sort()).toEqual(["api", "cpu", "ioapic", "lapic", "msi", "none", "pic", "split", "state", "x2apic"]);
    expect(Object.keys(X86_ARGS).filter((op) => !operations.has(op as X86OpName))).toEqual(["sleep"]);
    expect(GUEST_ACTIONS.filter((action) => !actions.has(action))).toEqual(["ud2", "cpuid"]);
  });

  it("arm no timer, and leave vCPU 0 to its guest: no INIT, no start-up, no SMI to it", () => {
    for (const { calls } of sequences) {
      for (const call of calls) {
        if (call.op === "guest" && call.args.do === "mmioWrite32") {
          expect(call.args.addr).not.toBe(0xfee0_0380);
          if (call.args.addr === 0xfee0_0320) expect(Number(call.args.value) & 0x1_0000).not.toBe(0);
        }
        if (call.op !== "signalMsi" || ![2, 5, 6].includes((call.args.data >> 8) & 7)) continue;
        expect([1, 2, 3]).toContain((call.args.addressLo >> 12) & 0xff);
      }
    }
  });
});
