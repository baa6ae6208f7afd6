import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { DeliveryMode, Shorthand } from "./contract.js";
import { NEEDS_SCAN, singleTarget } from "./apic-deliver.js";
import { type HarnessOptions, LapicHarness } from "./lapic/lapic.fixture.js";
import { ApicReg } from "./lapic/registers.js";

/** Message delivery: x86-irqchip.md 6 and the vectors of section 19 that show it. */
const LOWEST = DeliveryMode.LOWEST_PRIORITY;
const VECTOR = 0x41;

const four = (options: HarnessOptions = {}): LapicHarness => new LapicHarness({ cpus: 4, ...options }).flat();
/** Sends and names the receivers. */
const to = (h: LapicHarness, fields: Parameters<LapicHarness["deliver"]>[0]): number[] => {
  h.deliver({ vector: VECTOR, ...fields });
  return h.drain(fields.vector ?? VECTOR);
};
/** The result and the receivers. */
const sent = (h: LapicHarness, fields: Parameters<LapicHarness["deliver"]>[0]): [number, number[]] => {
  const result = h.deliver({ vector: VECTOR, ...fields });
  return [result, h.drain(fields.vector ?? VECTOR)];
};

describe("messages (6.1)", () => {
  it("49: fixed, edge, physical", () => {
    const h = four();
    expect([h.signalMsi(0xfee01000, 0x4041), h.requested(0x41), h.bits(1, ApicReg.TMR)]).toEqual([1, [1], []]);
  });

  it("50: logical, lowest priority: vector mod 4", () => {
    const h = four();
    expect([h.signalMsi(0xfee0f00c, 0x0131), h.requested(0x31)]).toEqual([1, [1]]);
  });

  it("54: the high half of the address has destination bits where user space asked for 32-bit ids", () => {
    const h = new LapicHarness({ ids: [1, 0x101], x2apic: true }).x2apic().enable();
    expect([h.signalMsi(0xfee01000, VECTOR, 0x100), h.drain(VECTOR)]).toEqual([1, [0]]);
    h.set.enableX2apicApi(1);
    expect([h.signalMsi(0xfee01000, VECTOR, 0x100), h.drain(VECTOR)]).toEqual([1, [1]]);
    expect(h.signalMsi(0xfee01000, VECTOR, 0x1)).toBe(-22);
  });

  it("level is level asserted; the address' high bits mean nothing", () => {
    const h = four();
    expect([h.signalMsi(0x00002000, 0x8041), h.requested(VECTOR), h.bits(2, ApicReg.TMR)]).toEqual([1, [2], [VECTOR]]);
  });
});

describe("arbitration (6.3)", () => {
  it("51: hashing counts the requested logical bits", () => {
    const h = four();
    const hashed = (destination: number, vector: number): number[] => to(h, { mode: LOWEST, isLogical: true, destination, vector });
    expect([0x30, 0x31, 0x32, 0x33, 0x34, 0xff].map((vector) => hashed(0x0f, vector))).toEqual([[0], [1], [2], [3], [0], [3]]);
    expect([0x40, 0x41, 0x42].map((vector) => hashed(0x0a, vector))).toEqual([[1], [3], [1]]);
  });

  it("52: without hashing the one that accepted fewest", () => {
    const h = four({ hasVectorHashing: false });
    const six = Array.from({ length: 6 }, () => to(h, { mode: LOWEST, isLogical: true, destination: 0x0f }));
    expect(six).toEqual([[0], [1], [2], [3], [0], [1]]);
  });

  it("53: fixed with a redirection hint takes one, and counts nothing", () => {
    const h = four({ hasVectorHashing: false });
    const six = Array.from({ length: 6 }, () => to(h, { hasRedirectionHint: true, isLogical: true, destination: 0x0f }));
    expect(six).toEqual([[0], [0], [0], [0], [0], [0]]);
  });

  it("X25: the hash picks an absent CPU and the message is dropped", () => {
    const h = four();
    h.write(1, ApicReg.SPIV, 0xff);
    expect(sent(h, { mode: LOWEST, isLogical: true, destination: 0x0f, vector: 0x31 })).toEqual([0, []]);
    const scanned = four({ hasOptimizedMap: false });
    scanned.write(1, ApicReg.SPIV, 0xff);
    expect(sent(scanned, { mode: LOWEST, isLogical: true, destination: 0x0f, vector: 0x31 })).toEqual([1, [2]]);
  });

  it("87: physical 0xff: all; with a redirection hint one; with mode 1 all", () => {
    const h = new LapicHarness({ cpus: 3 }).enable();
    const results = [{}, { hasRedirectionHint: true }, { mode: LOWEST }].map((fields) => sent(h, { destination: 0xff, ...fields }));
    expect(results).toEqual([
      [3, [0, 1, 2]],
      [1, [0x41 % 3]],
      [3, [0, 1, 2]],
    ]);
  });

  it("88: an ambiguous logical id reaches both, lowest priority the second", () => {
    const h = new LapicHarness({ cpus: 2 }).enable();
    for (const cpu of [0, 1]) h.write(cpu, ApicReg.LDR, 0x01000000);
    expect([sent(h, { isLogical: true, destination: 1 }), sent(h, { isLogical: true, destination: 1, mode: LOWEST })]).toEqual([
      [2, [0, 1]],
      [1, [1]],
    ]);
  });

  it("lowest priority by scan arbitrates by count without hashing", () => {
    const h = four({ hasVectorHashing: false, hasOptimizedMap: false });
    const five = Array.from({ length: 5 }, () => to(h, { mode: LOWEST, isLogical: true, destination: 0x0f }));
    expect(five).toEqual([[0], [1], [2], [3], [0]]);
  });
});

