import { PersonError } from "../sim/person-error.js";
import { Rounds } from "./rounds.js";
import type { Found } from "./strategy.js";
import { lowest } from "./strategy.js";
import { type Scenario, Trial } from "./trial.js";

/** Steps that shrinking may make over all its executions: a few seconds. */
const STEPS = 1_200_000;

/** A run of steps of one actor. */
interface Block {
  readonly seat: number;
  readonly count: number;
}

/** The same rule broken, whatever the numbers in its sentence. */
const ruleOf = (message: string): string => message.replace(/\d+/g, "#");

function blocksOf(choices: readonly number[]): Block[] {
  const blocks: { seat: number; count: number }[] = [];
  for (const seat of choices) {
    const last = blocks.at(-1);
    if (last?.seat === seat) last.count++;
    else blocks.push({ seat, count: 1 });
  }
  return blocks;
}

/** Fewest context switches first, then fewest steps, then fewest contexts. */
function isSmaller(a: readonly number[], b: readonly number[]): boolean {
  const [ba, bb] = [blocksOf(a).length, blocksOf(b).length];
  if (ba !== bb) return ba < bb;
  if (a.length !== b.length) return a.length < b.length;
  return new Set(a).size < new Set(b).size;
}

/** Looks for a smaller schedule that breaks the same rule, always in the same order: the same finding shrinks to the same. */
class Shrinker {
  private left = STEPS;
  private best: Found;
  private readonly rounds: Rounds;

  constructor(
    private readonly scenario: Scenario,
    found: Found,
    private readonly steps: number,
  ) {
    this.best = found;
    this.rounds = new Rounds(scenario, steps);
  }

  shrink(): Found {
    for (let before: Found | null = null; before !== this.best && this.left > 0; ) {
      before = this.best;
      this.joinBlocks();
      this.dropBlocks();
      this.shorten();
    }
    return this.best;
  }

  /** Brings two runs of one actor together: what lies between comes before both, or after. */
  private joinBlocks(): void {
    for (let i = 0; i < this.blocks().length; i++) {
      const blocks = this.blocks();
      for (let j = i + 2; j < blocks.length; j++) {
        if (blocks[j].seat !== blocks[i].seat) continue;
        const between = blocks.slice(i + 1, j);
        const joined = { seat: blocks[i].seat, count: blocks[i].count + blocks[j].count };
        const after = blocks.slice(j + 1);
        if (this.accepts([...blocks.slice(0, i), joined, ...between, ...after]) || this.accepts([...blocks.slice(0, i), ...between, joined, ...after])) {
          i--;
          break;
        }
      }
    }
  }

  private dropBlocks(): void {
    for (let i = this.blocks().length - 1; i >= 0; i--) this.accepts(this.blocks().toSpliced(i, 1));
  }

  /** Moves the place of a switch: fewer steps before it, down to one. */
  private shorten(): void {
    for (let i = this.blocks().length - 1; i >= 0; i--)
      for (let drop = (this.blocks()[i]?.count ?? 0) - 1; drop > 0; drop = drop >> 1) {
        const block = this.blocks()[i];
        if (block === undefined || block.count <= drop) continue;
        this.accepts(this.blocks().with(i, { seat: block.seat, count: block.count - drop }));
      }
  }

  private blocks(): Block[] {
    return blocksOf(this.best.choices);
  }

  private accepts(blocks: readonly Block[]): boolean {
    if (this.left <= 0) return false;
    const found = this.attempt(blocks);
    if (found === null || ruleOf(found.message) !== ruleOf(this.best.message) || !isSmaller(found.choices, this.best.choices)) return false;
    this.best = found;
    return true;
  }

  /** Runs the blocks as far as they go: who cannot move is passed over, and behind the last everybody runs to the end. */
  private attempt(blocks: readonly Block[]): Found | null {
    const trial = new Trial(this.scenario, { rounds: this.rounds });
    const choices: number[] = [];
    const go = (seat: number): void => {
      choices.push(seat);
      trial.move(seat, true);
    };
    const goesOn = (): boolean => trial.violation === null && choices.length < this.steps;
    for (const { seat, count } of blocks) for (let i = 0; i < count && goesOn() && (trial.movable() & (1 << seat)) !== 0; i++) go(seat);
    for (let movable = trial.movable(); goesOn() && movable !== 0; movable = trial.movable()) {
      const last = choices.at(-1) ?? -1;
      go(last >= 0 && (movable & (1 << last)) !== 0 && trial.actors[last].isUnderWay ? last : lowest(movable));
    }
    this.left -= choices.length;
    if (choices.length >= this.steps) return null;
    trial.finish();
    return trial.violation === null ? null : { message: trial.violation, choices };
  }
}

/**
 * The smallest schedule found that breaks the same rule: fewest context switches, then fewest steps, then fewest contexts.
 * Takes executions of at most a million steps in all. What never ends stays as it is.
 */
export function shrink(scenario: Scenario, found: Found, steps: number): Found {
  if (found.choices.length > steps) throw new PersonError(`a schedule of ${found.choices.length} steps is longer than the ${steps} allowed`);
  if (found.choices.length === steps) return found;
  return new Shrinker(scenario, found, steps).shrink();
}
