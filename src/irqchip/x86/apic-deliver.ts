import { reads } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { ApicMode } from "./apic-base.js";
import { type ApicMap, LogicalModel } from "./apic-map.js";
import { matchesDestination, X2APIC_BROADCAST, XAPIC_BROADCAST } from "./apic-match.js";
import { type ApicMessage, DeliveryMode, type Receivers, Shorthand } from "./contract.js";
import type { Lapic } from "./lapic/lapic.js";
import type { LocalApicSet } from "./local-apics.js";

// From a message to the local APICs that accept it (x86-irqchip.md 6.2, 6.3).

/** {@link deliverFast}: the optimised map does not answer this one. */
export const NEEDS_SCAN = -2;

const isLowest = (message: ApicMessage): boolean => message.mode === DeliveryMode.LOWEST_PRIORITY || message.hasRedirectionHint;

/** The sum of acceptances; -1 where the slow scan matched nobody. `source`: the sender of an IPI, else null. */
export function* deliverMessage(set: LocalApicSet, source: Lapic | null, message: ApicMessage, receivers: Receivers | null): Step<number> {
  const result = yield* deliverFast(set, source, message, receivers);
  return result === NEEDS_SCAN ? yield* deliverByScan(set, source, message, receivers) : result;
}

/** What the map resolves, without looking at every vCPU, or {@link NEEDS_SCAN}. */
export function* deliverFast(set: LocalApicSet, source: Lapic | null, message: ApicMessage, receivers: Receivers | null): Step<number> {
  if (message.shorthand === Shorthand.SELF) return source === null ? 0 : yield* source.accept(message, receivers);
  if (message.shorthand !== Shorthand.NONE) return NEEDS_SCAN;
  yield reads(set.map, "current");
  const map = set.map.current;
  if (map === null || isBroadcast(set, source, message, map)) return NEEDS_SCAN;
  if (!message.isLogical) {
    const target = message.destination > map.maxId ? null : map.byId[message.destination];
    return target === null ? dropped(set, message, "no target", 0) : yield* target.accept(message, receivers);
  }
  if (map.model === LogicalModel.SCAN) return NEEDS_SCAN;
  return yield* deliverLogical(set, map, message, receivers);
}

/** Notes why nobody got the message; `result`. */
function dropped(set: LocalApicSet, message: ApicMessage, cause: "no target" | "hash slot empty", result: number): number {
  set.vm.sim.emit(Ev.apic_dropped, message.destination, message.vector, cause);
  return result;
}

function isBroadcast(set: LocalApicSet, source: Lapic | null, message: ApicMessage, map: ApicMap): boolean {
  const { destination } = message;
  if (set.api.isBroadcastQuirkDisabled) {
    return destination === X2APIC_BROADCAST || (destination === XAPIC_BROADCAST && map.model !== LogicalModel.X2APIC);
  }
  return destination === (source !== null && source.base.isX2apic() ? X2APIC_BROADCAST : XAPIC_BROADCAST);
}

function* deliverLogical(set: LocalApicSet, map: ApicMap, message: ApicMessage, receivers: Receivers | null): Step<number> {
  let requested = map.requested(message.destination);
  const isOne = requested !== 0 && isLowest(message);
  if (isOne) requested = yield* chooseInMap(set, map, message, requested);
  const slots = map.slots();
  const first = map.firstSlot(message.destination);
  let sum = 0;
  let targets = 0;
  for (; requested !== 0; requested &= requested - 1) {
    const target = slots[first + 31 - Math.clz32(requested & -requested)];
    if (target === null) continue;
    targets++;
    sum += yield* target.accept(message, receivers);
  }
  return targets > 0 ? sum : dropped(set, message, isOne && set.options.hasVectorHashing ? "hash slot empty" : "no target", 0);
}

/** One bit of `requested`, 0 for nobody. Hashing counts the bits that were asked for, whether somebody is there or not (X25). */
function* chooseInMap(set: LocalApicSet, map: ApicMap, message: ApicMessage, requested: number): Step<number> {
  if (set.options.hasVectorHashing) return nthBit(requested, message.vector % bitCount(requested));
  const slots = map.slots();
  const first = map.firstSlot(message.destination);
  let chosen = 0;
  let least = 0;
  for (let left = requested; left !== 0; left &= left - 1) {
    const bit = left & -left;
    const target = slots[first + 31 - Math.clz32(bit)];
    if (target === null) continue;
    yield reads(target, "arbitrationCount");
    if (chosen !== 0 && target.arbitrationCount >= least) continue;
    chosen = bit;
    least = target.arbitrationCount;
  }
  return chosen;
}

function bitCount(bits: number): number {
  let count = 0;
  for (let left = bits; left !== 0; left &= left - 1) count++;
  return count;
}

