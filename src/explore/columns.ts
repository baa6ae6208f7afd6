import { EVENT_ARGUMENTS, EVENT_NAMES } from "../sim/event.js";

/** Who takes part in an execution. */
export interface Lane {
  readonly name: string;
  /** What it is: a user thread, a vCPU, a worker, a handler. */
  readonly kind: string;
}

/** One access of an execution. */
export interface Hop {
  /** Index of the lane. */
  readonly actor: number;
  readonly verb: string;
  /** The object touched, named so that two of a class differ. */
  readonly object: string;
  readonly field: string;
  /** "src/kvm/irqfd.ts:41"; empty where the build numbered nothing. */
  readonly site: string;
  /** Where a point of the ground (a list, a lock) was reached from; empty elsewhere. */
  readonly caller?: string;
  /** What it led to, as a trace tells: "kvm_set_irq(5,1,0)". */
  readonly events: readonly string[];
}

/** One execution, and what it broke. */
export interface Execution {
  readonly lanes: readonly Lane[];
  readonly hops: readonly Hop[];
  /** The rule that broke; null when none did. */
  readonly fault: string | null;
}

/** How the parts of a picture look where colours can be had. */
export interface Paint {
  heading(text: string): string;
  faint(text: string): string;
  fault(text: string): string;
  lane(index: number, text: string): string;
}

const same = (text: string): string => text;
const PLAIN: Paint = { heading: same, faint: same, fault: same, lane: (_, text) => text };

/** How a trace is laid out in columns, one for each context. */
export interface ColumnOptions {
  /** Characters that a line may take; default 100. */
  readonly width?: number;
  readonly paint?: Paint;
  /** Every access, not only those that matter. */
  readonly isWhole?: boolean;
}

const MARGIN = 6;
/** Room that the text of the last lane needs. */
const TEXT = 40;
const WIDEST_GAP = 34;
const NARROWEST_GAP = 3;

/**
 * An execution as columns, one for each context, one line for each access that matters, with its place in the source.
 * What does not matter is folded, with its count. Plain ASCII without a `paint`: it is made to be pasted.
 */
export function columns(execution: Execution, options: ColumnOptions = {}): string {
  return new Drawing(execution, options).text();
}

/**
 * The accesses by which the contexts of an execution meet: where an object passes from one to another, the last access of
 * the one and the first of the other, unless both only read. A lock passes by being taken; who waits while others move, waits
 * for them.
 */
export function meetings(hops: readonly Hop[]): boolean[] {
  const meets = hops.map((hop, i) => hop.verb === "waits for" && i + 1 < hops.length && hops[i + 1].actor !== hop.actor);
  const accesses = new Map<string, number[]>();
  hops.forEach((hop, i) => {
    if (hop.object === "") return;
    const before = accesses.get(hop.object) ?? [];
    const conflicting = before.findLast((j) => changes(hop) || changes(hops[j]));
    if (conflicting !== undefined && hops[conflicting].actor !== hop.actor) meets[i] = meets[taken(hops, before, conflicting)] = true;
    before.push(i);
    accesses.set(hop.object, before);
  });
  return meets;
}

const changes = (hop: Hop): boolean => hop.verb !== "reads" && hop.verb !== "waits for";

/** Of a lock that was given back, where it had been taken. */
function taken(hops: readonly Hop[], accesses: readonly number[], at: number): number {
  if (hops[at].verb !== "releases") return at;
  return accesses.findLast((i) => i < at && hops[i].actor === hops[at].actor && hops[i].verb === "acquires") ?? at;
}

class Drawing {
  private readonly width: number;
  private readonly paint: Paint;
  private readonly gap: number;
  private readonly digits: number;
  private readonly lines: string[] = [];
  private readonly lanes: readonly Lane[];
  /** Columns by lane: in the order in which the contexts first move. */
  private readonly column: readonly number[];

  constructor(
    private readonly execution: Execution,
    private readonly options: ColumnOptions,
  ) {
    this.width = options.width ?? 100;
    this.paint = options.paint ?? PLAIN;
    const order = [...new Set(execution.hops.map((hop) => hop.actor))];
    this.lanes = order.map((actor) => execution.lanes[actor]);
    this.column = execution.lanes.map((_, actor) => order.indexOf(actor));
    const room = this.width - MARGIN - TEXT - this.sitesWidth() - 2;
    this.gap = Math.max(NARROWEST_GAP, Math.min(WIDEST_GAP, Math.floor(room / Math.max(1, order.length - 1))));
    this.digits = String(execution.hops.length).length;
  }

  text(): string {
    this.header();
    const { hops, fault } = this.execution;
    const shown = this.options.isWhole === true ? hops.map(() => true) : meetings(hops);
    if (fault !== null && hops.length > 0) shown[hops.length - 1] = true;
    for (let i = 0; i < hops.length; ) {
      let end = i;
      while (end < hops.length && !shown[end] && hops[end].events.length === 0 && hops[end].actor === hops[i].actor) end++;
      if (end > i) this.fold(hops[i].actor, end - i);
      else {
        end = endOfRepeats(hops, i);
        this.hop(hops[i], i + 1, end - i);
      }
      i = end;
    }
    if (fault !== null) this.fault(fault);
    return this.lines.join("\n");
  }

