import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { run, STRAIGHT, type Step } from "../../../sim/step.js";
import { kvm_ioapic_state } from "../../../uapi/x86.js";
import { interleave } from "../../gic/interleave.fixture.js";
import { ChipHarness } from "../chips.fixture.js";
import { type FakeX86Vm } from "../x86-vm.fixture.js";
import { RealApics } from "../real-apics.fixture.js";
import { Rte } from "../redirection-entry.js";

const PIN = 14;

/** vCPU 0 takes its interrupt and ends it: the rescan that another vCPU asks for may come in between. */
function* takeAndEnd(h: ChipHarness): Step<void> {
  yield* h.local.take(0);
  yield* h.local.eoi(0);
}

/** What may happen to the pin at the same time. */
const BESIDE: Record<string, (h: ChipHarness) => Step<unknown>> = {
  "line up": (h) => h.ioapic.setIrq(PIN, 0, 1),
  "line down": (h) => h.ioapic.setIrq(PIN, 0, 0),
  *pulse(h) {
    yield* h.ioapic.setIrq(PIN, 0, 1);
    yield* h.ioapic.setIrq(PIN, 0, 0);
  },
  *mask(h) {
    yield* h.ioapic.mmioWrite(h.vm.vcpus[1], 0x00, 4, 0x10 + 2 * PIN, 0);
    yield* h.ioapic.mmioWrite(h.vm.vcpus[1], 0x10, 4, 0x18077, 0);
  },
  *retarget(h) {
    yield* h.ioapic.mmioWrite(h.vm.vcpus[1], 0x00, 4, 0x11 + 2 * PIN, 0);
    yield* h.ioapic.mmioWrite(h.vm.vcpus[1], 0x10, 4, 1 << 24, 0);
  },
  "a second EOI": (h) => h.ioapic.eoi(1, 0x77, true),
  worker: (h) => h.ioapic.serviceHighLines(),
};

describe.each([
  ["fake local APICs", undefined],
  ["virq's own local APICs", (vm: FakeX86Vm) => new RealApics(vm)],
] as const)("taking and ending a level interrupt against everything else, at every access, with %s", (_name, makeApics) => {
  if (STRAIGHT) {
    it("needs the stepped build", () => expect(Object.keys(BESIDE).length).toBe(7));
    return;
  }
  for (const [name, beside] of Object.entries(BESIDE))
    for (const [isHigh, isTaken] of [[0, true], [1, true], [0, false], [1, false]] as const)
      it(`${name}, ${isTaken ? "in service" : "pending"}, line ${isHigh === 1 ? "high" : "low"}: what is requested and unmasked is on its way`, () => {
        for (let at = 0, last = 1; at < last; at++) {
          const h = new ChipHarness(makeApics === undefined ? {} : { makeApics });
          h.entry(PIN, 0x8077);
          h.pin(PIN, 1);
          if (isTaken) h.take();
          h.pin(PIN, isHigh);
          last = interleave(() => (isTaken ? h.local.eoi(0) : takeAndEnd(h)), () => beside(h), at);
          const low = h.rte(PIN);
          const isOnItsWay = h.irrOf(0).includes(0x77) || h.irrOf(1).includes(0x77);
          expect((low & Rte.REMOTE_IRR) !== 0).toBe(isOnItsWay);
          if ((low & Rte.MASKED) === 0 && h.isRequested(PIN)) expect(isOnItsWay).toBe(true);
          expect(h.isRequested(PIN)).toBe(h.ioapic.sources.word(PIN) !== 0);
        }
      });
});

const PINS = [3, 9, 13];
const entryLow = fc.constantFrom(0x41, 0x10041, 0x8041, 0x18041, 0x8052, 0x18052, 0x8841, 0x841, 0x8152, 0x8452);
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant("pin" as const), pin: fc.constantFrom(...PINS), level: fc.nat(1), source: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("entry" as const), pin: fc.constantFrom(...PINS), low: entryLow, destination: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("take" as const), cpu: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("eoi" as const), cpu: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("enable" as const), cpu: fc.nat(1), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("map" as const), on: fc.boolean() }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function perform(h: ChipHarness, step: Operation): void {
  switch (step.op) {
    case "pin":
      h.pin(step.pin, step.level, step.source);
      return;
    case "entry":
      h.entry(step.pin, step.low, step.destination);
      return;
    case "take":
      h.take(step.cpu);
      return;
    case "eoi":
      h.eoi(step.cpu);
      return;
    case "enable":
      h.apics.all[step.cpu].isSoftwareEnabled = step.on;
      return;
    default:
      h.apics.hasMap = step.on;
  }
}