function nthBit(bits: number, n: number): number {
  let left = bits;
  for (let i = 0; i < n; i++) left &= left - 1;
  return left & -left;
}

/** Asks every vCPU: broadcasts, shorthands, and what the map cannot tell apart. */
function* deliverByScan(set: LocalApicSet, source: Lapic | null, message: ApicMessage, receivers: Receivers | null): Step<number> {
  if (isLowest(message)) return yield* deliverToOne(set, source, message, receivers);
  const { vcpus } = set.vm;
  let sum = -1;
  for (let i = 0; i < vcpus.length; i++) {
    const target = yield* matching(set, source, message, vcpus[i].index);
    if (target === null) continue;
    const accepted = yield* target.accept(message, receivers);
    sum = Math.max(sum, 0) + accepted;
  }
  return sum < 0 ? dropped(set, message, "no target", -1) : sum;
}

/** The vCPU's APIC if it is globally enabled and matches. */
function* matching(set: LocalApicSet, source: Lapic | null, message: ApicMessage, index: number): Step<Lapic | null> {
  const target = set.lapics[index];
  if (target === undefined) return null;
  yield reads(target.base, "mode");
  if (target.base.mode === ApicMode.DISABLED) return null;
  const isMatch = yield* matchesDestination(target, source, message.shorthand, message.destination, message.isLogical);
  return isMatch ? target : null;
}

/** Lowest priority by scan. Physical 0xff becomes fixed: with delivery mode 1 that makes it a broadcast (6.3). */
function* deliverToOne(set: LocalApicSet, source: Lapic | null, message: ApicMessage, receivers: Receivers | null): Step<number> {
  const isBroadcast = !message.isLogical && message.destination === XAPIC_BROADCAST;
  if (isBroadcast) message.mode = DeliveryMode.FIXED;
  if (isBroadcast && !message.hasRedirectionHint) return yield* deliverByScan(set, source, message, receivers);
  const candidates = set.borrowCandidates();
  const count = yield* collect(set, source, message, candidates);
  let chosen: Lapic | null = null;
  if (count > 0) chosen = set.options.hasVectorHashing ? candidates[message.vector % count] : yield* leastArbitrated(candidates, count);
  const result = chosen === null ? dropped(set, message, "no target", -1) : yield* chosen.accept(message, receivers);
  set.returnCandidates(candidates, count);
  return result;
}

/** Software-enabled APICs alone are candidates. */
function* collect(set: LocalApicSet, source: Lapic | null, message: ApicMessage, into: (Lapic | null)[]): Step<number> {
  const { vcpus } = set.vm;
  let count = 0;
  for (let i = 0; i < vcpus.length; i++) {
    const target = yield* matching(set, source, message, vcpus[i].index);
    if (target === null) continue;
    yield reads(target, "isSwEnabled");
    if (target.isSwEnabled) into[count++] = target;
  }
  return count;
}

function* leastArbitrated(candidates: readonly (Lapic | null)[], count: number): Step<Lapic | null> {
  let chosen: Lapic | null = null;
  let least = 0;
  for (let i = 0; i < count; i++) {
    const { [i]: target } = candidates;
    if (target === null) continue;
    yield reads(target, "arbitrationCount");
    if (chosen !== null && target.arbitrationCount >= least) continue;
    chosen = target;
    least = target.arbitrationCount;
  }
  return chosen;
}

/**
 * The one vCPU that a message from outside resolves to, null for none or several: what may be posted by hardware (10.5).
 * The result of hashing counts.
 */
export function* singleTarget(set: LocalApicSet, message: ApicMessage): Step<Lapic | null> {
  if (message.shorthand !== Shorthand.NONE) return null;
  const mapped = yield* singleInMap(set, message);
  if (mapped !== null) return mapped;
  const { vcpus } = set.vm;
  let only: Lapic | null = null;
  for (let i = 0; i < vcpus.length; i++) {
    const target = yield* matching(set, null, message, vcpus[i].index);
    if (target === null) continue;
    if (only !== null) return null;
    only = target;
  }
  return only;
}

function* singleInMap(set: LocalApicSet, message: ApicMessage): Step<Lapic | null> {
  yield reads(set.map, "current");
  const map = set.map.current;
  if (map === null || isBroadcast(set, null, message, map)) return null;
  if (!message.isLogical) return message.destination > map.maxId ? null : map.byId[message.destination];
  if (map.model === LogicalModel.SCAN) return null;
  let requested = map.requested(message.destination);
  if (requested !== 0 && isLowest(message)) requested = yield* chooseInMap(set, map, message, requested);
  if (requested === 0 || (requested & (requested - 1)) !== 0) return null;
  return map.slots()[map.firstSlot(message.destination) + 31 - Math.clz32(requested)];
}
