import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { PpcE500 } from "../../kvm/powerpc/e500.js";
import { TraceBuffer } from "../../sim/event.js";
import * as K from "../../uapi/kvm.js";
import type { MpicProfile } from "./constants.js";
import { inspectMpic } from "./inspection.js";
import { MpicHarness } from "./mpic.fixture.js";

const SPURIOUS = 0xffff;

class Profiled extends MpicHarness {
  readonly trace: TraceBuffer;

  constructor(profile: MpicProfile) {
    const trace = new TraceBuffer();
    super({ profile, trace });
    this.trace = trace;
  }

  repairs(): readonly string[] {
    return this.trace.lines("mpic_repair");
  }
}

const both = (act: (h: Profiled) => unknown): readonly unknown[] => (["strict", "fixed"] as const).map((profile) => act(new Profiled(profile)));

describe("mpic.md 12: the profile \"fixed\" beside the strict one", () => {
  it("M1: what IDR reads after a reset is who is targeted", () => {
    const deliver = (h: Profiled): unknown => {
      h.write(0x1020, 0x80000000);
      h.ctpr(0);
      h.write(0x10060, 0x00080040);
      h.edge(3);
      return [h.read(0x10070), h.line(), h.iack(), h.repairs()];
    };
    expect(both(deliver)).toEqual([["0x00000001", 0, SPURIOUS, []], ["0x00000001", 1, 0x40, ["mpic_repair(M1,-1,0)"]]]);
  });

  it("M1: also in one that was never reset", () => {
    const deliver = (h: Profiled): unknown => {
      h.write(0x10060, 0x00080040);
      h.edge(3);
      return h.iack();
    };
    expect(both(deliver)).toEqual([SPURIOUS, 0x40]);
  });

  it("M3, vector 27: a CPU that is no target any more has nothing raised, and its line is low", () => {
    const retarget = (h: Profiled): unknown => {
      h.set(20, 8, 0x50, 1);
      h.set(3, 5, 0x43, 1);
      h.drive(20, 1);
      h.write(0x10290, 2);
      const line = h.line();
      h.drive(20, 0);
      h.edge(3);
      return [line, h.iack(), inspectMpic(h.mpic).cpus[0].raised, h.repairs()];
    };
    expect(both(retarget)).toEqual([[1, SPURIOUS, [3, 20], []], [0, 0x43, [], ["mpic_repair(M3,20,0)"]]]);
  });

  it("M5, vector 14: an edge that is acknowledged under CTPR waits", () => {
    const acknowledge = (h: Profiled): unknown => {
      h.set(3, 8, 0x43, 1);
      h.ctpr(8);
      h.edge(3);
      const under = [h.iack(), h.ivpr(3)];
      h.ctpr(0);
      return [under, h.line(), h.iack(), h.repairs()];
    };
    expect(both(acknowledge)).toEqual([
      [[SPURIOUS, "0x00080043"], 1, SPURIOUS, []],
      [[SPURIOUS, "0x40080043"], 1, 0x43, ["mpic_repair(M5,3,0)"]],
    ]);
  });

  it("M6, M7, vector 15: neither a CTPR below what was taken nor an EOI under CTPR raises the line", () => {
    const serve = (h: Profiled): unknown => {
      h.set(3, 8, 0x43, 1);
      h.set(4, 5, 0x44, 1);
      h.edge(3);
      h.edge(4);
      const seen: unknown[] = [h.iack()];
      h.ctpr(6);
      seen.push(h.line());
      h.eoi();
      seen.push(h.line());
      h.ctpr(0);
      return [...seen, h.line(), h.iack(), h.repairs()];
    };
    expect(both(serve)).toEqual([
      [0x43, 1, 1, 1, 0x44, []],
      [0x43, 0, 0, 1, 0x44, ["mpic_repair(M6,3,0)", "mpic_repair(M7,4,0)"]],
    ]);
  });

  it("timers, vector 28: each register reads as itself", () => {
    const h = new Profiled("fixed");
    h.write(0x1110, 0x12345678);
    h.write(0x1120, 0x00050099);
    h.write(0x1130, 2);
    h.write(0x11f0, 1);
    expect([h.read(0x1100), h.read(0x1110), h.read(0x1120), h.read(0x1130), h.read(0x11f0)]).toEqual(["0x00000000", "0x12345678", "0x00050099", "0x00000002", "0x00000001"]);
    expect(h.repairs()).toHaveLength(5);
  });

  it("whatever is done: as long as no repair is told, both answer alike and have the same lines", () => {
    const irqs = [3, 5, 20, 225];
    const irq = fc.constantFrom(...irqs);
    const cpu = fc.nat(1);
    const priority = fc.constantFrom(0, 5, 8, 10, 15);
    const act = fc.oneof(
      fc.tuple(fc.constant("drive" as const), irq, fc.nat(1)),
      fc.tuple(fc.constant("iack" as const), cpu, fc.constant(0)),
      fc.tuple(fc.constant("eoi" as const), cpu, fc.constant(0)),
      fc.tuple(fc.constant("ctpr" as const), cpu, priority),
      fc.tuple(fc.constant("ivpr" as const), irq, fc.tuple(priority, fc.boolean()).map(([p, isMasked]) => (isMasked ? 0x80000000 : 0) + p * 0x10000 + 0x40)),
      fc.tuple(fc.constant("idr" as const), irq, fc.constantFrom(0, 1, 2, 3, 0x40000000)),
      fc.tuple(fc.constant("ipi" as const), cpu, fc.nat(3)),
    );
    const does = (h: Profiled, [what, a, b]: readonly [string, number, number]): unknown => {
      if (what === "drive") return h.drive(a, b);
      if (what === "iack") return h.iack(a);
      if (what === "eoi") return h.eoi(a);
      if (what === "ctpr") return h.ctpr(b, a);
      return what === "ipi" ? h.write(0x20040, b) : h.write((what === "ivpr" ? 0x10000 : 0x10010) + 0x20 * a, b);
    };
    let alike = 0;
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        const [strict, fixed] = [new Profiled("strict"), new Profiled("fixed")];
        for (const h of [strict, fixed]) {
          for (const each of irqs) h.set(each, 8, 0x40, 1);
          h.write(0x10a0, 0x000a0060);
        }
        for (const each of acts) {
          const answers = [strict, fixed].map((h) => [does(h, each), h.line(0), h.line(1), irqs.map((i) => h.ivpr(i))]);
          if (fixed.repairs().length > 0) return;
          expect(answers[1]).toEqual(answers[0]);
          alike++;
        }
      }),
      { numRuns: 300 },
    );
    expect(alike).toBeGreaterThan(500);
  });

  it("a machine asks for it", () => {
    const m = new KvmMachine({ arch: new PpcE500(1, { mpicProfile: "fixed" }) });
    const vm = m.createVm();
    const device = m.createDevice(vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    m.attr(K.KVM_SET_DEVICE_ATTR, device, 2, 0x1120, [0x00050099]);
    m.attr(K.KVM_GET_DEVICE_ATTR, device, 2, 0x1120, [0]);
    expect(m.process.memory.getU32(0x4f000)).toBe(0x00050099);
  });
});

describe("inspectMpic", () => {
  it("shows queues, lines, what was cached and sources, and changes nothing (M16)", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.set(5, 10, 0x45, 3);
    h.edge(3);
    h.iack();
    h.edge(5);
    h.write(0x1740, 0x25000000);
    const seen = inspectMpic(h.mpic);
    expect(inspectMpic(h.mpic)).toEqual(seen);
    expect(seen.cpus).toEqual([
      { cpu: 0, ctpr: 0, line: true, raised: [5], servicing: [3], cachedPriority: { raised: 10, servicing: 8 }, critical: 0, machineCheck: 0 },
      { cpu: 1, ctpr: 0, line: true, raised: [5], servicing: [], cachedPriority: { raised: 10, servicing: -1 }, critical: 0, machineCheck: 0 },
    ]);
    expect(seen.sources[5]).toEqual({ irq: 5, vector: 0x45, priority: 10, masked: false, active: true, level: false, pending: true, idr: 3, destination: 3, output: "INT" });
    expect([seen.sources.length, seen.gcr, seen.spuriousVector, seen.msir[1]]).toEqual([264, 0, SPURIOUS, 0x20]);
    expect(h.iack()).toBe(0x45);
  });
});
