import { current } from "./context.js";
import { touchWhole } from "./lifetime.js";
import { PersonError } from "./person-error.js";
import { POINT_SITES } from "./point-sites.js";
import { STRAIGHT } from "./step.js";

/** What a context is about to do to state that other contexts can reach. */
export const enum AccessKind {
  READ,
  /** Raises or lowers a number of which it sees nothing, but whether that is used up: {@link Countable}. */
  COUNT,
  WRITE,
  ACQUIRE,
  RELEASE,
  BLOCK,
}

/** One announced access: performed by the announcing context right after it is resumed. */
export interface Access {
  readonly kind: AccessKind;
  readonly object: object;
  readonly field: string;
  /** Index into the table of source places; 0 where the build numbered nothing. */
  readonly site: number;
}

/** An announced object whose accesses look at another one too: what that announces is in an order with them. */
export interface RestsOn {
  readonly restsOn: object;
}

/** Something a context can wait for. */
export interface Waitable {
  /** May the context that asks go on? Must not change anything. */
  isOpen(): boolean;
  /**
   * The object whose announced accesses decide: the condition rests on nothing else. What names nothing may rest on
   * anything: a reduction then takes the wait for dependent on every step of others.
   */
  readonly watches?: object;
}

/**
 * An object with references: steps that {@link counts | count} them are in no order, but for the one that drops the last, and
 * for one that takes a reference against one that drops one.
 */
export interface Countable {
  readonly remaining: number;
}

let announced: Access | null = null;
let driving = 0;
let isCompleting = false;

/** @throws UseAfterFree where it is an access to what is freed */
export function announce(access: Access): void {
  announced = access;
  touchWhole(access.object);
  if (access.kind === AccessKind.BLOCK) touchWatched(access.object as Waitable);
}

function touchWatched({ watches }: Waitable): void {
  if (watches !== undefined) touchWhole(watches);
}

export function clearAnnouncement(): void {
  announced = null;
}

/**
 * Brackets of a driver that resumes steps: the accessors check only between them. One that runs a step to its end lets
 * nobody in at a point, so its points announce themselves and need no yield. The result is for {@link endDriving}.
 */
export function beginDriving(completes: boolean): boolean {
  const before = isCompleting;
  driving++;
  isCompleting = completes;
  return before;
}
export function endDriving(before: boolean): void {
  driving--;
  isCompleting = before;
}

let listener: ((access: Access) => void) | null = null;

/** From now on, `told` hears of every point that a driver is to see, inside the code that announces it; null: nobody. */
export function onPoint(told: ((access: Access) => void) | null): void {
  listener = told;
}

/** The access under a driver that runs a step to its end: nobody keeps it, so that one object serves all. */
const latest: { -readonly [field in keyof Access]: Access[field] } = { kind: AccessKind.READ, object: {}, field: "", site: 0 };

/** A point: the access for the driver to see, or null where it is announced already. */
export function point(kind: AccessKind, object: object, field: string, site: number): Access | null {
  if (isCompleting) {
    latest.kind = kind;
    latest.object = object;
    latest.field = field;
    latest.site = site;
    announce(latest);
    return null;
  }
  const access = { kind, object, field, site };
  if (listener !== null) listener(access);
  return access;
}

/** Announces a read of `object[field]`. */
export function reads(object: object, field: string, site = 0): Access | null {
  return point(AccessKind.READ, object, field, site);
}

/** Announces a write, or an atomic read-modify-write, of `object[field]`. */
export function writes(object: object, field: string, site = 0): Access | null {
  return point(AccessKind.WRITE, object, field, site);
}

/**
 * Announces that a number in `object[field]` is raised or lowered: such steps may come in any order, or all that raise and all
 * that lower where the object is {@link Countable}. They look at no other
 * field of the object, and at this number only to see that it is used up, which a {@link Countable} says.
 */
export function counts(object: object, field: string, site = 0): Access | null {
  return point(AccessKind.COUNT, object, field, site);
}