  private sitesWidth(): number {
    return Math.max(0, ...this.execution.hops.map((hop) => shortSite(placeOf(hop)).length));
  }

  /** The names on one line where they fit, else as stairs. */
  private header(): void {
    const names = this.lanes.map(({ name, kind }) => (kind === "" || name === kind ? name : `${name} (${kind})`));
    const isFitting = (list: readonly string[]): boolean => list.every((name, i) => i === list.length - 1 || name.length < this.gap);
    const fitting = isFitting(names) ? names : this.lanes.map(({ name }) => name);
    if (isFitting(fitting)) {
      this.lines.push(`${" ".repeat(MARGIN)}${fitting.map((name, i) => this.paint.lane(i, this.paint.heading(name)) + " ".repeat(i === fitting.length - 1 ? 0 : this.gap - name.length)).join("")}`);
      this.lines.push(" ".repeat(MARGIN) + fitting.map((_, i) => this.paint.lane(i, "|")).join(" ".repeat(this.gap - 1)));
      return;
    }
    names.forEach((name, i) => this.lines.push(this.lead("", i) + this.paint.lane(i, this.paint.heading(name))));
  }

  /** The margin, and the lines of the lanes to the left of this one. */
  private lead(margin: string, column: number): string {
    let text = margin.padStart(MARGIN - 2) + "  ";
    for (let i = 0; i < column; i++) text += this.paint.lane(i, "|") + " ".repeat(this.gap - 1);
    return text;
  }

  /** The lines of the lanes to the right of a text that begins in `column`, as far as it leaves them. */
  private trail(column: number, length: number, until: number): string {
    let text = "";
    let at = MARGIN + column * this.gap + length;
    for (let i = column + 1; i < this.lanes.length; i++) {
      const place = MARGIN + i * this.gap;
      if (place <= at || place >= until - 1) continue;
      text += " ".repeat(place - at) + this.paint.lane(i, "|");
      at = place + 1;
    }
    return text + " ".repeat(Math.max(0, until - at));
  }

  private put(margin: string, actor: number, text: string, site: string, look: (text: string) => string = same): void {
    const column = this.column[actor];
    const until = this.width - site.length;
    const begin = MARGIN + column * this.gap;
    const fitted = shortened(text, (site === "" ? this.width : until - 2) - begin);
    const line = this.lead(margin, column) + this.paint.lane(column, look(fitted)) + this.trail(column, fitted.length, until);
    this.lines.push(`${site === "" ? line.trimEnd() : line + this.paint.faint(site)}`);
  }

  private hop(hop: Hop, number: number, times: number): void {
    const what = `${hop.verb} ${hop.object}${hop.field === "" ? "" : `.${hop.field}`}${times === 1 ? "" : `, ${times} times`}`;
    this.put(String(number).padStart(this.digits), hop.actor, what.trim(), shortSite(placeOf(hop)));
    for (const event of hop.events) this.put("", hop.actor, `  => ${spelledOut(event)}`, "");
  }

  private fold(actor: number, count: number): void {
    this.put("", actor, `. ${count} more`, "", this.paint.faint);
  }

  private fault(text: string): void {
    this.lines.push("", this.paint.fault(`  !!  ${text}`));
  }
}

/** A context that does the same again and again, and nothing else, takes one line. */
function endOfRepeats(hops: readonly Hop[], begin: number): number {
  const alike = (a: Hop, b: Hop): boolean => a.actor === b.actor && a.verb === b.verb && a.object === b.object && a.field === b.field && placeOf(a) === placeOf(b);
  let end = begin + 1;
  while (end < hops.length && hops[end - 1].events.length === 0 && hops[end].events.length === 0 && alike(hops[end], hops[begin])) end++;
  return end;
}

/** "kvm_set_irq(5,1,0)" with the names of its arguments: "kvm_set_irq gsi=5 level=1 source=0". */
function spelledOut(event: string): string {
  const [, name = event, list = ""] = /^(\w+)\((.*)\)$/.exec(event) ?? [];
  const names = EVENT_ARGUMENTS[EVENT_NAMES.findIndex((known) => known === name)] ?? [];
  const values = list === "" ? [] : list.split(",");
  return [name, ...values.map((value, i) => `${names[i] ?? i}=${Number(value) > 0xffff ? `0x${Number(value).toString(16)}` : value}`)].join(" ");
}

/** Of a point of the ground, from where it was reached. */
const placeOf = ({ caller = "", site }: Hop): string => (caller === "" ? site : caller);

const shortSite = (site: string): string => site.replace(/^src\//, "");

function shortened(text: string, room: number): string {
  return text.length <= room ? text : `${text.slice(0, Math.max(1, room - 2))}..`;
}
