/** halt_poll_ns_grow_start, _grow and _shrink (host-irq.md 3.4, step 5). */
const GROW_START_NS = 10_000;
const GROW = 2;

/** The halt polling window of one vCPU. */
export class HaltPoll {
  windowNs = 0;
  /** 0 closes the window at once (Linux 6.1); else the window is divided by it. */
  shrink = 2;
  startNs = 0;

  /** Adapts the window to a halt of `haltNs`; `maxNs` 0 keeps it closed. */
  adapt(haltNs: number, maxNs: number): void {
    if (maxNs === 0) this.windowNs = 0;
    else if (haltNs <= this.windowNs) return;
    else if (this.windowNs > 0 && haltNs > maxNs) this.windowNs = this.shrunk();
    else if (this.windowNs < maxNs && haltNs < maxNs) this.windowNs = Math.min(maxNs, Math.max(GROW_START_NS, this.windowNs * GROW));
  }

  private shrunk(): number {
    const narrower = this.shrink === 0 ? 0 : Math.floor(this.windowNs / this.shrink);
    return narrower < GROW_START_NS ? 0 : narrower;
  }
}
