import type { Step } from "../../../sim/step.js";
import { KVM_IOAPIC_NUM_PINS, KVM_IRQCHIP_IOAPIC } from "../../../uapi/x86.js";
import type { IoApic } from "./ioapic.js";
import { rescanAll, rescanTargets } from "./scan.js";
import { DeliveryMode } from "../contract.js";
import { Rte } from "../redirection-entry.js";

/** What IOREGSEL selects (x86-irqchip.md 5.1). Anything else reads as ones and ignores writes. */
export const enum IoApicReg {
  /** Bits 27:24. */
  ID,
  /** Read-only: version in bits 7:0, last entry in 23:16. */
  VERSION,
  /** Read-only: the id again. */
  ARBITRATION,
  /** Version 0x20 only, read-only: messages travel on the bus of the processors. */
  BOOT_CONFIGURATION,
  /** Low half of entry 0, then its high half, and so on. */
  REDIRECTION_TABLE = 0x10,
}

const ID_SHIFT = 24;
const ID_MASK = 0xf;
const LAST_ENTRY_SHIFT = 16;
const NOTHING_THERE = -1;

/** The pin whose entry is selected; at or above the number of pins: none. Arithmetic as of the u32 that a record gives. */
function selectedPin(ioapic: IoApic): number {
  return ((ioapic.ioregsel - IoApicReg.REDIRECTION_TABLE) | 0) >>> 1;
}

/** A read of IOWIN; lock held. */
export function readIndirect(ioapic: IoApic): number {
  switch (ioapic.ioregsel) {
    case IoApicReg.ID:
    case IoApicReg.ARBITRATION:
      return (ioapic.id & ID_MASK) << ID_SHIFT;
    case IoApicReg.VERSION:
      return ((KVM_IOAPIC_NUM_PINS - 1) << LAST_ENTRY_SHIFT) | ioapic.version;
    case IoApicReg.BOOT_CONFIGURATION:
      return ioapic.version === 0x20 ? 1 : NOTHING_THERE;
    default: {
      const pin = selectedPin(ioapic);
      if (pin >= KVM_IOAPIC_NUM_PINS) return NOTHING_THERE;
      return (ioapic.ioregsel & 1) === 0 ? ioapic.entryLow[pin] : ioapic.entryHigh[pin];
    }
  }
}

/** A write of IOWIN; lock held. */
export function* writeIndirect(ioapic: IoApic, value: number): Step<void> {
  switch (ioapic.ioregsel) {
    case IoApicReg.ID:
      ioapic.id = (value >> ID_SHIFT) & ID_MASK;
      return;
    case IoApicReg.VERSION:
    case IoApicReg.ARBITRATION:
      return;
    default: {
      const pin = selectedPin(ioapic);
      if (pin < KVM_IOAPIC_NUM_PINS) yield* writeEntry(ioapic, pin, (ioapic.ioregsel & 1) !== 0, value);
    }
  }
}

/** 5.3. Turning an entry to edge clears remote IRR: how guests force an EOI. */
function* writeEntry(ioapic: IoApic, pin: number, isHighHalf: boolean, value: number): Step<void> {
  const { entryLow, entryHigh } = ioapic;
  const oldLow = entryLow[pin];
  const oldDestination = entryHigh[pin] >>> Rte.DESTINATION_SHIFT;
  if (isHighHalf) entryHigh[pin] = value;
  else ioapic.setEntryLow(pin, (value & ~Rte.READ_ONLY) | (oldLow & Rte.READ_ONLY));
  const isLevel = (entryLow[pin] & Rte.LEVEL) !== 0;
  if (!isLevel) ioapic.clearRemoteIrr(pin);

  if (((oldLow ^ entryLow[pin]) & Rte.MASKED) !== 0) yield* ioapic.vm.notifyMasked(KVM_IRQCHIP_IOAPIC, pin, (entryLow[pin] & Rte.MASKED) !== 0);
  if (isLevel) yield* lookAtLevel(ioapic, pin);
  if (((entryLow[pin] >> Rte.MODE_SHIFT) & Rte.MODE_MASK) !== DeliveryMode.FIXED) yield* rescanAll(ioapic);
  else yield* rescanTargets(ioapic, pin, oldDestination, (oldLow & Rte.LOGICAL) !== 0);
}

/**
 * A level request that can be sent now. It may be older than the device's last word: where a resampler is behind the
 * pin its owner looks again instead, and raises the line anew if it has to (X7; kvm-irq-core.md 3.7).
 */
function* lookAtLevel(ioapic: IoApic, pin: number): Step<void> {
  const { rules, hazards } = ioapic;
  if (rules.levelWriteClearsDelivered) ioapic.irrDelivered &= ~(1 << pin);
  if ((ioapic.irr & (1 << pin)) === 0 || (ioapic.entryLow[pin] & (Rte.MASKED | Rte.REMOTE_IRR)) !== 0) return;
  const asksResampler = rules.unmaskAsksResampler && !hazards.serviceOnUnmask;
  const hasResampler = asksResampler && (yield* ioapic.vm.notifyResampler(KVM_IRQCHIP_IOAPIC, pin));
  if (hasResampler) ioapic.irr &= ~(1 << pin);
  else yield* ioapic.service(pin, false, "unmask");
}
