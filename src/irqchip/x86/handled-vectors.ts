import { reads } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import type { Lapic } from "./lapic/lapic.js";
import { addDense, hasDense, hasVector } from "../../arch/x86/vector-set.js";

/** "41 77": the vectors of `set` that are not in `other`. */
function vectorNames(set: Int32Array, other: Int32Array): string {
  const names: string[] = [];
  for (let vector = 0; vector < 256; vector++) if (hasDense(set, vector) && !hasDense(other, vector)) names.push(vector.toString(16));
  return names.join(" ");
}

/**
 * The vectors of one vCPU whose EOI somebody outside must hear of (x86-irqchip.md 8.3): with hardware virtualisation, the
 * EOI-exit bitmap. Only the vCPU itself touches it.
 */
export class HandledVectors {
  private readonly bits = new Int32Array(8);
  /** The highest vector that is handled only because it was pending when its routing went elsewhere; -1: none. */
  private highestStale = -1;

  constructor(private readonly lapic: Lapic) {}

  has(vector: number): boolean {
    return hasDense(this.bits, vector);
  }

  add(vector: number, isStale: boolean): void {
    addDense(this.bits, vector);
    if (isStale && vector > this.highestStale && this.lapic.set.rules.rescansStaleRouting) this.highestStale = vector;
  }

  /** KVM_REQ_SCAN_IOAPIC, in the vCPU's context before entry. A globally disabled APIC keeps what it had. */
  *rescan(): Step<void> {
    const { lapic } = this;
    const { hardware, set, vcpu } = lapic;
    if (!lapic.base.isEnabled()) return;
    const before = set.vm.sim.tracing ? this.bits.slice() : null;
    this.bits.fill(set.rules.exitsByBitmap ? 0 : -1);
    this.highestStale = -1;
    // X4: a vector that is only posted counts as pending ("KVM: x86: Always sync PIR to IRR prior to scanning I/O APIC routes", 2024).
    const mustMerge = set.rules.mergesPirForRoutes || set.options.mode === "full";
    if (hardware !== null && mustMerge && !set.hazards.scanWithoutMerge) yield* hardware.sync(lapic);
    if (set.scanner !== null) yield* set.scanner.scanEntries(vcpu.index);
    if (before !== null) this.noteChange(before);
  }

  private noteChange(before: Int32Array): void {
    const added = vectorNames(this.bits, before);
    const removed = vectorNames(before, this.bits);
    if (added !== "" || removed !== "") this.lapic.set.vm.sim.emit(Ev.handled_vectors, this.lapic.vcpu.id, added, removed);
  }

  /** Who hears of the vector's end: for traces. */
  destination(vector: number): "nobody" | "suppressed" | "user" | "ioapic" {
    if (vector < 0 || !this.has(vector)) return "nobody";
    if (this.lapic.isBroadcastSuppressed()) return "suppressed";
    return this.lapic.set.options.mode === "split" ? "user" : "ioapic";
  }

  /** 8.1, step 4: a handled vector has ended. */
  *ended(vector: number): Step<void> {
    const { lapic } = this;
    const { set, vcpu } = lapic;
    if (vector === this.highestStale) yield* vcpu.requestScanIoapic();
    const isSuppressed = lapic.isBroadcastSuppressed();
    if (set.options.mode === "split") {
      if (!isSuppressed) yield* vcpu.requestEoiExit(vector);
      return;
    }
    if (set.eoiSink === null) return;
    yield reads(lapic, "tmr");
    // The IOAPIC of the kernel looks at SPIV alone, though no guest can set the bit where it is in the kernel (6.18).
    const isLevel = hasVector(lapic.tmr, vector) && !lapic.wantsDirectedEoi();
    yield* set.eoiSink.eoi(vcpu.index, vector, isLevel);
  }

  /** 8.2: still to leave for the remembered vector? Routing may have changed since the EOI (X23). */
  exits(vector: number): boolean {
    return this.lapic.set.hazards.exitWithoutRetest || this.has(vector);
  }

  /** The 256 bits as eight words: what hardware gets. */
  bitmap(): Int32Array {
    return this.bits.slice();
  }
}
