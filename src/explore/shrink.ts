import { PersonError } from "../sim/person-error.js";
import { endless, isLivelock } from "./endless.js";
import { Rounds } from "./rounds.js";
import { IN_TURN } from "./schedule.js";
import { PreemptionBounded } from "./strategies/depth-first.js";
import { type Found, lowest } from "./strategy.js";
import { type Scenario, Trial } from "./trial.js";

/** Steps that shrinking may make over all its executions, a few seconds: of what was found; and from the beginning. */
const STEPS = 800_000;
const ANEW = 400_000;

/** A run of steps of one actor. */
interface Block {
  readonly seat: number;
  readonly count: number;
}

/** The same rule broken, whatever the numbers in its sentence, and whoever goes round. */
const ruleOf = (message: string): string => (isLivelock(message) ? "livelock" : message.replace(/\d+/g, "#"));

function blocksOf(choices: readonly number[]): Block[] {
  const blocks: { seat: number; count: number }[] = [];
  for (const seat of choices) {
    const last = blocks.at(-1);
    if (last?.seat === seat) last.count++;
    else if (seat !== IN_TURN) blocks.push({ seat, count: 1 });
  }
  return blocks;
}

/** A schedule, with how often somebody is interrupted in the middle of his work. */
interface Sized extends Found {
  readonly preemptions: number;
}

/** Fewest context switches first, then fewest steps, then fewest contexts, then fewest interruptions. */
function isSmaller(a: Sized, b: Sized): boolean {
  const sizes = ({ choices, preemptions }: Sized): number[] => [blocksOf(choices).length, choices.length, new Set(choices).size, preemptions];
  const [sa, sb] = [sizes(a), sizes(b)];
  const at = sa.findIndex((size, i) => size !== sb[i]);
  return at >= 0 && sa[at] < sb[at];
}

/** Looks for a smaller schedule that breaks the same rule, always in the same order: the same finding shrinks to the same. */
class Shrinker {
  private left = STEPS;
  private best: Sized;
  private readonly isLivelock: boolean;
  private readonly rounds: Rounds;

  constructor(
    private readonly scenario: Scenario,
    found: Found,
    private readonly steps: number,
  ) {
    this.best = { ...found, preemptions: Infinity };
    this.isLivelock = isLivelock(found.message);
    this.rounds = new Rounds(scenario, steps);
  }

  shrink(): Found {
    if (this.isLivelock) this.cutShort();
    else this.accepts(this.blocks());
    this.reduce();
    if (!this.isLivelock) this.searchAnew();
    const { message, choices } = this.best;
    return { message, choices };
  }

  private reduce(): void {
    for (let before: Found | null = null; before !== this.best && this.left > 0; ) {
      before = this.best;
      this.joinBlocks();
      this.dropBlocks();
      this.moveSwitches();
      this.shift();
      this.endOtherwise();
    }
  }

  /** A livelock: the first steps, doubled until what follows them in turn does not end. */
  private cutShort(): void {
    const { choices } = this.best;
    for (let length = 0; length <= choices.length; length = 2 * length || 1) if (this.accepts(blocksOf(choices.slice(0, length)))) return;
  }

