import { writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { KVM_IOAPIC_NUM_PINS, kvm_ioapic_state as record } from "../../../uapi/x86.js";
import { recountRtcOfAll } from "./rtc-count.js";
import { rescanAll } from "./scan.js";
import type { IoApic } from "./ioapic.js";

const TWO32 = 0x1_0000_0000;

/**
 * KVM_GET_IRQCHIP for the IOAPIC (x86-irqchip.md 5.8): 216 bytes to `view`, from `base` on. An edge that was delivered
 * is no request any more (X20). Counters, source words and the RTC set are no part of it.
 */
export function* getIoApicState(ioapic: IoApic, view: DataView, base = 0): Step<void> {
  yield* ioapic.lock.lock();
  record.base_address.setHalves(view, ioapic.recordBaseLow, ioapic.recordBaseHigh, base);
  record.ioregsel.set(view, ioapic.ioregsel >>> 0, base);
  record.id.set(view, ioapic.id >>> 0, base);
  const isDone = ioapic.hazards.saveDeliveredEdges ? 0 : ioapic.irrDelivered;
  record.irr.set(view, (ioapic.irr & ~isDone) >>> 0, base);
  record.pad.set(view, ioapic.recordPad >>> 0, base);
  for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) record.redirtbl[pin].setHalves(view, ioapic.entryLow[pin], ioapic.entryHigh[pin], base);
  yield* ioapic.lock.unlock();
}

/**
 * KVM_SET_IRQCHIP for the IOAPIC: everything as given, read-only bits too; then each pin whose `irr` bit was given is
 * driven high. The PIC's refresh follows, as after every SET.
 */
export function* setIoApicState(ioapic: IoApic, view: DataView, base = 0): Step<void> {
  yield* ioapic.lock.lock();
  ioapic.recordBaseLow = record.base_address.lo(view, base) | 0;
  ioapic.recordBaseHigh = record.base_address.hi(view, base) | 0;
  yield writes(ioapic, "windowBase");
  ioapic.windowBase = (ioapic.recordBaseHigh >>> 0) * TWO32 + (ioapic.recordBaseLow >>> 0);
  ioapic.ioregsel = record.ioregsel.get(view, base) | 0;
  ioapic.id = record.id.get(view, base) | 0;
  ioapic.recordPad = record.pad.get(view, base) | 0;
  for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
    ioapic.setEntryLow(pin, record.redirtbl[pin].lo(view, base) | 0);
    ioapic.entryHigh[pin] = record.redirtbl[pin].hi(view, base);
  }
  ioapic.irr = 0;
  ioapic.irrDelivered = 0;
  yield* rescanAll(ioapic);
  ioapic.rtc.reset();
  const requested = record.irr.get(view, base);
  for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) if ((requested & (1 << pin)) !== 0) yield* ioapic.drive(pin, true, true);
  yield* recountRtcOfAll(ioapic);
  yield* ioapic.lock.unlock();
}
