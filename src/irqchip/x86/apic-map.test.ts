import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeliveryMode } from "./contract.js";
import { LapicHarness } from "./lapic/lapic.fixture.js";
import { ApicReg } from "./lapic/registers.js";

/** The optimised map answers as the slow scan does (x86-irqchip.md 6.2); kvm-unit-tests' logical destinations. */
const VECTOR = 0x41;

interface Config {
  readonly ids: number[];
  readonly ldrs: number[];
  readonly isCluster: boolean[];
  readonly spiv: boolean[];
  readonly x2apic: boolean;
  readonly api: number;
}

const CPUS = 4;
const per = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(value, { minLength: CPUS, maxLength: CPUS });
const config: fc.Arbitrary<Config> = fc.record({
  ids: per(fc.constantFrom(0, 1, 2, 3, 4, 9)),
  ldrs: per(fc.constantFrom(0, 1, 2, 4, 8, 0x11, 0x12, 0x21, 0x24, 0x80, 0x0c)),
  isCluster: fc.boolean().chain((all) => fc.oneof({ weight: 4, arbitrary: fc.constant(new Array<boolean>(CPUS).fill(all)) }, per(fc.boolean()))),
  spiv: per(fc.boolean()),
  x2apic: fc.boolean(),
  api: fc.constantFrom(0, 1, 2, 3),
});
const message = fc.record({
  destination: fc.constantFrom(0, 1, 2, 3, 4, 9, 0x0f, 0x11, 0x13, 0x21, 0x81, 0xff, 0x103, 0x10001, 0xffffffff),
  isLogical: fc.boolean(),
  mode: fc.constantFrom(DeliveryMode.FIXED, DeliveryMode.FIXED, DeliveryMode.NMI),
});

function build({ ids, ldrs, isCluster, spiv, x2apic, api }: Config, hasOptimizedMap: boolean): LapicHarness {
  const h = new LapicHarness({ cpus: CPUS, x2apic, hasOptimizedMap });
  h.set.enableX2apicApi(api);
  for (let cpu = 0; cpu < CPUS; cpu++) {
    h.write(cpu, ApicReg.ID, ids[cpu] << 24);
    h.write(cpu, ApicReg.LDR, ldrs[cpu] << 24);
    if (isCluster[cpu]) h.write(cpu, ApicReg.DFR, 0);
  }
  if (x2apic) h.x2apic();
  spiv.forEach((isOn, cpu) => {
    if (isOn) h.enable(cpu);
  });
  return h;
}

/**
 * With 32-bit ids the map keeps the first of aliased ids, and the scan finds all; from outside, 0xffffffff is a broadcast
 * to the map only where the quirk is off.
 */
const isAnsweredApart = ({ api, ids, x2apic }: Config, destination: number): boolean => {
  const isAliased = (api & 1) !== 0 && !x2apic && ids.filter((id) => id === destination).length > 1;
  return isAliased || (destination === 0xffffffff && (api & 2) === 0);
};

const nmis = (h: LapicHarness): number[] => h.vm.vcpus.map((vcpu) => vcpu.nmis);

describe("map and scan", () => {
  it("reach the same; only a message to nobody is 0 by the map and -1 by the scan", () => {
    fc.assert(
      fc.property(config, fc.array(message, { minLength: 1, maxLength: 8 }), (c, messages) => {
        const mapped = build(c, true);
        const scanned = build(c, false);
        for (const m of messages) {
          if (isAnsweredApart(c, m.destination)) continue;
          // Flat and cluster slots have eight bits: a wider destination is cut by the map. A logical NMI reaches only APICs in the map.
          if (m.isLogical && (m.destination > 0xff || m.mode === DeliveryMode.NMI)) continue;
          const byMap = mapped.deliver({ vector: VECTOR, ...m });
          const byScan = scanned.deliver({ vector: VECTOR, ...m });
          expect([m, Math.max(0, byMap), mapped.drain(VECTOR), nmis(mapped)]).toEqual([m, Math.max(0, byScan), scanned.drain(VECTOR), nmis(scanned)]);
        }
      }),
      { numRuns: 400 },
    );
  });

  it("every destination mask, flat and cluster (kvm-unit-tests apic.c)", () => {
    const flat = new LapicHarness({ cpus: 8 }).flat();
    const cluster = new LapicHarness({ cpus: 8 });
    for (let cpu = 0; cpu < 8; cpu++) {
      cluster.write(cpu, ApicReg.DFR, 0);
      cluster.write(cpu, ApicReg.LDR, (((cpu >> 2) << 4) | (1 << (cpu & 3))) << 24);
    }
    cluster.enable();
    for (let destination = 0; destination < 0xff; destination++) {
      flat.deliver({ vector: VECTOR, isLogical: true, destination });
      cluster.deliver({ vector: VECTOR, isLogical: true, destination });
      const cpus = [0, 1, 2, 3, 4, 5, 6, 7];
      expect([destination, flat.drain(VECTOR)]).toEqual([destination, cpus.filter((cpu) => ((destination >> cpu) & 1) === 1)]);
      const inCluster = cpus.filter((cpu) => cpu >> 2 === destination >> 4 && ((destination >> (cpu & 3)) & 1) === 1);
      expect([destination, cluster.drain(VECTOR)]).toEqual([destination, inCluster]);
    }
  });

  it("255 xAPICs and 1,024 x2APICs are each reached by their id and by a broadcast", () => {
    const x = new LapicHarness({ cpus: 255 }).enable();
    expect([x.deliver({ vector: VECTOR, destination: 254 }), x.drain(VECTOR), x.deliver({ vector: VECTOR, destination: 0xff })]).toEqual([1, [254], 255]);
    const x2 = new LapicHarness({ cpus: 1024, x2apic: true }).x2apic().enable();
    x2.set.enableX2apicApi(1);
    expect([x2.signalMsi(0xfeeff000, VECTOR, 0x300), x2.drain(VECTOR)]).toEqual([1, [1023]]);
    expect([x2.deliver({ vector: VECTOR, isLogical: true, destination: 0x003f8001 }), x2.drain(VECTOR)]).toEqual([2, [1008, 1023]]);
    expect(x2.deliver({ vector: VECTOR, destination: 0xff })).toBe(1024);
  });
});
