import type { LevelSink } from "../../arch/level.js";
import { block, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

/** An interrupt wire that several pins pull: high while any of them does. */
export class WiredOr {
  private pulling = 0;
  private wire = false;
  private changes = 0;

  constructor(private readonly line: LevelSink) {}

  /** One more pin on the wire. */
  input(): LevelSink {
    return new Input(this);
  }

  /** As in the pins themselves: whoever has overtaken another's change puts it right. */
  *pull(isHigh: boolean): Step<void> {
    yield writes(this, "wire");
    this.pulling += isHigh ? 1 : -1;
    let isCertain = this.changes === 0;
    for (;;) {
      const level = this.pulling > 0;
      if (isCertain && level === this.wire) return;
      this.wire = level;
      this.changes++;
      yield* this.line.setLevel(level);
      yield writes(this, "wire");
      this.changes--;
      if (level === this.pulling > 0) return;
      isCertain = false;
    }
  }
}
block(WiredOr, "pulling", "wire", "changes");

class Input implements LevelSink {
  readonly trigger = "level";
  private isHigh = false;
  constructor(private readonly wire: WiredOr) {}

  *setLevel(isHigh: boolean): Step<void> {
    yield writes(this, "pin");
    if (isHigh === this.isHigh) return;
    this.isHigh = isHigh;
    yield* this.wire.pull(isHigh);
  }
}
block(Input, "isHigh");