describe("matching (6.2)", () => {
  it("86: a vCPU just created is in the map after the next rebuild alone", () => {
    const h = new LapicHarness();
    const nmi = { mode: DeliveryMode.NMI };
    expect(h.deliver(nmi)).toBe(0);
    const record = new Int32Array(256);
    run(h.at(0).get(record));
    expect([run(h.at(0).put(record)), h.deliver(nmi), h.vcpu(0).nmis]).toEqual([0, 1, 1]);
    expect(new LapicHarness({ cpus: 2 }).deliver(nmi)).toBe(1);
  });

  it("nobody there: 0 by the map, -1 by scan", () => {
    expect([four().deliver({ destination: 9 }), four({ hasOptimizedMap: false }).deliver({ destination: 9 })]).toEqual([0, -1]);
    expect([four().deliver({ isLogical: true, destination: 0x10 }), four({ hasOptimizedMap: false }).deliver({ isLogical: true, destination: 0x10 })]).toEqual([0, -1]);
    expect(new LapicHarness({ cpus: 0 }).deliver({ destination: 0 })).toBe(-1);
  });

  it("clusters: equal high nibbles and a common bit", () => {
    const h = new LapicHarness({ cpus: 4 });
    [0x11, 0x12, 0x21, 0x28].forEach((id, cpu) => {
      h.write(cpu, ApicReg.DFR, 0);
      h.write(cpu, ApicReg.LDR, id << 24);
    });
    h.enable();
    const expected = new Map<number, number[]>([[0x13, [0, 1]], [0x11, [0]], [0x29, [2, 3]], [0x2f, [2, 3]], [0x1c, []], [0x31, []], [0xff, [0, 1, 2, 3]]]);
    for (const [destination, who] of expected) expect([destination, to(h, { isLogical: true, destination })]).toEqual([destination, who]);
  });

  it("an unknown model matches broadcasts only", () => {
    const h = four({ hasOptimizedMap: false });
    for (const cpu of [0, 1, 2, 3]) h.write(cpu, ApicReg.DFR, 0x70000000);
    expect([sent(h, { isLogical: true, destination: 0x0f })[0], sent(h, { isLogical: true, destination: 0xff })[0]]).toEqual([-1, 4]);
  });

  it("x2APIC: cluster in bits 31:16, one bit for each of its sixteen", () => {
    const h = new LapicHarness({ cpus: 34, x2apic: true }).x2apic().enable();
    expect(to(h, { isLogical: true, destination: 0x00018001 })).toEqual([16, 31]);
    expect(to(h, { isLogical: true, destination: 0x0002ffff })).toEqual([32, 33]);
    expect(to(h, { isLogical: true, destination: 0x0003ffff })).toEqual([]);
    expect(sent(h, { isLogical: true, destination: 0x00020003, mode: LOWEST, vector: 0x41 })).toEqual([1, [33]]);
    expect(to(h, { destination: 33 })).toEqual([33]);
  });

  it("X24: 0xff from outside is a broadcast to x2APICs too, unless the quirk is off", () => {
    const h = new LapicHarness({ cpus: 9, x2apic: true }).x2apic().enable();
    expect([to(h, { isLogical: true, destination: 0xff }).length, to(h, { destination: 0xff }).length]).toEqual([9, 9]);
    h.set.enableX2apicApi(2);
    expect([to(h, { isLogical: true, destination: 0xff }), to(h, { destination: 0xff })]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], []]);
    expect(to(h, { destination: 0xffffffff }).length).toBe(9);
  });

  it("a disabled APIC matches nothing; a software-disabled one is matched and accepts no vector", () => {
    for (const hasOptimizedMap of [true, false]) {
      const h = four({ hasOptimizedMap });
      h.wrmsr(2, 0x1b, 0xfee00000);
      h.write(1, ApicReg.SPIV, 0xff);
      expect(to(h, { destination: 0xff })).toEqual([0, 3]);
      expect(h.deliver({ destination: 1 })).toBe(0);
      expect(h.deliver({ destination: 1, mode: DeliveryMode.NMI })).toBe(1);
      expect(h.deliver({ destination: 2, mode: DeliveryMode.NMI })).toBe(hasOptimizedMap ? 0 : -1);
    }
  });

  it("an id beyond 255 reaches an APIC in xAPIC mode: the hotplug hack", () => {
    const h = new LapicHarness({ ids: [0, 0x101] }).enable();
    h.set.enableX2apicApi(1);
    expect([h.deliver({ destination: 0x101, mode: DeliveryMode.INIT }), h.vcpu(1).initRequests]).toEqual([0, 0]);
    const early = new LapicHarness({ cpus: 0 });
    early.set.enableX2apicApi(1);
    for (const id of [0, 0x101]) early.create(id);
    early.enable();
    expect([early.deliver({ destination: 0x101, mode: DeliveryMode.INIT }), early.vcpu(1).initRequests]).toEqual([1, 1]);
  });

  it("aliased ids reach each of them, and inhibit APIC virtualisation", () => {
    const h = four();
    h.write(2, ApicReg.ID, 0x01000000);
    expect(sent(h, { destination: 1 })).toEqual([2, [1, 2]]);
    expect([run(h.set.inhibits.has("PHYSICAL_ID_ALIASED")), run(h.set.inhibits.isInhibited("intel"))]).toEqual([true, true]);
    expect(run(h.set.inhibits.has("APIC_ID_MODIFIED"))).toBe(true);
    h.write(2, ApicReg.ID, 0x02000000);
    expect([sent(h, { destination: 1 }), run(h.set.inhibits.isInhibited("amd"))]).toEqual([[1, [1]], false]);
    h.write(2, ApicReg.ID, 0x09000000);
    expect([sent(h, { destination: 9 }), run(h.set.inhibits.has("APIC_ID_MODIFIED"))]).toEqual([[1, [2]], true]);
  });

  it("two bits in one logical id, and two models, go by scan", () => {
    const h = four();
    h.write(3, ApicReg.LDR, 0x0c000000);
    expect(sent(h, { isLogical: true, destination: 4 })).toEqual([2, [2, 3]]);
    expect(run(h.set.inhibits.has("LOGICAL_ID_ALIASED"))).toBe(true);
    h.write(3, ApicReg.LDR, 0x08000000);
    h.write(3, ApicReg.DFR, 0);
    expect(sent(h, { isLogical: true, destination: 8 })).toEqual([1, [3]]);
    expect(sent(h, { isLogical: true, destination: 0x16 })).toEqual([2, [1, 2]]);
  });

  it("without a software-enabled APIC logical messages are dropped", () => {
    const h = new LapicHarness({ cpus: 2 });
    h.write(0, ApicReg.LDR, 0x01000000);
    expect(h.deliver({ isLogical: true, destination: 1, mode: DeliveryMode.NMI })).toBe(0);
  });

  it("the fast map answers without a scan what needs none", () => {
    const h = four();
    expect([run(h.set.signalMsiInAtomic(0, 0xfee01000, VECTOR)), h.drain(VECTOR)]).toEqual([1, [1]]);
    expect([run(h.set.signalMsiInAtomic(0, 0xfeeff000, VECTOR)), h.drain(VECTOR)]).toEqual([NEEDS_SCAN, []]);
  });

  it("a map changes everybody's handled vectors: all are asked to rescan", () => {
    const h = four();
    const before = h.vm.vcpus.map((v) => v.scans);
    h.write(0, ApicReg.LDR, 0x10000000);
    h.write(0, ApicReg.TPR, 0x10);
    expect(h.vm.vcpus.map((v, i) => v.scans - before[i])).toEqual([1, 1, 1, 1]);
  });
});

