import { reads, writes } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import type { Step } from "../../../sim/step.js";
import { sendIpi, sendSelfIpi } from "./ipi.js";
import {
  ApicReg,
  apicRegisterName,
  ICR_BUSY,
  isReadable,
  LVR_DIRECTED_EOI,
  LVT_MASKED,
  LVT_REGISTERS,
  MSR_IA32_APICBASE,
  MSR_IA32_TSC_DEADLINE,
  SPIV_DIRECTED_EOI,
  SPIV_ENABLED,
  writeMask,
  X2APIC_MSR_BASE,
} from "./registers.js";
import type { Lapic } from "./lapic.js";

// Guest accesses to a local APIC (x86-irqchip.md 7.1): the xAPIC's window, the x2APIC's MSRs.

const RESERVED_ICR = 0xfff32000 | 0;

/** An access that no register takes reads as zero: KVM leaves the caller's bytes alone. */
export function* mmioRead(lapic: Lapic, offset: number, size: number): Step<number> {
  if (!lapic.base.isEnabled() || lapic.base.isX2apic()) return size >= 4 ? -1 : (1 << (size << 3)) - 1;
  const within = offset & 0xf;
  const register = offset & ~0xf;
  if (within + size > 4 || !canRead(lapic, register)) return 0;
  const value = yield* readRegister(lapic, register);
  if (size === 4) return value;
  return (value >>> (within << 3)) & ((1 << (size << 3)) - 1);
}

export function* mmioWrite(lapic: Lapic, offset: number, size: number, value: number): Step<void> {
  if (!lapic.base.isEnabled() || lapic.base.isX2apic()) return;
  if (size !== 4 || (offset & 0xf) !== 0) return;
  yield* writeRegister(lapic, offset & 0xff0, value);
}

/** False: #GP. The value is in `msrLow` and `msrHigh`. */
export function* msrRead(lapic: Lapic, msr: number): Step<boolean> {
  lapic.msrHigh = 0;
  if (msr === MSR_IA32_APICBASE) {
    lapic.msrLow = lapic.base.low;
    lapic.msrHigh = lapic.base.high;
    return true;
  }
  if (msr === MSR_IA32_TSC_DEADLINE) {
    yield* lapic.timer.readDeadline();
    return true;
  }
  const register = (msr - X2APIC_MSR_BASE) << 4;
  if (!lapic.base.isX2apic() || !canRead(lapic, register)) return false;
  lapic.msrLow = yield* readRegister(lapic, register);
  if (register === ApicReg.ICR) lapic.msrHigh = lapic.page[(ApicReg.ICR >> 2) + 1];
  return true;
}

/** False: #GP, nothing changed. */
export function* msrWrite(lapic: Lapic, msr: number, low: number, high: number, isHost: boolean): Step<boolean> {
  if (msr === MSR_IA32_APICBASE) return yield* lapic.base.write(low | 0, high | 0, isHost);
  if (msr === MSR_IA32_TSC_DEADLINE) {
    yield* lapic.timer.writeDeadline(low, high);
    return true;
  }
  if (!lapic.base.isX2apic()) return false;
  const register = (msr - X2APIC_MSR_BASE) << 4;
  if (register === ApicReg.ICR) return yield* writeX2apicIcr(lapic, low, high);
  return high === 0 && (yield* writeRegister(lapic, register, low | 0));
}

function* writeX2apicIcr(lapic: Lapic, low: number, high: number): Step<boolean> {
  if ((low & RESERVED_ICR) !== 0 && lapic.set.rules.refusesReservedIcrBits) return false;
  const command = low & ~ICR_BUSY;
  lapic.set.vm.sim.emit(Ev.kvm_apic, lapic.vcpu.id, "ICR", command >>> 0, 1);
  yield* sendIpi(lapic, command, high);
  lapic.page[ApicReg.ICR >> 2] = command;
  lapic.page[(ApicReg.ICR >> 2) + 1] = high | 0;
  return true;
}

function canRead(lapic: Lapic, register: number): boolean {
  if (register === ApicReg.LVTCMCI && !lapic.set.options.hasCmci) return false;
  return isReadable(register, lapic.base.isX2apic());
}

function* readRegister(lapic: Lapic, register: number): Step<number> {
  const value = yield* registerValue(lapic, register);
  lapic.set.vm.sim.emit(Ev.kvm_apic, lapic.vcpu.id, apicRegisterName(register), value >>> 0, 0);
  return value;
}

function* registerValue(lapic: Lapic, register: number): Step<number> {
  if (register === ApicReg.APR) return 0;
  if (register === ApicReg.TMCCT) return yield* lapic.timer.currentCount();
  if (register === ApicReg.PPR) yield* lapic.updatePpr();
  if (register >= ApicReg.ISR && register < ApicReg.ESR) yield* announceBitmap(lapic, register);
  return lapic.page[register >> 2];
}