/** The last service of each pin by the trace, and the pins whose request a resampler took over since they were driven. */
class Watch {
  readonly lastService = new Map<number, number>();
  readonly handedOver = new Set<number>();
  private seen = 0;

  constructor(private readonly h: ChipHarness) {}

  follow(step: Operation, toldBefore: number): void {
    const events = this.h.trace?.events ?? [];
    for (; this.seen < events.length; this.seen++) {
      const { name, args } = events[this.seen];
      if (name === "ioapic_service") this.lastService.set(Number(args[0]), Number(args[2]));
      if (name === "irq_line_state" && args[0] === 2) this.handedOver.delete(Number(args[1]));
    }
    if (step.op === "entry" && (this.h.vm.resampled.get(step.pin) ?? 0) > toldBefore) this.handedOver.add(step.pin);
  }
}

describe("invariants of the IOAPIC", () => {
  it("M1, M2, M3: remote IRR only on level pins that were sent, requests mirror the lines, whatever happens", () => {
    const reached = { remoteIrr: 0, handedOver: 0 };
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80, size: "max" }), fc.boolean(), (steps, hasResampler) => {
        const h = new ChipHarness({ traced: true });
        if (hasResampler) h.resample(9);
        const watch = new Watch(h);
        for (const step of steps) {
          const told = h.vm.resampled.get(9) ?? 0;
          perform(h, step);
          watch.follow(step, told);
          for (const pin of PINS) {
            const low = h.ioapic.entryLow[pin];
            if ((low & Rte.REMOTE_IRR) !== 0) {
              reached.remoteIrr++;
              expect(low & Rte.LEVEL).toBe(Rte.LEVEL);
              expect(watch.lastService.get(pin)).not.toBe(0);
            }
            if (watch.handedOver.has(pin)) reached.handedOver++;
            else expect(h.isRequested(pin)).toBe(h.ioapic.sources.word(pin) !== 0);
          }
        }
      }),
      { numRuns: 300 },
    );
    expect(reached.remoteIrr).toBeGreaterThan(100);
    expect(reached.handedOver).toBeGreaterThan(0);
  });

  it("a record saved and restored at any time is the same record (5.8)", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40, size: "max" }), (steps) => {
        const h = new ChipHarness();
        for (const step of steps) perform(h, step);
        const view = h.ioapicState();
        const masked = h.ioapicState();
        // Nothing of it may be deliverable: what is sent on the way in changes the record by right.
        for (const pin of PINS) {
          const entry = kvm_ioapic_state.redirtbl[pin];
          for (const v of [view, masked]) entry.setHalves(v, entry.lo(v) | Rte.MASKED, entry.hi(v));
        }
        const other = new ChipHarness();
        other.setIoapicState(view);
        expect(new Uint8Array(other.ioapicState().buffer)).toEqual(new Uint8Array(masked.buffer));
      }),
    );
  });

  it("any record may be set, read back, and driven", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 216, maxLength: 216 }), fc.array(operation, { maxLength: 10 }), (bytes, steps) => {
        const h = new ChipHarness();
        h.setIoapicState(new DataView(bytes.buffer));
        const back = h.ioapicState();
        expect(kvm_ioapic_state.base_address.getBig(back)).toBe(kvm_ioapic_state.base_address.getBig(new DataView(bytes.buffer)));
        expect(kvm_ioapic_state.pad.get(back)).toBe(kvm_ioapic_state.pad.get(new DataView(bytes.buffer)));
        for (const step of steps) perform(h, step);
        expect(run(h.ioapic.mmioRead(h.vm.vcpus[0], 0, 4)) >>> 0).toBeLessThanOrEqual(0xffffffff);
      }),
    );
  });
});
