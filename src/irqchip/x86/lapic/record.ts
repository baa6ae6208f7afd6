import { writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL } from "../../../uapi/errno.js";
import { BASE_BSP, BASE_ENABLE, x2apicLdr } from "../apic-base.js";
import { DeliveryMode } from "../contract.js";
import { hasLvt, setSpiv } from "./access.js";
import { APIC_DEFAULT_BASE, APIC_REGISTERS, ApicReg, LVT_MODE_SHIFT } from "./registers.js";
import type { Lapic } from "./lapic.js";

/** Bits 31:24 of the ID register. */
const XAPIC_ID_SHIFT = 24;

// The whole register page at once: reset, KVM_GET_LAPIC, KVM_SET_LAPIC (x86-irqchip.md 7.1, 7.10).

/** Power-on, which sets the APIC base and the id too, or INIT, which keeps them and, in x2APIC mode, the LDR. */
export function* reset(lapic: Lapic, isInit: boolean): Step<void> {
  const { base, set, vcpu } = lapic;
  const isBootCpu = set.isBootCpu(vcpu);
  if (!isInit) yield* base.put((APIC_DEFAULT_BASE | BASE_ENABLE | (isBootCpu ? BASE_BSP : 0)) | 0, 0);
  if (!isInit) yield* base.setXapicId(vcpu.id);
  yield* clearPage(lapic);
  if (isBootCpu && set.options.lint0Quirk) lapic.page[ApicReg.LVT0 >> 2] = DeliveryMode.EXTINT << LVT_MODE_SHIFT;
  lapic.setVersion();
  yield* setSpiv(lapic, lapic.page[ApicReg.SPIV >> 2]);
  yield* lapic.timer.reset();
  yield* renewHardware(lapic);
  yield* lapic.recount();
  yield* lapic.updatePpr();
  yield writes(lapic, "arbitrationCount");
  lapic.arbitrationCount = 0;
  yield* set.map.dirty();
  yield* set.map.rebuildIfDirty();
}

function* clearPage(lapic: Lapic): Step<void> {
  const keepsLdr = lapic.base.isX2apic();
  yield writes(lapic, "addressing");
  const registers = lapic.addressing;
  for (const { offset, count, reset } of APIC_REGISTERS) {
    if (offset === ApicReg.ID || (offset === ApicReg.LDR && keepsLdr) || !hasLvt(lapic, offset)) continue;
    for (let i = 0; i < count; i++) registers[(offset >> 2) + i * 4] = reset;
  }
  registers[(ApicReg.ICR >> 2) + 1] = 0;
}

function* renewHardware(lapic: Lapic): Step<void> {
  const { hardware } = lapic;
  if (hardware === null) return;
  yield* hardware.clear(lapic);
  yield* hardware.logicalChanged();
}

/** KVM_GET_LAPIC: what was posted is merged, the current count computed. */
export function* getRecord(lapic: Lapic, into: Int32Array): Step<void> {
  if (lapic.hardware !== null) yield* lapic.hardware.sync(lapic);
  const count = yield* lapic.timer.currentCount();
  into.set(lapic.page);
  into[ApicReg.TMCCT >> 2] = count;
  if (!lapic.base.isX2apic()) return;
  if (!lapic.set.api.use32BitIds) into[ApicReg.ID >> 2] = lapic.page[ApicReg.ID >> 2] << XAPIC_ID_SHIFT;
  into[ApicReg.ICR2 >> 2] = into[(ApicReg.ICR >> 2) + 1];
}

/**
 * KVM_SET_LAPIC; the APIC base, restored before it, decides what the record means. 0, or -EINVAL where 32-bit ids are on
 * and the record is of another vCPU: only SPIV has changed then.
 */
export function* setRecord(lapic: Lapic, from: Int32Array): Step<number> {
  const { base, set, vcpu } = lapic;
  yield* setSpiv(lapic, from[ApicReg.SPIV >> 2]);
  const isX2apic = base.isX2apic();
  if (isX2apic && set.api.use32BitIds && from[ApicReg.ID >> 2] !== (vcpu.id | 0)) {
    yield* set.map.rebuildIfDirty();
    return -EINVAL;
  }
  yield writes(lapic, "addressing");
  lapic.addressing.set(from);
  if (isX2apic) joinX2apic(lapic);
  yield* set.map.dirty();
  yield* set.map.rebuildIfDirty();
  lapic.setVersion();
  yield* renewHardware(lapic);
  yield* lapic.recount();
  yield* lapic.updatePpr();
  yield* lapic.timer.restore();
  yield* vcpu.requestEvent();
  if (set.eoiSink !== null) yield* set.eoiSink.recountRtc(vcpu.index);
  yield writes(lapic, "arbitrationCount");
  lapic.arbitrationCount = 0;
  return 0;
}

/** The id is the vCPU's whatever the record says, before 6.11 what it says; LDR follows from it, ICR becomes one register again. */
function joinX2apic(lapic: Lapic): void {
  const { page, set, vcpu } = lapic;
  const id = set.rules.keepsX2apicId || set.api.use32BitIds ? vcpu.id : page[ApicReg.ID >> 2] >>> XAPIC_ID_SHIFT;
  page[ApicReg.ID >> 2] = id;
  page[ApicReg.LDR >> 2] = x2apicLdr(id);
  page[(ApicReg.ICR >> 2) + 1] = page[ApicReg.ICR2 >> 2];
}
