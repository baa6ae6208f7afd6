import { shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { APIC_DEFAULT_BASE, ApicReg, LAPIC_WINDOW } from "./lapic/registers.js";
import type { Lapic } from "./lapic/lapic.js";

export const enum ApicMode {
  DISABLED,
  XAPIC,
  X2APIC,
}

/** Bits of IA32_APIC_BASE. */
export const BASE_BSP = 1 << 8;
export const BASE_X2APIC = 1 << 10;
export const BASE_ENABLE = 1 << 11;
const RESERVED = 0x2ff;
const PAGE = 0x1000;
/** MAXPHYADDR where CPUID says nothing. */
const DEFAULT_PHYSICAL_BITS = 36;
const TWO_32 = 4_294_967_296;

const modeOf = (low: number): ApicMode => {
  if ((low & BASE_ENABLE) === 0) return ApicMode.DISABLED;
  return (low & BASE_X2APIC) === 0 ? ApicMode.XAPIC : ApicMode.X2APIC;
};

/** LDR of an x2APIC: cluster in bits 31:16, bit in 15:0 (7.2). */
export const x2apicLdr = (id: number): number => ((id >>> 4) << 16) | (1 << (id & 15));

/** IA32_APIC_BASE of one vCPU and what follows from it (x86-irqchip.md 7.2). */
export class ApicBase {
  low = 0;
  high = 0;
  /** As other contexts see it: after a point. */
  mode = ApicMode.DISABLED;
  /** The same for the vCPU itself. */
  private own = ApicMode.DISABLED;
  /** Where the window is, a guest physical address. */
  address = APIC_DEFAULT_BASE;

  constructor(private readonly lapic: Lapic) {}

  /** Globally enabled: asked by its own vCPU. */
  isEnabled(): boolean {
    return this.own !== ApicMode.DISABLED;
  }

  /** Asked by its own vCPU. */
  isX2apic(): boolean {
    return this.own === ApicMode.X2APIC;
  }

  /** Without the quirk the window of an APIC that does not answer is user space's. */
  holds(address: number): boolean {
    return address >= this.address && address < this.address + LAPIC_WINDOW && this.hasWindow();
  }

  /** Is there a window at all? */
  hasWindow(): boolean {
    return this.own === ApicMode.XAPIC || this.lapic.set.options.disabledWindowQuirk;
  }

  /** WRMSR or KVM_SET_SREGS: false for #GP (EINVAL for user space), with nothing changed. */
  *write(low: number, high: number, isHost: boolean): Step<boolean> {
    if (low === this.low && high === this.high) return true;
    if (!this.isWritable(low, high)) return false;
    const next = modeOf(low);
    if (!isHost && this.own === ApicMode.X2APIC && next === ApicMode.XAPIC) return false;
    if (!isHost && this.own === ApicMode.DISABLED && next === ApicMode.X2APIC) return false;
    yield* this.put(low, high);
    yield* this.lapic.set.map.rebuildIfDirty();
    return true;
  }

  private isWritable(low: number, high: number): boolean {
    const { cpuid } = this.lapic;
    if ((low & RESERVED) !== 0) return false;
    const isX2apic = (low & BASE_X2APIC) !== 0;
    if (isX2apic && (cpuid === null || !cpuid.hasX2apic || (low & BASE_ENABLE) === 0)) return false;
    const bits = cpuid === null ? DEFAULT_PHYSICAL_BITS : cpuid.physicalBits;
    return high >>> 0 < 2 ** Math.max(0, bits - 32);
  }

  /** Stores the value; the map's rebuild is the caller's. */
  *put(low: number, high: number): Step<void> {
    const changed = this.low ^ low;
    const { lapic } = this;
    this.low = low;
    this.high = high;
    this.own = modeOf(low);
    yield writes(this, "mode");
    this.mode = this.own;
    if ((changed & (BASE_ENABLE | BASE_X2APIC)) !== 0) {
      if (this.own === ApicMode.XAPIC) yield* this.setXapicId(lapic.vcpu.id);
      if (this.own === ApicMode.X2APIC && (changed & BASE_X2APIC) !== 0) yield* this.setX2apicId();
      yield* lapic.set.map.dirty();
    }
    this.address = (high >>> 0) * TWO_32 + ((low & -PAGE) >>> 0);
    if (this.own !== ApicMode.DISABLED && this.address !== APIC_DEFAULT_BASE) yield* lapic.set.inhibits.add("APIC_BASE_MODIFIED");
  }

  *setXapicId(id: number): Step<void> {
    const { lapic } = this;
    yield writes(lapic, "addressing");
    lapic.addressing[ApicReg.ID >> 2] = (id << 24) | 0;
    yield* lapic.set.map.dirty();
  }

  private *setX2apicId(): Step<void> {
    const { lapic } = this;
    yield writes(lapic, "addressing");
    const registers = lapic.addressing;
    registers[ApicReg.ID >> 2] = lapic.vcpu.id;
    registers[ApicReg.LDR >> 2] = x2apicLdr(lapic.vcpu.id);
    yield* lapic.set.map.dirty();
  }
}
shared(ApicBase, "mode");
