import { reads, shared, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";

/** The reference that a loaded module has to itself (MODULE_REF_BASE). */
const BASE = 1;
const GOING = 0;

/**
 * A module of the host kernel (kernel/module/main.c): who needs its code to stay holds a reference, and it goes only when nobody
 * does. One count says both, so that a reference is either taken before the module begins to go, or refused.
 */
export class KernelModule {
  private references = BASE;

  /** @param name as in /proc/modules: without dashes */
  constructor(readonly name: string) {}

  /** try_module_get: false once it is going. */
  *tryGet(): Step<boolean> {
    yield writes(this, "references");
    if (this.references === GOING) return false;
    this.references++;
    return true;
  }

  /** module_put. */
  *put(): Step<void> {
    yield writes(this, "references");
    this.references--;
  }

  /** try_stop_module: true, and nobody gets a reference any more; false where somebody has one, or it is going already. */
  *tryStop(): Step<boolean> {
    yield writes(this, "references");
    if (this.references !== BASE) return false;
    this.references = GOING;
    return true;
  }

  /** It has been loaded again. */
  *start(): Step<void> {
    yield writes(this, "references");
    this.references = BASE;
  }

  /** References of others, as /sys/module/NAME/refcnt shows them; -1 once it is going. */
  *referenceCount(): Step<number> {
    yield reads(this, "references");
    return this.references - BASE;
  }
}
shared(KernelModule, "references");
