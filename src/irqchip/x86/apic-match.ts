import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { ApicMode } from "./apic-base.js";
import { Shorthand } from "./contract.js";
import { ApicReg, DFR_CLUSTER, DFR_FLAT } from "./lapic/registers.js";
import type { Lapic } from "./lapic/lapic.js";

/** Broadcast as an xAPIC and as an x2APIC spells it. */
export const XAPIC_BROADCAST = 0xff;
export const X2APIC_BROADCAST = 0xffffffff;

/**
 * Does this APIC match a destination (x86-irqchip.md 6.2)? `source` is the sender of an IPI, null for every other
 * message. A globally disabled APIC never does; that is the caller's to test.
 */
export function* matchesDestination(
  target: Lapic,
  source: Lapic | null,
  shorthand: Shorthand,
  destination: number,
  isLogical: boolean,
): Step<boolean> {
  if (shorthand === Shorthand.SELF) return target === source;
  if (shorthand === Shorthand.ALL) return true;
  if (shorthand === Shorthand.ALL_BUT_SELF) return target !== source;
  yield reads(target.base, "mode");
  const isX2apic = target.base.mode === ApicMode.X2APIC;
  const isQuirk = isX2apic && source === null && destination === XAPIC_BROADCAST && !target.set.api.isBroadcastQuirkDisabled;
  if (isQuirk || destination === (isX2apic ? X2APIC_BROADCAST : XAPIC_BROADCAST)) return true;
  if (isLogical) return yield* matchesLogical(target, isX2apic, destination);
  return yield* matchesPhysical(target, isX2apic, destination);
}

/** An id beyond 255 is an x2APIC id, whatever the target's mode: KVM's help for hot-plugged vCPUs. */
function* matchesPhysical(target: Lapic, isX2apic: boolean, destination: number): Step<boolean> {
  if (isX2apic || destination > 0xff) return destination === target.vcpu.id;
  yield reads(target, "addressing");
  return destination === target.addressing[ApicReg.ID >> 2] >>> 24;
}

function* matchesLogical(target: Lapic, isX2apic: boolean, destination: number): Step<boolean> {
  yield reads(target, "addressing");
  const registers = target.addressing;
  const ldr = registers[ApicReg.LDR >> 2];
  if (isX2apic) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
  const id = ldr >>> 24;
  const dfr = registers[ApicReg.DFR >> 2];
  if (dfr === DFR_FLAT) return (id & destination) !== 0;
  return dfr === DFR_CLUSTER && id >>> 4 === destination >>> 4 && (id & destination & 0xf) !== 0;
}
