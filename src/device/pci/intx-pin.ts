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
  /** Changes of the wire that are on their way. */
  private changes = 0;

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

  /**
   * The wire follows. Two changes at once may reach the line in the other order, so each looks again after its own, and
   * puts right what it has overtaken. The caller has announced the function.
   */
  *drive(): Step<void> {
    const { line } = this;
    if (line === null) return;
    let isCertain = this.changes === 0;
    for (;;) {
      const level = this.wanted();
      if (isCertain && level === this.wire) return;
      this.wire = level;
      this.changes++;
      yield* line.setLevel(level);
      yield writes(this.fn, "PCI");
      this.changes--;
      if (level === this.wanted()) return;
      isCertain = false;
    }
  }

  private wanted(): boolean {
    return this.isAsserted && !this.fn.isIntxDisabled && !this.fn.messages.isEnabled && !this.fn.isInD3();
  }
}