describe("accepting (6.4)", () => {
  it("each mode has its result and effect", () => {
    const h = four();
    const modes = [DeliveryMode.SMI, DeliveryMode.REMOTE_READ, DeliveryMode.NMI, DeliveryMode.INIT, DeliveryMode.STARTUP, DeliveryMode.EXTINT];
    expect(modes.map((mode) => h.deliver({ mode, destination: 1 }))).toEqual([1, 1, 1, 1, 1, 0]);
    const { smis, unhalts, nmis, initRequests } = h.vcpu(1);
    expect([smis, unhalts, nmis, initRequests, h.bits(1, ApicReg.IRR)]).toEqual([1, 1, 1, 2, []]);
  });

  it("a vector that is pending is merged, counts 1, and the trace says so", () => {
    const h = four();
    h.trace.clear();
    expect([h.deliver({ vector: VECTOR }), h.deliver({ vector: VECTOR })]).toEqual([1, 1]);
    h.write(0, ApicReg.SPIV, 0xff);
    h.deliver({ vector: VECTOR });
    expect(h.trace.lines("kvm_apic_accept_irq")).toEqual([
      "kvm_apic_accept_irq(0,0,0,65,requested)",
      "kvm_apic_accept_irq(0,0,0,65,IRR already set)",
      "kvm_apic_accept_irq(0,0,0,65,target disabled)",
    ]);
  });

  it("whoever got nothing has its cause in the trace", () => {
    const h = four();
    h.write(1, ApicReg.SPIV, 0xff);
    h.trace.clear();
    h.deliver({ vector: VECTOR, destination: 9 });
    h.deliver({ vector: VECTOR, destination: 0x10, isLogical: true });
    h.deliver({ vector: VECTOR, destination: 0x0f, isLogical: true, mode: LOWEST });
    expect(h.trace.lines()).toEqual(["apic_dropped(9,65,no target)", "apic_dropped(16,65,no target)", "apic_dropped(15,65,hash slot empty)"]);
  });

  it("receivers of vectors are told apart from those who refused", () => {
    const h = four();
    const seen: number[] = [];
    h.write(1, ApicReg.SPIV, 0xff);
    h.deliver({ vector: VECTOR, destination: 0xff }, { add: (index) => seen.push(index) });
    h.deliver({ mode: DeliveryMode.NMI, destination: 0xff }, { add: (index) => seen.push(index) });
    expect(seen).toEqual([0, 2, 3]);
  });
});

