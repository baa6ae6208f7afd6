import { Context } from "../sim/context.js";
import { Random } from "../sim/random.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { LineDevice } from "./line-device.js";

/** When a device raises: `count` occasions, `periodNs` apart. */
export interface Schedule {
  count: number;
  periodNs: number;
  /** Conditions set on each occasion. Default 1. */
  burst?: number;
  /** Conditions in all: the last occasion sets what is left of them. Default `count` bursts. */
  conditions?: number;
  /** Each occasion is late by up to this, at random. Default 0. */
  jitterNs?: number;
  /** Virtual time of the first occasion. Default `periodNs`. */
  startNs?: number;
  /** Of the jitter. Default 1. */
  seed?: number;
  /** Woken that long before each occasion. */
  ahead?: { readonly context: Context; readonly ns: number } | null;
}

/** The outside world of a device: sets conditions in it at virtual times, on the hardware's own clock (the last one). */
export class Workload extends Context {
  private readonly random: Random;
  private done = 0;

  constructor(
    private readonly sim: Sim,
    private readonly device: LineDevice,
    private readonly schedule: Schedule,
  ) {
    super(`workload ${device.name}`, "hardware", sim.cpus - 1);
    this.random = new Random(schedule.seed ?? 1);
  }

  /** Puts the first occasion on the clock. */
  start(): void {
    this.next();
  }

  private next(): void {
    const { count, periodNs, jitterNs = 0, startNs = periodNs, ahead = null } = this.schedule;
    if (this.done >= count) return;
    const lateNs = jitterNs > 0 ? this.random.below(jitterNs + 1) : 0;
    const timeNs = startNs + this.done * periodNs + lateNs;
    this.sim.wakeAt(this, timeNs);
    if (ahead !== null) this.sim.wakeAt(ahead.context, timeNs - ahead.ns);
  }

  override *body(): Step<void> {
    const { count, burst = 1, conditions = count * burst } = this.schedule;
    const size = Math.min(burst, conditions - this.done * burst);
    this.cause = 0; // what happens in the outside world is a first cause
    for (let i = 0; i < size; i++) yield* this.device.raise();
    this.done++;
    this.next();
  }
}
