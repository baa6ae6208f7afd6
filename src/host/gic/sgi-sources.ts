import type { IrqState } from "./irq-state.js";

/**
 * GICv2 keeps each SGI per source CPU: two CPUs that send the same SGI make two interrupts, and each ends under its own
 * source (host-irq.md 2.2 rule 5, K28). {@link IrqState} holds the summary: latched while any source is pending, active
 * while nothing but active sources is left.
 */
export class SgiSources {
  /** Source CPUs as bits, by target CPU * 16 + SGI. */
  private readonly pendingOf: Uint8Array;
  private readonly activeOf: Uint8Array;

  constructor(private readonly state: IrqState) {
    this.pendingOf = new Uint8Array(state.cpus * 16);
    this.activeOf = new Uint8Array(state.cpus * 16);
  }

  pending(cpu: number, sgi: number): number {
    return this.pendingOf[(cpu << 4) | sgi];
  }

  pend(cpu: number, sgi: number, sources: number): void {
    this.pendingOf[(cpu << 4) | sgi] |= sources;
    this.summarise(cpu, sgi);
  }

  unpend(cpu: number, sgi: number, sources: number): void {
    this.pendingOf[(cpu << 4) | sgi] &= ~sources;
    this.summarise(cpu, sgi);
  }

  /** The source that an acknowledge would return: the lowest that is pending and not active. */
  next(cpu: number, sgi: number): number {
    const at = (cpu << 4) | sgi;
    const ready = this.pendingOf[at] & ~this.activeOf[at];
    return 31 - Math.clz32(ready & -ready);
  }

  acknowledge(cpu: number, sgi: number, source: number): void {
    const at = (cpu << 4) | sgi;
    this.pendingOf[at] &= ~(1 << source);
    this.activeOf[at] |= 1 << source;
    this.summarise(cpu, sgi);
  }

  activate(cpu: number, sgi: number, sources: number): void {
    this.activeOf[(cpu << 4) | sgi] |= sources;
    this.summarise(cpu, sgi);
  }

  deactivate(cpu: number, sgi: number, sources: number): void {
    this.activeOf[(cpu << 4) | sgi] &= ~sources;
    this.summarise(cpu, sgi);
  }

  /** SGIs with an active source: the low half of GICD_ISACTIVER0. */
  activeSgis(cpu: number): number {
    let bits = 0;
    for (let sgi = 0; sgi < 16; sgi++) if (this.activeOf[(cpu << 4) | sgi] !== 0) bits |= 1 << sgi;
    return bits;
  }

  private summarise(cpu: number, sgi: number): void {
    const at = (cpu << 4) | sgi;
    const pending = this.pendingOf[at];
    const active = this.activeOf[at];
    this.state.assign(cpu, sgi, pending !== 0, active !== 0 && (pending & ~active) === 0);
  }
}
