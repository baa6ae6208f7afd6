import { type Access, AccessKind, type RestsOn, type Waitable } from "../sim/access.js";

/** Steps in a row, in which nobody else moved, after which a context is asked whether it goes round; and then at each as many more. */
export const SUSPECT = 64;
/** Steps that a round has at most. */
const LONGEST = 128;

/** What one step announced: null for an entry. */
type Announced = Access | null;

const isSame = (a: Announced, b: Announced): boolean =>
  a === b || (a !== null && b !== null && a.kind === b.kind && a.field === b.field && a.site === b.site && subject(a) === subject(b));

/** The object that decides; null for a condition that may rest on anything. */
function subject(access: Access): object | null {
  return access.kind === AccessKind.BLOCK ? ((access.object as Waitable).watches ?? null) : access.object;
}

/** The steps that a context made one after another while nobody else moved: does it do the same again and again? */
export class Trail {
  private readonly steps: Announced[] = [];
  private count = 0;
  private next = SUSPECT;
  /** It looked at what no access announces. */
  looksAround = false;

  add(step: Announced): void {
    const { steps } = this;
    if (steps.length === 4 * LONGEST) steps.splice(0, 2 * LONGEST);
    steps.push(step);
    this.count++;
  }

  forget(): void {
    if (this.count === 0) return;
    this.steps.length = 0;
    this.count = 0;
    this.next = SUSPECT;
    this.looksAround = false;
  }

  /** Is it time to ask? */
  get isDue(): boolean {
    return this.count >= this.next;
  }

  /** It will not go round for so many more steps. */
  acquit(more: number): void {
    this.next = this.count + Math.max(more, SUSPECT);
  }

  /** The steps of a round, where the last two rounds at least, and {@link SUSPECT} steps, were the same; 0 for none. */
  period(): number {
    const { steps } = this;
    const longest = Math.min(LONGEST, steps.length >> 1);
    for (let period = 1; period <= longest; period++) if (this.repeats(period, Math.max(period, SUSPECT - period))) return period;
    return 0;
  }

  /** Are the last `span` steps those that lie a period before them? */
  repeats(period: number, span: number): boolean {
    const { steps } = this;
    const last = steps.length - 1;
    if (last - span + 1 - period < 0) return false;
    for (let i = last; i > last - span; i--) if (!isSame(steps[i], steps[i - period])) return false;
    return true;
  }

  /** What the last round touched. */
  circle(period: number): Circle {
    return new Circle(this.steps.slice(-period), this.looksAround);
  }
}

/** What a context that goes round looks at and writes: only another's write to one of these can lead it out. */
export class Circle {
  readonly period: number;
  private readonly objects = new Set<object>();

  /** @param isOpenEnded whatever others change may lead it out */
  constructor(
    steps: readonly Announced[],
    private isOpenEnded: boolean,
  ) {
    this.period = steps.length;
    for (const step of steps) {
      if (step === null) continue;
      const object = subject(step);
      if (object === null) this.isOpenEnded = true;
      else this.objects.add(object);
      const { restsOn } = step.object as Partial<RestsOn>;
      if (restsOn !== undefined) this.objects.add(restsOn);
    }
  }

  isTouchedBy(object: object | null): boolean {
    return this.isOpenEnded || (object !== null && this.objects.has(object));
  }
}
