// The straight build writes numeric constants out where they are used: an engine looks a module's binding up at each
// use, tests whether the module has run, and reads an enum's member from an object. Numbers, the members of enums, and
// those of the two number tables, `Ev` and `Cost`.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { full } from "acorn-walk";

const NUMBER = /^export const (\w+) = (-?(?:0x[\da-f_]+|\d[\d_]*(?:\.\d+)?));/gim;
/** A member of an enum as `tsc` emits it, its value computed. */
const MEMBER = /^\s*(\w+)\[\1\["(\w+)"\] = (-?[\d.]+)\] = "\2";/gm;

/**
 * @param {string} code a compiled module
 * @returns {Record<string, string | Record<string, number>>} the numbers and enums that it declares
 */
export function declaredConstants(code) {
  const found = Object.fromEntries([...code.matchAll(NUMBER)].map(([, name, value]) => [name, value]));
  for (const [, table, member, value] of code.matchAll(MEMBER)) (found[table] ??= {})[member] = Number(value);
  return found;
}

/**
 * @param {string} tree folder of the compiled modules
 * @param {readonly string[]} names its modules, relative
 * @returns {Promise<Map<string, Record<string, unknown>>>} what can be written out, by the module that declares it
 */
export async function constantsOf(tree, names) {
  const all = new Map(names.map((name) => [name, declaredConstants(readFileSync(join(tree, name), "utf8"))]));
  for (const [name, table] of [["sim/event.js", "Ev"], ["sim/cost.js", "Cost"]])
    all.get(name)[table] = (await import(pathToFileURL(join(tree, name)).href))[table];
  all.get("sim/step.js").STRAIGHT = "true";
  return all;
}

/**
 * Writes the constants that module `name` imports, and those of its own, into `magic`. A name that is declared anew, in
 * whatever scope, stays as it is.
 */
export function writeConstants(tree, magic, name, constants) {
  const values = new Map();
  /** How often a constant's own declaration binds its name: an enum is a variable, a parameter and an assignment. */
  const own = new Map();
  for (const [local, value] of Object.entries(constants.get(name) ?? {})) {
    values.set(local, value);
    own.set(local, typeof value === "object" ? 3 : 1);
  }
  for (const node of tree.body) {
    if (node.type !== "ImportDeclaration" || !node.source.value.startsWith(".")) continue;
    const exported = constants.get(join(dirname(name), node.source.value).replaceAll("\\", "/")) ?? {};
    for (const { type, imported, local } of node.specifiers)
      if (type === "ImportSpecifier" && Object.hasOwn(exported, imported.name)) values.set(local.name, exported[imported.name]);
  }
  if (values.size === 0) return;
  const kept = new Set();
  const declared = new Map();
  full(tree, (node, _state, type) => {
    if (type === "VariablePattern") declared.set(node.name, (declared.get(node.name) ?? 0) + 1);
    else if (node.type === "Property" && node.shorthand) kept.add(node.value);
  });
  for (const [local, times] of declared) if (times !== own.get(local)) values.delete(local);
  full(tree, (node, _state, type) => {
    if (node.type === "MemberExpression" && !node.computed && typeof values.get(node.object.name) === "object") {
      const table = values.get(node.object.name);
      if (Object.hasOwn(table, node.property.name)) magic.overwrite(node.start, node.end, literal(String(table[node.property.name])));
    } else if (node.type === "Identifier" && type !== "VariablePattern" && typeof values.get(node.name) === "string" && !kept.has(node))
      magic.overwrite(node.start, node.end, literal(values.get(node.name)));
  });
}

const literal = (value) => (value.startsWith("-") ? `(${value})` : value);
