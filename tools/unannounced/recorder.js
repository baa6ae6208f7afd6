// What instrumented code (instrument.js) tells of the plain fields, elements and collections that it touches.

const MUTATORS = new Set(["push", "pop", "shift", "unshift", "splice", "sort", "reverse", "fill", "copyWithin", "set", "add", "delete", "clear"]);

/** Touches of the step that is under way: { object, field, isWrite, place }; null between steps. */
let touches = null;
/** Objects whose element is about to be named. */
const waiting = [];

/** From now on, touches are kept; {@link endStep} gives them. */
export function beginStep() {
  touches = [];
  waiting.length = 0;
}

export function endStep() {
  const kept = touches;
  touches = null;
  return kept;
}

const isTracked = (object) => touches !== null && object !== null && typeof object === "object";
const note = (object, field, isWrite, place) => touches.push({ object, field, isWrite, place });
const isCollection = (object) => Array.isArray(object) || object instanceof Map || object instanceof Set;

/** `object.field` is read, or called. Fields behind accessors announce themselves (src/sim/access.ts). */
export function reading(object, field, place) {
  if (!isTracked(object)) return object;
  if (isCollection(object)) note(object, "*", MUTATORS.has(field), place);
  else if (ArrayBuffer.isView(object)) readView(object, field, place);
  else if (Object.hasOwn(object, field) && typeof object[field] !== "function") note(object, field, false, place);
  return object;
}

function readView(view, field, place) {
  if (view instanceof DataView ? /^[gs]et/.test(field) : field === "fill" || field === "set") note(view, "*", !field.startsWith("get"), place);
}

export function writing(object, field, place) {
  if (isTracked(object) && (Object.hasOwn(object, field) || !(field in object))) note(object, field, true, place);
  return object;
}

export function taking(object, fields, place) {
  for (const field of fields) reading(object, field, place);
  return object;
}

export function elementOf(object) {
  waiting.push(object);
  return object;
}

export function readingAt(index, place) {
  return element(index, false, place);
}

export function writingAt(index, place) {
  return element(index, true, place);
}

function element(index, isWrite, place) {
  const object = waiting.pop();
  if (isTracked(object)) note(object, Array.isArray(object) ? "*" : String(index), isWrite, place);
  return index;
}