describe("interprocessor interrupts (7.5)", () => {
  const shorthand = (s: Shorthand): number => (s << 18) | 0x4000 | VECTOR;
  it.each([false, true])("shorthands, x2APIC: %s", (isX2apic) => {
    const h = new LapicHarness({ cpus: 3, x2apic: true });
    if (isX2apic) h.x2apic();
    h.enable();
    const icr = (low: number): number[] => {
      if (isX2apic) h.wrmsr(1, 0x830, low);
      else h.write(1, ApicReg.ICR, low);
      return h.drain(VECTOR);
    };
    expect([Shorthand.SELF, Shorthand.ALL, Shorthand.ALL_BUT_SELF].map((s) => icr(shorthand(s)))).toEqual([[1], [0, 1, 2], [0, 2]]);
  });

  it("destinations: ICR2 in xAPIC mode, bits 63:32 in x2APIC mode; broadcasts are each mode's own", () => {
    const x = four();
    x.write(0, ApicReg.ICR2, 0x02000000);
    x.write(0, ApicReg.ICR, 0x5041);
    expect([x.drain(VECTOR), x.read(0, ApicReg.ICR)]).toEqual([[2], 0x4041]);
    x.write(0, ApicReg.ICR2, 0xff000000);
    x.write(0, ApicReg.ICR, 0x4041);
    expect(x.drain(VECTOR)).toEqual([0, 1, 2, 3]);
    const x2 = new LapicHarness({ cpus: 9, x2apic: true }).x2apic().enable();
    const icr = (low: number, high: number): number[] => {
      x2.wrmsr(0, 0x830, low, high);
      return x2.drain(VECTOR);
    };
    expect([icr(0x4041, 2), icr(0x4041, 0xffffffff).length, icr(0x4041, 0xff), icr(0x4841, 0xff)]).toEqual([[2], 9, [], [0, 1, 2, 3, 4, 5, 6, 7]]);
    x2.wrmsr(3, 0x83f, VECTOR);
    expect(x2.drain(VECTOR)).toEqual([3]);
  });

  it("every alias of an xAPIC id receives (kvm-unit-tests apic.c)", () => {
    const h = new LapicHarness({ cpus: 4 }).enable();
    for (const cpu of [1, 2, 3]) h.write(cpu, ApicReg.ID, 0x01000000);
    h.write(0, ApicReg.ICR2, 0x01000000);
    h.write(0, ApicReg.ICR, 0x4041);
    expect(h.drain(VECTOR)).toEqual([1, 2, 3]);
  });
});

describe("what may be posted (10.5)", () => {
  it("79: the one vCPU that a message resolves to, hashing included", () => {
    const h = four();
    const single = (fields: Parameters<LapicHarness["deliver"]>[0]): number | undefined => run(singleTarget(h.set, h.message({ vector: VECTOR, ...fields })))?.vcpu.index;
    expect(single({ destination: 2 })).toBe(2);
    expect(single({ isLogical: true, destination: 0x0f })).toBeUndefined();
    expect(single({ isLogical: true, destination: 0x0f, mode: LOWEST })).toBe(1);
    expect(single({ isLogical: true, destination: 0x08 })).toBe(3);
    expect(single({ destination: 0xff })).toBeUndefined();
  });
});
