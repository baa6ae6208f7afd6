import type { Step } from "../sim/step.js";
import { EINVAL, ENOENT } from "../uapi/errno.js";
import { IRQ_SOURCES_PER_CALL, kvm_irq_sources, KVM_IRQ_LEVEL_SENSITIVE_HI, KVM_IRQ_MASKED_HI, KVM_IRQ_OWN_SHIFT_HI, KVM_IRQ_PENDING_HI, KVM_IRQ_PRIORITY_MASK_HI } from "../uapi/powerpc.js";

// The generic half of the interface proposed in February 2013 (xics.md 3, 4): what any controller of sources has, a
// destination, a priority, a trigger mode, a mask and a pending bit each, moved in one 64-bit word per source.

/** A source's word in int32 halves (xics.md D10): five fields that every controller has, and bits that are each one's own. */
export class SourceWord {
  lo = 0;
  hi = 0;

  /** u32 */
  get destination(): number {
    return this.lo >>> 0;
  }
  get priority(): number {
    return this.hi & KVM_IRQ_PRIORITY_MASK_HI;
  }
  get isLevel(): boolean {
    return (this.hi & KVM_IRQ_LEVEL_SENSITIVE_HI) !== 0;
  }
  get isMasked(): boolean {
    return (this.hi & KVM_IRQ_MASKED_HI) !== 0;
  }
  get isPending(): boolean {
    return (this.hi & KVM_IRQ_PENDING_HI) !== 0;
  }
  /** What is the controller's own: bits 63:43, from bit 0 on. */
  get own(): number {
    return this.hi >>> KVM_IRQ_OWN_SHIFT_HI;
  }

  /** All of it. */
  compose(destination: number, priority: number, isLevel: boolean, isMasked: boolean, isPending: boolean, own: number): void {
    this.lo = destination | 0;
    this.hi =
      priority |
      (isLevel ? KVM_IRQ_LEVEL_SENSITIVE_HI : 0) |
      (isMasked ? KVM_IRQ_MASKED_HI : 0) |
      (isPending ? KVM_IRQ_PENDING_HI : 0) |
      (own << KVM_IRQ_OWN_SHIFT_HI);
  }
}

/** A controller whose sources the two calls move. They hold kvm.lock, so that the controller outlives them. */
export interface SourceController {
  readonly firstSource: number;
  readonly lastSource: number;
  /** Sets one source, creating it where that is possible: 0 or a negative errno. */
  setSource(irq: number, word: SourceWord): Step<number>;
  /** Its word: 0, or -ENOENT where it does not exist. Nothing changes. */
  getSource(irq: number, word: SourceWord): Step<number>;
}

/** 0, or what is wrong with the range (4.2, rules 1 to 3). */
function checkRange(chip: SourceController, irq: number, count: number): number {
  if (count === 0) return 0;
  if (count > IRQ_SOURCES_PER_CALL) return -EINVAL;
  return irq < chip.firstSource || irq + count - 1 > chip.lastSource ? -ENOENT : 0;
}

/**
 * KVM_IRQCHIP_SET_SOURCES (4.2): ascending; the first failure ends it, and what was set stays set.
 * @param record a kvm_irq_sources
 */
export function* setSources(chip: SourceController, record: DataView): Step<number> {
  const irq = kvm_irq_sources.irq.get(record);
  const count = kvm_irq_sources.nr_irqs.get(record);
  const refused = checkRange(chip, irq, count);
  if (refused !== 0) return refused;
  const word = new SourceWord();
  for (let i = 0; i < count; i++) {
    const at = kvm_irq_sources.words.offset + 8 * i;
    word.lo = record.getInt32(at, true);
    word.hi = record.getInt32(at + 4, true);
    const result = yield* chip.setSource(irq + i, word);
    if (result !== 0) return result;
  }
  return 0;
}

/**
 * KVM_IRQCHIP_GET_SOURCES (4.3): every source of the range must exist; else -ENOENT, and the words of the record mean nothing:
 * the caller's are left as they are.
 */
export function* getSources(chip: SourceController, record: DataView): Step<number> {
  const irq = kvm_irq_sources.irq.get(record);
  const count = kvm_irq_sources.nr_irqs.get(record);
  const refused = checkRange(chip, irq, count);
  if (refused !== 0) return refused;
  const word = new SourceWord();
  for (let i = 0; i < count; i++) {
    const result = yield* chip.getSource(irq + i, word);
    if (result !== 0) return result;
    const at = kvm_irq_sources.words.offset + 8 * i;
    record.setInt32(at, word.lo, true);
    record.setInt32(at + 4, word.hi, true);
  }
  return 0;
}