  /** The bounded search from its beginning, while it has no more interruptions than the best: what it finds is made smaller too. */
  private searchAnew(): void {
    const job = { scenario: this.scenario, steps: this.steps };
    let left = ANEW;
    for (let preemptions = 0; preemptions <= this.best.preemptions && left > 0; preemptions++) {
      const strategy = new PreemptionBounded(preemptions);
      const [unit] = strategy.begin(preemptions) ?? [];
      const { found, steps } = strategy.run(unit, job, { executions: Infinity, steps: left });
      left -= steps;
      if (found === null || ruleOf(found.message) !== ruleOf(this.best.message)) continue;
      const other = new Shrinker(this.scenario, found, this.steps);
      other.left = this.left;
      other.accepts(blocksOf(found.choices));
      other.reduce();
      if (isSmaller(other.best, this.best)) this.best = other.best;
      return;
    }
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

  /** Moves the place of a switch: fewer steps before it, down to one; or some more, or all that there are. */
  private moveSwitches(): void {
    for (let i = this.blocks().length - 1; i >= 0; i--) {
      for (let drop = (this.blocks()[i]?.count ?? 0) - 1; drop > 0; drop = drop >> 1) this.resize(i, -drop);
      for (const more of [1, 2, 3, 4, 8, 16, this.steps]) this.resize(i, more);
    }
  }

  private resize(i: number, by: number): void {
    const block = this.blocks()[i];
    if (block !== undefined && block.count + by > 0) this.accepts(this.blocks().with(i, { seat: block.seat, count: block.count + by }));
  }

  /** Steps of one run go to the next or the last one of the same actor. */
  private shift(): void {
    for (let i = 0; i < this.blocks().length; i++) {
      const blocks = this.blocks();
      const j = blocks.findIndex(({ seat }, at) => at > i && seat === blocks[i].seat);
      if (j < 0) continue;
      const most = Math.max(blocks[i].count, blocks[j].count);
      for (let by = 1; by < most; by += by < 32 ? 1 : by) if (this.give(i, j, by) || this.give(j, i, by)) break;
    }
  }

  private give(from: number, to: number, by: number): boolean {
    const blocks = this.blocks();
    if (blocks[from].count <= by) return false;
    const given = { seat: blocks[from].seat, count: blocks[from].count - by };
    return this.accepts(blocks.with(from, given).with(to, { seat: blocks[to].seat, count: blocks[to].count + by }));
  }

  /** Somebody else goes first where the last blocks are left out. */
  private endOtherwise(): void {
    for (let kept = this.blocks().length - 1; kept > 0; kept--)
      for (const seat of new Set(this.best.choices)) if (seat !== IN_TURN) this.accepts([...this.blocks().slice(0, kept), { seat, count: this.steps }]);
  }

  private blocks(): Block[] {
    return blocksOf(this.best.choices);
  }

  private accepts(blocks: readonly Block[]): boolean {
    if (this.left <= 0) return false;
    const found = this.attempt(blocks);
    if (found === null || ruleOf(found.message) !== ruleOf(this.best.message) || !isSmaller(found, this.best)) return false;
    this.best = found;
    return true;
  }

  /** Runs the blocks as far as they go: who cannot move is passed over, and behind the last everybody runs to the end. */
  private attempt(blocks: readonly Block[]): Sized | null {
    const trial = new Trial(this.scenario, { rounds: this.rounds });
    const choices: number[] = [];
    let preemptions = 0;
    const goesOn = (movable: number): boolean => {
      const last = choices.at(-1) ?? -1;
      return last >= 0 && (movable & (1 << last)) !== 0 && trial.actors[last].isUnderWay;
    };
    const go = (seat: number, movable: number): void => {
      if (seat !== choices.at(-1) && goesOn(movable)) preemptions++;
      choices.push(seat);
      trial.move(seat, true);
    };
    const mayGoOn = (): boolean => trial.violation === null && choices.length < this.steps;
    for (const { seat, count } of blocks)
      for (let i = 0; i < count && mayGoOn(); i++) {
        const movable = trial.movable();
        if ((movable & (1 << seat)) === 0) break;
        go(seat, movable);
      }
    if (this.isLivelock) {
      endless(trial, this.steps);
      choices.push(IN_TURN);
    } else for (let movable = trial.movable(); mayGoOn() && movable !== 0; movable = trial.movable()) go(goesOn(movable) ? choices[choices.length - 1] : lowest(movable), movable);
    this.left -= trial.steps;
    if (!this.isLivelock && choices.length >= this.steps) return null;
    trial.finish();
    return trial.violation === null ? null : { message: trial.violation, choices, preemptions };
  }
}

/**
 * The smallest schedule found that breaks the same rule: fewest context switches, then fewest steps, then fewest contexts,
 * then fewest interruptions. It is the smallest found, not the smallest there is: executions of a million steps in all are tried. A
 * livelock shrinks to the steps after which it goes on for ever, though everybody has his turn.
 */
export function shrink(scenario: Scenario, found: Found, steps: number): Found {
  if (found.choices.length > steps) throw new PersonError(`a schedule of ${found.choices.length} steps is longer than the ${steps} allowed`);
  return new Shrinker(scenario, found, steps).shrink();
}
