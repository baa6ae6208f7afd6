import { Random } from "../../sim/random.js";
import { SCENES, type Scene } from "./scenes.js";
import type { X86Call } from "./vector.js";

/** A generated sequence of calls, the same for the same seed everywhere. */
export interface RandomSequence {
  readonly scene: string;
  readonly seed: number;
  readonly calls: readonly X86Call[];
}

/** Choices of a generator that has a seed. */
export class Chooser {
  private readonly random: Random;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  below(bound: number): number {
    return this.random.below(bound);
  }

  of<T>(values: readonly T[]): T {
    return values[this.random.below(values.length)];
  }

  /** True once in so many times. */
  oneIn(times: number): boolean {
    return this.random.below(times) === 0;
  }

  /** Each value alone with even chances. */
  some<T>(values: readonly T[]): T[] {
    return values.filter(() => this.random.below(2) === 1);
  }

  /** One of the entries, by their weights. */
  weighted<T>(entries: readonly (readonly [weight: number, T])[]): T {
    let left = this.random.below(entries.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of entries) {
      if (left < weight) return value;
      left -= weight;
    }
    throw new Error("weights do not add up");
  }
}

/** Seeds of one run's sequences lie far apart. */
const SEED_STRIDE = 0x9e37_79b1;

/**
 * The sequence of a number in the run of a seed: it sets a scene (mode, vCPUs, a guest, eventfds), then makes calls that
 * mostly mean something there and sometimes nothing anywhere. Nothing in it depends on how long a call takes: a timer that is
 * armed is over at once or never.
 */
export function randomSequence(seed: number, index: number, length: number): RandomSequence {
  const own = (seed + Math.imul(index, SEED_STRIDE)) | 0;
  const choose = new Chooser(own);
  const scene: Scene = choose.weighted(SCENES.map((each) => [each.weight, each] as const));
  const calls = scene.setUp(choose);
  while (calls.length < length) {
    const made = choose.weighted(scene.calls)(choose);
    if (Array.isArray(made)) calls.push(...made);
    else calls.push(made);
  }
  return { scene: scene.name, seed: own, calls: calls.slice(0, length) };
}
