import type { RoutingEntryArgs } from "./op.js";
import type { Chooser } from "./random.js";
import { EVENTFDS, type Make, PINS, VECTORS } from "./random-calls.js";
import type { X86Call } from "./vector.js";

// Calls of generated sequences about destinations beyond the first few: ids of more than a byte, clusters above the first.

const LAPIC = 0xfee0_0000;
const X2APIC_ICR = 0x830;
const IDS = [1, 2, 0x0f, 0x10, 0x11, 0x1f, 0x25, 0x80, 0xfe, 0xff, 0x100, 0x101, 0x12c, 0x1f3, 0xfff];
const NOBODY = [5, 0x13, 0x1ff, 0x1000, 0xff00];

/** Three different ids. */
export function someIds(c: Chooser): number[] {
  const left = [...IDS];
  return [0, 1, 2].map(() => left.splice(c.below(left.length), 1)[0]);
}

/** Most of the vCPUs enter x2APIC mode, from the mode that its transitions allow. */
export function enterX2apic(c: Chooser, others: number): X86Call[] {
  const names = ["vcpu0", ...Array.from({ length: others }, (_, i) => `vcpu${i + 1}`)];
  return names
    .filter(() => !c.oneIn(6))
    .flatMap((vcpu): X86Call[] => [
      { op: "setCpuid", args: { vcpu, x2apic: 1 } },
      { op: "setApicBase", args: { vcpu, value: vcpu === "vcpu0" ? 0xfee0_0d00 : 0xfee0_0c00 } },
      { op: "setLapic", args: { vcpu, state: { svr: 0x1ff } } },
    ]);
}

const someId = (c: Chooser): number => (c.oneIn(6) ? c.of(NOBODY) : c.oneIn(3) ? 0 : c.of(IDS));
/** As an x2APIC has it: the cluster, and bits of up to all its members. */
const logicalOf = (c: Chooser, id: number): number => ((id >> 4) * 0x1_0000 + (c.oneIn(3) ? c.of([0xffff, 0x3, 0x8003]) : 1 << (id & 15))) >>> 0;

function destination(c: Chooser): { readonly value: number; readonly isLogical: boolean } {
  const isLogical = c.oneIn(2);
  const id = someId(c);
  return { value: isLogical ? logicalOf(c, id) : id, isLogical };
}

function fields(c: Chooser): { addressLo: number; addressHi: number; data: number } {
  const { value, isLogical } = destination(c);
  const low = LAPIC + (value & 0xff) * 0x1000 + (isLogical ? 4 : 0) + (c.oneIn(5) ? 8 : 0);
  return { addressLo: low, addressHi: (value & 0xffff_ff00) >>> 0, data: c.of(VECTORS) | (c.oneIn(4) ? 0x100 : 0) | (c.oneIn(6) ? 0x8000 : 0) };
}

export const wideMessage: Make = (c) => ({ op: "signalMsi", args: fields(c) });
export const wideRoutes: Make = (c) => ({ op: "setGsiRouting", args: { entries: Array.from({ length: 1 + c.below(4) }, (_, i): RoutingEntryArgs => ({ gsi: 30 + i, type: "msi", ...fields(c) })) } });
export const assignRoute: Make = (c) => ({ op: "irqfd", args: { fd: c.of(EVENTFDS), gsi: 30 + c.below(4) } });
/** By an x2APIC; of an xAPIC the register faults. */
export const wideIpi: Make = (c) => {
  const { value, isLogical } = destination(c);
  const low = 0x4000 | (isLogical ? 0x800 : 0) | (c.oneIn(4) ? 0x100 : 0) | c.of(VECTORS);
  return { op: "guest", args: { do: "wrmsr", addr: X2APIC_ICR, value: `0x${(BigInt(value) * 0x1_0000_0000n + BigInt(low)).toString(16)}` } };
};
export const broadcast: Make = (c) => ({ op: "signalMsi", args: { addressLo: LAPIC + 0xff000 + (c.oneIn(2) ? 4 : 0), addressHi: c.of([0, 0xffff_ff00]), data: c.of(VECTORS) } });

const CLUSTER_LDRS = [0x11, 0x12, 0x14, 0x18, 0x21, 0x22, 0x31, 0x48, 0xe1, 0xf1, 0x13, 0];
const CLUSTER_DESTINATIONS = [0x11, 0x13, 0x1f, 0x21, 0x23, 0x2f, 0x31, 0x48, 0xe1, 0xf1, 0xff, 0x0f, 0x10];
const VCPUS = ["vcpu0", "vcpu1", "vcpu2", "vcpu3"];

/** Local APICs of two or three clusters, mostly without two that claim one bit. */
export function enterClusters(c: Chooser): X86Call[] {
  const distinct = c.of([[0x11, 0x12, 0x21, 0x22], [0x11, 0x21, 0x31, 0xf1], [0x18, 0x14, 0x12, 0xe1]]);
  return VCPUS.map((vcpu, i) => ({ op: "setLapic", args: { vcpu, state: { svr: 0x1ff, dfr: c.oneIn(12) ? 0xffff_ffff : 0x0fff_ffff, ldr: (c.oneIn(8) ? c.of(CLUSTER_LDRS) : distinct[i]) * 0x100_0000 } } }));
}

export const clusterLdr = (c: Chooser): X86Call | X86Call[] => {
  const value = c.of(CLUSTER_LDRS) * 0x100_0000;
  if (c.oneIn(2)) return { op: "setLapic", args: { vcpu: c.of(VCPUS), state: { ldr: value } } };
  return { op: "guest", args: c.oneIn(4) ? { do: "mmioWrite32", addr: LAPIC + 0xe0, value: c.of([0, 0xffff_ffff]) } : { do: "mmioWrite32", addr: LAPIC + 0xd0, value } };
};
export const clusterMessage: Make = (c) => ({
  op: "signalMsi",
  args: { addressLo: LAPIC + c.of(CLUSTER_DESTINATIONS) * 0x1000 + (c.oneIn(6) ? 0 : 4) + (c.oneIn(4) ? 8 : 0), data: c.of(VECTORS) | (c.oneIn(3) ? 0x100 : 0) | (c.oneIn(5) ? 0x8000 : 0) },
});
export const clusterEntry: Make = (c) => ({
  op: "setIrqchip",
  args: { chip: "ioapic", state: { redirtbl: { [c.of(PINS)]: { vector: c.of(VECTORS), destMode: c.oneIn(5) ? 0 : 1, destId: c.of(CLUSTER_DESTINATIONS), deliveryMode: c.oneIn(3) ? 1 : 0, trigMode: c.below(2), mask: c.oneIn(6) ? 1 : 0 } } } },
});
export const clusterIpi = (c: Chooser): X86Call[] => [
  { op: "guest", args: { do: "mmioWrite32", addr: LAPIC + 0x310, value: c.of(CLUSTER_DESTINATIONS) * 0x100_0000 } },
  { op: "guest", args: { do: "mmioWrite32", addr: LAPIC + 0x300, value: 0x4800 | (c.oneIn(3) ? 0x100 : 0) | c.of(VECTORS) } },
];
