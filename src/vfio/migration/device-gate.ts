import { shared, type Waitable, writes } from "../../sim/access.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";

/**
 * What a migrating device does by itself, DMA and the interrupt behind it, passes here: once {@link close} has returned
 * nothing of it is under way, and none begins before {@link open} (vfio.md 15.3, 23.24). For a MigrationDriver: closed on the
 * way to STOP, opened on the way out of it and by a reset.
 */
export class DeviceGate {
  /** Pieces of work under way. The gate is one word: whoever changes it sees both. */
  private inside = 0;
  private isClosed = false;

  constructor(private readonly sim: Sim) {}

  /** False: the device is stopped, and keeps its work for later. True: {@link leave} follows. */
  *enter(): Step<boolean> {
    yield writes(this, "inside");
    if (this.isClosed) return false;
    this.inside++;
    return true;
  }

  *leave(): Step<void> {
    yield writes(this, "inside");
    this.inside--;
  }

  *close(): Step<void> {
    yield writes(this, "inside");
    this.isClosed = true;
    if (this.inside > 0 && !this.sim.hazards.stopWithoutDrain) yield* this.sim.wait(new Drained(this));
  }

  *open(): Step<void> {
    yield writes(this, "inside");
    this.isClosed = false;
  }

  get isEmpty(): boolean {
    return this.inside === 0;
  }
}
shared(DeviceGate, "inside");

/** Whatever was under way has ended. */
class Drained implements Waitable {
  constructor(readonly watches: DeviceGate) {}
  isOpen(): boolean {
    return this.watches.isEmpty;
  }
}