function* announceBitmap(lapic: Lapic, register: number): Step<void> {
  if (register >= ApicReg.IRR) {
    yield reads(lapic, "irr");
  } else if (register >= ApicReg.TMR) {
    yield reads(lapic, "tmr");
  } else {
    yield reads(lapic, "isr");
  }
}

/** A write of the whole register. False where the register does not take one: #GP in x2APIC mode, ignored in the window. */
function* writeRegister(lapic: Lapic, register: number, value: number): Step<boolean> {
  lapic.set.vm.sim.emit(Ev.kvm_apic, lapic.vcpu.id, apicRegisterName(register), value >>> 0, 1);
  const isTaken = yield* storeRegister(lapic, register, value);
  yield* lapic.set.map.rebuildIfDirty();
  return isTaken;
}

function* storeRegister(lapic: Lapic, register: number, value: number): Step<boolean> {
  const isX2apic = lapic.base.isX2apic();
  switch (register) {
    case ApicReg.ID:
    case ApicReg.LDR:
    case ApicReg.DFR:
    case ApicReg.ICR2:
      if (isX2apic) return false;
      yield* storeXapicOnly(lapic, register, value);
      return true;
    case ApicReg.TPR:
      yield* writeTpr(lapic, value);
      return true;
    case ApicReg.EOI:
      yield* lapic.eoi();
      return true;
    case ApicReg.SPIV:
      yield* writeSpiv(lapic, value);
      return true;
    case ApicReg.ICR:
      yield* sendIpi(lapic, value & ~ICR_BUSY, lapic.page[ApicReg.ICR2 >> 2]);
      lapic.page[ApicReg.ICR >> 2] = value & ~ICR_BUSY;
      return true;
    case ApicReg.ESR:
      return !isX2apic || value === 0;
    case ApicReg.TMICT:
      yield* lapic.timer.writeInitialCount(value);
      return true;
    case ApicReg.TDCR:
      yield* lapic.timer.writeDivide(value & writeMask(register));
      return true;
    case ApicReg.SELF_IPI:
      if (!isX2apic || (value & ~writeMask(register)) !== 0) return false;
      yield* sendSelfIpi(lapic, value);
      return true;
    default:
      return yield* storeLvt(lapic, register, value);
  }
}

function* storeXapicOnly(lapic: Lapic, register: number, value: number): Step<void> {
  const masked = value & writeMask(register);
  if (register === ApicReg.ICR2) {
    lapic.page[register >> 2] = masked;
    return;
  }
  yield writes(lapic, "addressing");
  lapic.addressing[register >> 2] = register === ApicReg.DFR ? value | 0x0fffffff : masked;
  if (lapic.hardware !== null) yield* lapic.hardware.logicalChanged();
  yield* lapic.set.map.dirty();
}

export function* writeTpr(lapic: Lapic, value: number): Step<void> {
  lapic.page[ApicReg.TPR >> 2] = value & 0xff;
  yield* lapic.updatePpr();
}

function* writeSpiv(lapic: Lapic, value: number): Step<void> {
  const canDirect = (lapic.page[ApicReg.LVR >> 2] & LVR_DIRECTED_EOI) !== 0;
  yield* setSpiv(lapic, value & (writeMask(ApicReg.SPIV) | (canDirect ? SPIV_DIRECTED_EOI : 0)));
  if ((value & SPIV_ENABLED) !== 0) return;
  yield writes(lapic, "addressing");
  const registers = lapic.addressing;
  for (const lvt of LVT_REGISTERS) if (hasLvt(lapic, lvt)) registers[lvt >> 2] |= LVT_MASKED;
  yield* lapic.timer.modeChanged();
  yield* lapic.timer.forget();
}

/** Stores SPIV as it is and notes the software enable. */
export function* setSpiv(lapic: Lapic, value: number): Step<void> {
  lapic.page[ApicReg.SPIV >> 2] = value;
  const isEnabled = (value & SPIV_ENABLED) !== 0;
  yield reads(lapic, "isSwEnabled");
  if (isEnabled === lapic.isSwEnabled) return;
  yield writes(lapic, "isSwEnabled");
  lapic.isSwEnabled = isEnabled;
  yield* lapic.set.map.dirty();
}

export function hasLvt(lapic: Lapic, register: number): boolean {
  return register !== ApicReg.LVTCMCI || lapic.set.options.hasCmci;
}

function* storeLvt(lapic: Lapic, register: number, value: number): Step<boolean> {
  if (!LVT_REGISTERS.includes(register) || !hasLvt(lapic, register)) return false;
  const modes = register === ApicReg.LVTT ? lapic.timer.modeMask() : 0;
  yield reads(lapic, "isSwEnabled");
  const mask = lapic.isSwEnabled ? 0 : LVT_MASKED;
  yield writes(lapic, "addressing");
  lapic.addressing[register >> 2] = (value | mask) & (writeMask(register) | modes);
  if (register === ApicReg.LVTT) yield* lapic.timer.modeChanged();
  return true;
}
