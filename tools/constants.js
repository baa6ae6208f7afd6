// The straight build writes exported numeric constants out where they are used: an engine looks an imported binding up
// at each use, and tests whether its module has run. Numbers, and the members of the two number tables, `Ev` and `Cost`.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { full } from "acorn-walk";

const NUMBER = /^export const (\w+) = (-?(?:0x[\da-f_]+|\d[\d_]*(?:\.\d+)?));/gim;

/**
 * @param {string} tree folder of the compiled modules
 * @param {readonly string[]} names its modules, relative
 * @returns {Promise<Map<string, Record<string, unknown>>>} what each module exports that can be written out
 */
export async function constantsOf(tree, names) {
  const all = new Map();
  for (const name of names) {
    const found = [...readFileSync(join(tree, name), "utf8").matchAll(NUMBER)].map((match) => [match[1], match[2]]);
    all.set(name, Object.fromEntries(found));
  }
  for (const [name, table] of [["sim/event.js", "Ev"], ["sim/cost.js", "Cost"]])
    all.get(name)[table] = (await import(pathToFileURL(join(tree, name)).href))[table];
  all.get("sim/step.js").STRAIGHT = "true";
  return all;
}

/** Writes the constants that module `name` imports into `magic`. A name that the module declares anew stays as it is. */
export function writeConstants(tree, magic, name, constants) {
  const values = new Map();
  for (const node of tree.body) {
    if (node.type !== "ImportDeclaration" || !node.source.value.startsWith(".")) continue;
    const exported = constants.get(join(dirname(name), node.source.value).replaceAll("\\", "/")) ?? {};
    for (const { type, imported, local } of node.specifiers)
      if (type === "ImportSpecifier" && Object.hasOwn(exported, imported.name)) values.set(local.name, exported[imported.name]);
  }
  if (values.size === 0) return;
  const kept = new Set();
  full(tree, (node, _state, type) => {
    if (type === "VariablePattern") values.delete(node.name);
    else if (node.type === "Property" && node.shorthand) kept.add(node.value);
  });
  full(tree, (node, _state, type) => {
    if (node.type === "MemberExpression" && !node.computed && typeof values.get(node.object.name) === "object") {
      magic.overwrite(node.start, node.end, String(values.get(node.object.name)[node.property.name]));
    } else if (node.type === "Identifier" && type !== "VariablePattern" && typeof values.get(node.name) === "string" && !kept.has(node))
      magic.overwrite(node.start, node.end, values.get(node.name).startsWith("-") ? `(${values.get(node.name)})` : values.get(node.name));
  });
}
