import { block, reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { PhysicalXics } from "./physical-xics.js";

/** Level sources of a POWER8 processor's service interface. */
export const PSI_SOURCES = 6;
const MASKED = 0xff;

/** An external interrupt vector register (xics.md 17). */
export interface PsiXivr {
  readonly server: number;
  readonly priority: number;
  readonly pending: number;
}

/** The six level sources of the service interface: their registers, and the sources behind them. */
export class Psi {
  private readonly server = new Uint32Array(PSI_SOURCES);
  /** After reset 0, although the source itself is masked until the first write. */
  private readonly priority = new Uint8Array(PSI_SOURCES);
  /** Noted when the line changes, whatever is masked, accepted or ended later. */
  private readonly pending = new Uint8Array(PSI_SOURCES);

  /** @param first number of the first source */
  constructor(
    private readonly xics: PhysicalXics,
    readonly first: number,
  ) {
    xics.addSources(first, PSI_SOURCES, true);
  }

  *readXivr(source: number): Step<PsiXivr> {
    yield reads(this, "XIVR");
    return { server: this.server[source], priority: this.priority[source], pending: this.pending[source] };
  }

  *writeXivr(source: number, server: number, priority: number): Step<void> {
    yield writes(this, "XIVR");
    this.server[source] = server;
    this.priority[source] = priority;
    yield* this.xics.setEntry(this.first + source, server, priority);
  }

  *setLine(source: number, isHigh: boolean): Step<void> {
    yield writes(this, "XIVR");
    this.pending[source] = isHigh && this.priority[source] !== MASKED ? 1 : 0;
    yield* this.xics.input(this.first + source, isHigh);
  }
}
block(Psi, "server", "priority", "pending");