/** Announces that the context cannot go on before `what` is open. */
export function blocked(what: Waitable, site = 0): Access | null {
  return point(AccessKind.BLOCK, what, "", site);
}

/** "src/kvm/irqfd.ts:41 writes Irqfd.count" */
export function describeAccess(access: Access): string {
  const verb = ["reads", "counts", "writes", "acquires", "releases", "waits for"][access.kind];
  const place = POINT_SITES[access.site] ?? "";
  return `${place} ${verb} ${access.object.constructor.name}${access.field === "" ? "" : `.${access.field}`}`.trim();
}

/** An access that no point announced, or state touched without the lock that protects it: a bug of virq's. */
export class SilentAccess extends Error {}

let hearer: string | null = null;

/** From now on the property of that name is told an event, in the middle of somebody's step: it may look at nothing else. Null: no longer. */
export function hearing(property: string | null): void {
  hearer = property;
}

/** Anything whose holder can be asked for: what {@link guarded} checks. */
export interface Guard {
  heldByCurrent(): boolean;
}

type Constructor = abstract new (...args: never[]) => object;

/**
 * Declares fields that contexts share without a lock: every access must follow a point that announced it
 * (`yield reads(this, "count")`). Checked in the stepped build only; constructors may initialise freely.
 */
export function shared(type: Constructor, ...fields: string[]): void {
  if (STRAIGHT) return;
  for (const field of fields)
    intercept(type, field, (object, kind) => {
      if (announced?.object === object && announced.field === field && announced.kind >= kind && announced.kind <= AccessKind.WRITE) return;
      if (kind === AccessKind.READ && isWatched(object)) return;
      fail(type, field, kind === AccessKind.READ ? "read without a point" : "written without a point");
    });
}

/** Declares fields that may be touched only while `guardOf(object)` is held by the running context. */
export function guarded<T extends object>(type: abstract new (...args: never[]) => T, guardOf: (object: T) => Guard, ...fields: string[]): void {
  if (STRAIGHT) return;
  for (const field of fields)
    intercept(type, field, (object) => {
      if (!guardOf(object as T).heldByCurrent()) fail(type, field, "touched without its lock");
    });
}

/**
 * Declares a hardware block: one register access or one input change is atomic, so a point on the block
 * (`yield writes(this, "GICD")`) announces all of the fields named here.
 */
export function block(type: Constructor, ...fields: string[]): void {
  if (STRAIGHT) return;
  for (const field of fields)
    intercept(type, field, (object) => {
      if (announced?.object !== object && !isWatched(object)) fail(type, field, "touched without a point on its block");
    });
}

/** Does the wait that is announced look at `object`? */
function isWatched(object: object): boolean {
  return announced?.kind === AccessKind.BLOCK && (announced.object as Waitable).watches === object;
}

function fail(type: Constructor, field: string, how: string): never {
  const last = announced === null ? "nothing" : describeAccess(announced);
  throw new SilentAccess(`${type.name}.${field} ${how} by ${current().name}; announced: ${last}`);
}

interface Slots {
  [slot: symbol]: unknown;
}

/** A property's look at state is in no order with other contexts' steps: a reduction would merge away the orders in which it sees another. */
function refuseHearer(type: Constructor, field: string): void {
  if (hearer === null) return;
  throw new PersonError(`property ${hearer}: its hear() looks at ${type.name}.${field}: it may go by events alone, and looks at state in check() or end()`);
}

function intercept(type: Constructor, field: string, check: (object: object, kind: AccessKind) => void): void {
  const slot = Symbol(field);
  Object.defineProperty(type.prototype, field, {
    configurable: true,
    enumerable: true,
    get(this: Slots) {
      refuseHearer(type, field);
      if (driving > 0) check(this, AccessKind.READ);
      return this[slot];
    },
    set(this: Slots, value: unknown) {
      refuseHearer(type, field);
      if (driving > 0 && slot in this) check(this, AccessKind.WRITE);
      this[slot] = value;
    },
  });
}
