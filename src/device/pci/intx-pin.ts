import type { LevelSink } from "../../arch/level.js";
import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { PciFunction } from "./function.js";

/**
 * The INTx pin of a function (PCI 3.0, 6.2.2 to 6.2.4): STATUS shows the condition, the wire only while COMMAND does not
 * disable it, no messages are enabled and the function is awake. Its state is part of the function's block.
 */
export class IntxPin implements LevelSink {
  readonly trigger = "level";
  /** Where the wire ends; null while the pin is not connected. */
  line: LevelSink | null = null;
  private isAsserted = false;
  private wire = false;
  /** The wire is as `wire` says: no change of it is on its way, and the last one had it for itself. */
  private isSettled = true;
  /** Changes of the wire that are on their way, and that ever began. */
  private changes = 0;
  private begun = 0;

  constructor(private readonly fn: PciFunction) {}

  /**
   * The core's condition. Whoever sees the wire high finds STATUS set: it rises before the wire, and falls after it. The
   * other way round a handler would find nothing behind an asserted wire, again and again.
   */
  *setLevel(isHigh: boolean): Step<void> {
    yield writes(this.fn, "PCI");
    this.isAsserted = isHigh;
    if (isHigh) this.fn.setInterruptStatus(true);
    yield* this.drive();
    yield writes(this.fn, "PCI");
    if (!this.isAsserted) this.fn.setInterruptStatus(false);
  }

  /** STATUS says what the condition is, whatever was written over it. */
  showStatus(): void {
    this.fn.setInterruptStatus(this.isAsserted);
  }

  /**
   * The wire follows. Two changes at once may reach the line in the other order, and what is wanted may be another thing
   * by then: whoever ends last drives the wire once more. The caller has announced the function.
   */
  *drive(): Step<void> {
    const { line } = this;
    if (line === null) return;
    for (;;) {
      const level = this.wanted();
      if (this.isSettled && level === this.wire) return;
      this.isSettled = false;
      this.wire = level;
      const began = ++this.begun;
      const isFirst = this.changes++ === 0;
      yield* line.setLevel(level);
      yield writes(this.fn, "PCI");
      if (--this.changes > 0) return;
      this.isSettled = isFirst && began === this.begun;
    }
  }

  private wanted(): boolean {
    return this.isAsserted && !this.fn.isIntxDisabled && !this.fn.messages.isEnabled && !this.fn.isInD3();
  }
}
