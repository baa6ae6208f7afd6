import type { PhysicalGic } from "../arch/gic/contract.js";
import type { EdgeSink, LevelSink } from "../arch/level.js";
import type { Step } from "../sim/step.js";

/** An SPI that is configured level: the device's line ends at the GIC. */
export class GicLevelInput implements LevelSink {
  readonly trigger = "level";
  constructor(
    private readonly gic: PhysicalGic,
    readonly intid: number,
  ) {}
  *setLevel(isHigh: boolean): Step<void> {
    yield* this.gic.setSpi(this.intid, isHigh);
  }
}

/** An SPI that is configured edge: each pulse is one rise and fall. */
export class GicEdgeInput implements EdgeSink {
  readonly trigger = "edge";
  constructor(
    private readonly gic: PhysicalGic,
    readonly intid: number,
  ) {}
  *pulse(): Step<void> {
    yield* this.gic.setSpi(this.intid, true);
    yield* this.gic.setSpi(this.intid, false);
  }
}
