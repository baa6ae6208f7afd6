import type { IrqPort } from "../../arch/irq-port.js";
import { HostVector } from "../../arch/x86/host-vectors.js";
import { addVector, hasVector, highestVector, removeVector } from "../../arch/x86/vector-set.js";
import { block, reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

/** Words of a vector set with a register's stride. */
const SET_WORDS = 32;

/**
 * The local APIC of a physical CPU as Linux runs it: enabled, TPR 0, EOI broadcast suppressed (the IOAPIC has an EOI
 * register of its own). One message, acknowledge or EOI is one atomic step (SDM 12.8).
 */
export class LocalApic {
  private readonly irr = new Int32Array(SET_WORDS);
  private readonly isr = new Int32Array(SET_WORDS);
  private port: IrqPort | null = null;
  /** The interrupt signal to the core. */
  isSignalled = false;

  /** @param id the APIC id, up to 32 bits */
  constructor(readonly id: number) {}

  connect(port: IrqPort): void {
    this.port = port;
  }

  /** A message arrives; a vector that is requested already stays one request. */
  *accept(vector: number): Step<void> {
    yield writes(this, "APIC");
    addVector(this.irr, vector);
    yield* this.drive();
  }

  /** The core acknowledges: the vector that is in service from now on, or SPURIOUS when the request has gone. */
  *acknowledge(): Step<number> {
    yield writes(this, "APIC");
    const vector = this.deliverable();
    if (vector < 0) return HostVector.SPURIOUS;
    removeVector(this.irr, vector);
    addVector(this.isr, vector);
    yield* this.drive();
    return vector;
  }

  /** The vector that ended, -1 when none was in service. */
  *endOfInterrupt(): Step<number> {
    yield writes(this, "APIC");
    const vector = highestVector(this.isr);
    if (vector < 0) return -1;
    removeVector(this.isr, vector);
    yield* this.drive();
    return vector;
  }

  /**
   * Posted-interrupt processing (SDM 31.6): in guest mode the core takes this vector, when it is the one that it would be
   * given, acknowledges and ends it without the host. False: the host's interrupt.
   */
  *takeNotification(vector: number): Step<boolean> {
    yield writes(this, "APIC");
    if (this.deliverable() !== vector) return false;
    removeVector(this.irr, vector);
    yield* this.drive();
    return true;
  }

  /** Is the vector requested or in service? */
  *isBusy(vector: number): Step<boolean> {
    yield reads(this, "APIC");
    return hasVector(this.irr, vector) || hasVector(this.isr, vector);
  }

  /** The most urgent request, if its class is above what is in service. */
  private deliverable(): number {
    const vector = highestVector(this.irr);
    return vector >= 0 && vector >> 4 > highestVector(this.isr) >> 4 ? vector : -1;
  }

  private *drive(): Step<void> {
    const isHigh = this.deliverable() >= 0;
    if (isHigh === this.isSignalled) return;
    this.isSignalled = isHigh;
    if (this.port === null) return;
    yield* this.port.irq(isHigh);
    yield writes(this, "APIC");
  }
}
block(LocalApic, "irr", "isr");
