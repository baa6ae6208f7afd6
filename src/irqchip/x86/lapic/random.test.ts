import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { LapicHarness } from "./lapic.fixture.js";
import type { Hazards } from "../../../sim/hazards.js";
import { ApicReg } from "./registers.js";
import { FakePort, post } from "../posted.fixture.js";

/** Invariants M4 to M7 (x86-irqchip.md 17) over generated sequences. */
const vector = fc.integer({ min: 0x10, max: 0xff });
const runs = { numRuns: 300 };
/** With a rule off the property must fail: enough runs, always the same. */
const untilWrong = { numRuns: 3000, seed: 1, endOnFailure: true };

type Op = { readonly op: string; readonly vector: number; readonly isLevel: boolean };
const op = (...names: string[]): fc.Arbitrary<Op> => fc.record({ op: fc.constantFrom(...names), vector, isLevel: fc.boolean() });
const sequence = (...names: string[]): fc.Arbitrary<Op[]> => fc.array(op(...names), { maxLength: 60 });

const block = (v: number): number => v & 0xf0;

describe("one local APIC", () => {
  it("M4, M5: every accepted instance is taken once and ended once, in nested blocks that rise; nothing is invented", () => {
    fc.assert(
      fc.property(fc.boolean(), sequence("msi", "msi", "msi", "take", "take", "eoi", "tpr", "save"), (isPosted, ops) => {
        const h = new LapicHarness().enable();
        if (isPosted) post(h, new FakePort());
        const pending = new Set<number>();
        const serving: number[] = [];
        for (const { op, vector, isLevel } of ops) {
          if (op === "msi") {
            expect(h.deliver({ vector, isLevel })).toBe(1);
            pending.add(vector);
          } else if (op === "tpr") h.write(0, ApicReg.TPR, vector & 0x7f);
          else if (op === "save") {
            const record = new Int32Array(256);
            run(h.at(0).get(record));
            expect(run(h.at(0).put(record))).toBe(0);
          } else if (op === "eoi") {
            expect(h.eoi()).toBe(serving.pop() ?? -1);
          } else {
            const tpr = h.read(0, ApicReg.TPR);
            const top = serving.at(-1) ?? 0;
            const ppr = block(tpr) >= block(top) ? tpr : block(top);
            const highest = Math.max(-1, ...pending);
            const expected = block(highest) > ppr && highest >= 0 ? highest : -1;
            expect(h.take()).toBe(expected);
            if (expected < 0) continue;
            expect(block(expected)).toBeGreaterThan(block(top));
            pending.delete(expected);
            serving.push(expected);
          }
          run(h.at(0).nextInterrupt());
          expect(h.bits(0, ApicReg.IRR)).toEqual([...pending].sort((a, b) => a - b));
          expect(h.bits(0, ApicReg.ISR)).toEqual([...serving].sort((a, b) => a - b));
        }
      }),
      runs,
    );
  });

  const m6 = (hazards: Partial<Hazards>, parameters: { numRuns: number } = runs): void =>
    fc.assert(
      fc.property(sequence("msi", "device", "sync", "preempt", "block", "load", "take", "eoi"), fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 60 }), (ops, cpus) => {
        const port = new FakePort();
        const h = new LapicHarness({ hazards }).enable();
        const { host, all } = post(h, port);
        const [{ posted }] = all;
        const posts = new Set<number>();
        let where = "loaded";
        ops.forEach(({ op, vector }, i) => {
          if (op === "msi") h.deliver({ vector });
          if (op === "device") run(posted.descriptor.postByDevice(vector, false));
          if (op === "msi" || op === "device") posts.add(vector);
          if (op === "load" && where !== "loaded") {
            run(posted.load(cpus[i] ?? 0));
            where = "loaded";
          }
          if ((op === "preempt" || op === "block") && where === "loaded") {
            run(posted.put(op === "block" ? "blocking" : "preempted"));
            where = op;
          }
          if (where === "loaded" && op === "sync") run(posted.sync(h.at(0)));
          if (where === "loaded" && op === "take") posts.delete(h.take());
          if (where === "loaded" && op === "eoi") h.eoi();
          const bytes = posted.descriptor.bytes();
          const isEmpty = bytes.subarray(0, 32).every((byte) => byte === 0);
          if (where === "loaded") expect((bytes[32] & 3) !== 0 || isEmpty).toBe(true);
          expect([0, 1, 2, 3].filter((cpu) => host.listed(cpu).length > 0).length).toBe(where === "block" ? 1 : 0);
          expect(run(posted.descriptor.hasPending()) || isEmpty).toBe(true);
        });
        if (where !== "loaded") run(posted.load(1));
        run(posted.sync(h.at(0)));
        expect(h.bits(0, ApicReg.IRR)).toEqual([...posts].sort((a, b) => a - b));
      }),
      parameters,
    );

  it("M6: for a loaded vCPU that is not syncing, ON and SN clear means that nothing is posted", () => {
    m6({});
    expect(() => m6({ loadWithoutCheck: true }, untilWrong)).toThrow();
  });
});

