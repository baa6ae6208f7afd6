import { reads, writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { EFAULT } from "../../../uapi/errno.js";
import { PENDBASER_PTZ_HIGH } from "./lpi-tables.js";
import { invalidateVpe, updateVlpi } from "../v4/commands.js";
import { isVlpiPending, mapVpes, unmapVpes } from "../v4/save.js";
import type { VgicCpu } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";
import { VGIC_MIN_LPI, type VgicIrq } from "../vgic-irq.js";
import { queueIrqUnlock } from "../vgic-queue.js";

// LPIs and their tables in guest memory (gic-its.md B6): one configuration byte each, one pending bit each.

const PRIORITY_MASK = 0xfc;
const ENABLE = 1;
const IDBITS_MASK = 0x1f;
const MAX_ID_BITS = 16;

const propertyTable = (dist: VgicDist): number => (dist.propbaserHigh & 0xfffff) * 2 ** 32 + ((dist.propbaserLow & 0xfffff000) >>> 0);
const pendingTable = (cpu: VgicCpu): number => (cpu.pendbaserHigh & 0xfffff) * 2 ** 32 + ((cpu.pendbaserLow & 0xffff0000) >>> 0);

/** LPIs end below: as many as PROPBASER says, 16 bits of them at most. */
export function* maxLpis(dist: VgicDist): Step<number> {
  yield reads(dist, "propbaserLow");
  return 2 ** Math.min((dist.propbaserLow & IDBITS_MASK) + 1, MAX_ID_BITS);
}

/**
 * Reads an LPI's configuration byte again and queues it if that made it deliverable (B6.1). With a `filter` only where the
 * LPI goes to that vCPU. Of a VLPI the byte goes to the hardware, which with `invalidates` looks at once. 0, or -EFAULT: the
 * byte is no memory, and the LPI stays as it was.
 */
export function* reloadConfig(dist: VgicDist, irq: VgicIrq, filter: VgicCpu | null, invalidates = true): Step<number> {
  yield reads(dist, "propbaserLow");
  const byte = yield* dist.vm.ram.readByte(propertyTable(dist) + irq.intid - VGIC_MIN_LPI);
  if (byte < 0) return -EFAULT;
  yield* irq.lock.lock();
  if (filter === null || irq.targetVcpu === filter) {
    irq.priority = byte & PRIORITY_MASK;
    irq.enabled = (byte & ENABLE) !== 0;
    if (!irq.hw) {
      yield* queueIrqUnlock(dist, irq);
      return 0;
    }
  }
  const isDirect = irq.hw;
  yield* irq.lock.unlock();
  return isDirect ? yield* updateVlpi(dist, irq, byte, invalidates) : 0;
}

/** {@link reloadConfig} of every LPI that goes to a vCPU: INVALL and GICR_INVALLR. */
export function* reloadAll(dist: VgicDist, cpu: VgicCpu): Step<void> {
  for (let intid = yield* dist.lpis.next(VGIC_MIN_LPI); intid >= 0; intid = yield* dist.lpis.next(intid + 1)) {
    const irq = yield* dist.lpis.get(intid);
    if (irq === null) continue;
    yield* reloadConfig(dist, irq, cpu, false);
    yield* dist.lpis.put(irq);
  }
  if (!dist.hazards.invallWithoutInvalidate) yield* invalidateVpe(dist, cpu);
}

/**
 * The pending bit of an LPI that was just mapped (B6.3): it becomes the latch, and is taken out of the table. 0 or -EFAULT.
 * Where the target moves meanwhile, the other vCPU's table says it.
 */
export function* takePendingBit(dist: VgicDist, irq: VgicIrq): Step<number> {
  for (;;) {
    yield* irq.lock.lock();
    const target = irq.targetVcpu;
    yield* irq.lock.unlock();
    if (target === null) return 0;
    yield reads(target, "pendbaserLow");
    const address = pendingTable(target) + (irq.intid >>> 3);
    const bit = 1 << (irq.intid & 7);
    const byte = yield* dist.vm.ram.readByte(address);
    if (byte < 0) return -EFAULT;
    yield* irq.lock.lock();
    if (irq.targetVcpu !== target) {
      yield* irq.lock.unlock();
      continue;
    }
    irq.pendingLatch = (byte & bit) !== 0;
    yield* queueIrqUnlock(dist, irq);
    if ((byte & bit) === 0) return 0;
    const isWritten = yield* dist.vm.ram.writeByte(address, byte & ~bit);
    return isWritten ? 0 : -EFAULT;
  }
}

/** GICR_CTLR.EnableLPIs written (gic-v3.md A6.3). */
export function* writeEnableLpis(dist: VgicDist, cpu: VgicCpu, isOn: boolean): Step<void> {
  yield writes(cpu, "lpisEnabled");
  if (cpu.isDrainingLpis || cpu.lpisEnabled === isOn) return;
  cpu.lpisEnabled = isOn;
  if (isOn) {
    yield reads(cpu, "pendbaserLow");
    if ((cpu.pendbaserHigh & PENDBASER_PTZ_HIGH) === 0) yield* scanPendingTable(dist, cpu);
    return;
  }
  cpu.isDrainingLpis = true;
  yield* dropLpis(dist, cpu);
  for (let i = 0; i < dist.itses.length; i++) yield* dist.itses[i].cache.invalidate();
  yield writes(cpu, "lpisEnabled");
  cpu.isDrainingLpis = false;
}

/**
 * The pending table of a vCPU whose LPIs become enabled: every bit is assigned to its LPI's latch, so that a 0 erases one
 * that came since (hazard R41, which Linux has). Memory that cannot be read ends the scan.
 */
function* scanPendingTable(dist: VgicDist, cpu: VgicCpu): Step<void> {
  const base = pendingTable(cpu);
  let known = -1;
  let byte = 0;
  for (let intid = yield* dist.lpis.next(VGIC_MIN_LPI); intid >= 0; intid = yield* dist.lpis.next(intid + 1)) {
    if (intid >>> 3 !== known) {
      known = intid >>> 3;
      byte = yield* dist.vm.ram.readByte(base + known);
      if (byte < 0) return;
    }
    const irq = yield* dist.lpis.get(intid);
    if (irq === null) continue;
    yield* irq.lock.lock();
    if (irq.targetVcpu === cpu) {
      const isPending = (byte & (1 << (intid & 7))) !== 0;
      irq.pendingLatch = isPending || (dist.hazards.strictPendingScan && irq.pendingLatch);
      yield* queueIrqUnlock(dist, irq);
    } else yield* irq.lock.unlock();
    yield* dist.lpis.put(irq);
  }
}

/** Takes every LPI off the vCPU's list. Their latches stay, with nobody who would look (gic-v3.md A6.3, hazard R56). */
function* dropLpis(dist: VgicDist, cpu: VgicCpu): Step<void> {
  yield* cpu.apList.lock.lock();
  let irq = cpu.apList.head;
  while (irq !== null) {
    const next: VgicIrq | null = irq.apNext;
    if (irq.isLpi()) {
      yield* irq.lock.lock();
      yield* cpu.apList.remove(irq);
      irq.vcpu = null;
      if (dist.hazards.strictDisable) irq.pendingLatch = false;
      yield* dist.lpis.unpin(irq);
      yield* irq.lock.unlock();
    }
    irq = next;
  }
  yield* cpu.apList.lock.unlock();
}

/** KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES (gic-its.md B9.4), everything stopped: 0 or -EFAULT. LPIs without a target stay out. */
export function* savePendingTables(dist: VgicDist): Step<number> {
  const { v4 } = dist;
  const isMapped = v4 !== null && v4.is41 && v4.hasVpes && !dist.hazards.saveWhileMapped;
  if (isMapped) yield* unmapVpes(v4);
  const error = yield* saveAllPending(dist);
  if (isMapped) yield* mapVpes(v4);
  return error;
}

function* saveAllPending(dist: VgicDist): Step<number> {
  for (let intid = yield* dist.lpis.next(VGIC_MIN_LPI); intid >= 0; intid = yield* dist.lpis.next(intid + 1)) {
    const irq = yield* dist.lpis.get(intid);
    if (irq === null) continue;
    yield* irq.lock.lock();
    const { targetVcpu, pendingLatch, hw } = irq;
    yield* irq.lock.unlock();
    const isReadable = hw && dist.v4 !== null && dist.v4.is41; // of 4.0 nobody can read what is pending for a VLPI
    const isPending = isReadable ? yield* isVlpiPending(dist, targetVcpu, intid) : pendingLatch;
    const error = targetVcpu === null ? 0 : yield* savePendingBit(dist, targetVcpu, intid, isPending);
    yield* dist.lpis.put(irq);
    if (error !== 0) return error;
  }
  return 0;
}

function* savePendingBit(dist: VgicDist, target: VgicCpu, intid: number, isPending: boolean): Step<number> {
  yield reads(target, "pendbaserLow");
  const address = pendingTable(target) + (intid >>> 3);
  const bit = 1 << (intid & 7);
  const byte = yield* dist.vm.ram.readByte(address);
  if (byte < 0) return -EFAULT;
  if (((byte & bit) !== 0) === isPending) return 0;
  const isWritten = yield* dist.vm.ram.writeByte(address, isPending ? byte | bit : byte & ~bit);
  return isWritten ? 0 : -EFAULT;
}
