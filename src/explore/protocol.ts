import type { Hazards } from "../sim/hazards.js";
import type { VfioProfileName } from "../vfio/profiles.js";
import type { Program } from "./trial.js";

/** A small concurrent program of real protocol code that people explore by name: `virq explore NAME`. */
export interface Protocol {
  /** Words joined by hyphens: "assign-against-signal". */
  readonly name: string;
  /** One sentence: who does what at once, and what must come of it. */
  readonly title: string;
  /** Sections and hazards of the specifications: "kvm-irq-core.md 3.1, H1, H2". */
  readonly source: string;
  /**
   * What it is about: events ("kvm_ack_irq"), and accesses ("writes PostedDescriptor.control"). Where they do not happen with
   * every rule in force, that nothing breaks proves nothing: a hazard, an exhibit does not hold then.
   */
  readonly about?: readonly string[];
  /** What tells two of one name apart: the text of the file that it was read from. */
  readonly identity?: string;
  /** Builds the same program each time, in a world of its own, with the given rules off; of VFIO, as the kernel of a profile has it. */
  program(hazards?: Partial<Hazards>, profile?: VfioProfileName): Program;
}