describe("handled vectors", () => {
  const m7 = (hazards: Partial<Hazards>, parameters: { numRuns: number } = runs): void => {
    const routing = fc.array(fc.record({ destination: fc.integer({ min: 0, max: 1 }), vector: fc.integer({ min: 0x30, max: 0x3f }) }), { maxLength: 3 });
    const step = fc.oneof(routing.map((entries) => ({ entries })), fc.constantFrom("fire" as const, "take0" as const, "take1" as const, "eoi0" as const, "eoi1" as const));
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 60 }), (isPosted, steps) => {
        const h = new LapicHarness({ cpus: 2, hazards }).enable();
        if (isPosted) post(h, new FakePort());
        /** Vectors that an entry fired at a vCPU, until their EOI. */
        const owed = [new Set<number>(), new Set<number>()];
        const inService: number[][] = [[], []];
        const seen = [0, 0];
        const enter = (cpu: number): void => {
          if (h.vcpu(cpu).scans === seen[cpu]) return;
          seen[cpu] = h.vcpu(cpu).scans;
          run(h.at(cpu).handled.rescan());
        };
        for (const s of steps) {
          if (typeof s === "object") {
            // Whoever changes an entry asks for the rescan: an entry in flight stays owed although its vector is gone from the routing.
            const kept = h.ioapic.entries.filter(({ vector }) => owed.some((set) => set.has(vector)));
            h.ioapic.entries = [...s.entries.map((e) => ({ ...e, isLogical: false })), ...kept.map((e) => ({ ...e, destination: 1 - e.destination }))];
            for (const vcpu of h.vm.vcpus) run(vcpu.requestScanIoapic());
            continue;
          }
          if (s === "fire") {
            for (const { destination, vector } of h.ioapic.entries) {
              h.deliver({ vector, destination, isLevel: true });
              owed[destination].add(vector);
            }
            continue;
          }
          const cpu = Number(s.at(-1));
          enter(cpu);
          if (s.startsWith("take")) {
            const taken = h.take(cpu);
            if (taken >= 0) inService[cpu].push(taken);
            continue;
          }
          const before = h.ioapic.eois.length;
          const ended = h.eoi(cpu);
          expect(ended).toBe(inService[cpu].pop() ?? -1);
          if (ended < 0) continue;
          const isStillMeant = h.ioapic.entries.some((e) => e.vector === ended);
          if (owed[cpu].has(ended) && isStillMeant) expect(h.ioapic.eois.slice(before)).toEqual([`${cpu}:${ended.toString(16)}:level`]);
          if (!h.requested(ended).includes(cpu)) owed[cpu].delete(ended);
        }
      }),
      parameters,
    );
  };

  it("M7: whoever is in charge of a level vector hears of its EOI, wherever the routing went meanwhile", () => {
    m7({});
    expect(() => m7({ scanWithoutMerge: true }, untilWrong)).toThrow();
  });
});
