// Turns a stepped JavaScript module into its straight twin: generators become plain functions, access points
// disappear, delegations become calls; an event's arguments are looked up only while somebody listens. Refuses what would make the two tempos differ (design, section 4).
import { parse } from "acorn";
import { ancestor, simple } from "acorn-walk";
import MagicString from "magic-string";

/**
 * @param {string} code a module as `tsc` emitted it
 * @param {string} file its name, for messages
 * @param {{strict: boolean, constants?: (tree: object, magic: MagicString) => void}} rules `strict` applies the rules for
 *   product code; tests may write generator expressions. `constants` writes the values of imported constants out first
 * @returns {{magic: MagicString, points: {start: number, end: number, statement: {start: number, end: number}}[], steps: number, tree: object}}
 */
export function strip(code, file, { strict, constants }) {
  const tree = parse(code, { ecmaVersion: "latest", sourceType: "module", locations: true });
  const magic = new MagicString(code);
  constants?.(tree, magic);
  const points = [];
  let steps = 0;
  const fail = (node, why) => {
    throw new SyntaxError(`${file}:${node.loc.start.line}: ${why}`);
  };
  const generator = (node, ancestors) => {
    if (!node.generator) return;
    steps++;
    const parent = ancestors.at(-2);
    const isMember = parent.type === "MethodDefinition" || (parent.type === "Property" && parent.method);
    if (strict && node.type === "FunctionExpression" && !isMember)
      fail(node, "a Step is a method or a declared function, not a function expression");
    const star = code.indexOf("*", isMember ? parent.start : node.start);
    magic.remove(star, star + 1);
  };
  ancestor(tree, {
    FunctionDeclaration: (node, _state, ancestors) => generator(node, ancestors),
    FunctionExpression: (node, _state, ancestors) => generator(node, ancestors),
    ExpressionStatement({ start, expression }) {
      if (isEmission(expression)) magic.appendLeft(start, `if (${code.slice(expression.callee.object.start, expression.callee.object.end)}.tracing) `);
    },
    YieldExpression(node, _state, ancestors) {
      if (node.delegate) {
        if (node.argument.type !== "CallExpression") fail(node, "yield* takes the call of a Step");
        magic.remove(node.start, node.argument.start);
      } else {
        const parent = ancestors.at(-2);
        if (parent.type !== "ExpressionStatement") fail(node, "an access point is a statement of its own");
        if (node.argument?.type !== "CallExpression") fail(node, "an access point is a call such as reads(object, field)");
        checkPure(node.argument, fail);
        points.push({ start: node.argument.start, end: node.argument.end, statement: parent });
        magic.overwrite(parent.start, parent.end, ";");
      }
      for (let i = ancestors.length - 2; i >= 0 && !isFunction(ancestors[i]); i--) {
        const around = ancestors[i];
        if (around.type === "TryStatement" && inside(node, around.finalizer)) fail(node, "no yield in finally");
        if (strict && (around.type === "ForOfStatement" || around.type === "ForInStatement") && inside(node, around.body))
          fail(node, "no JavaScript collection is iterated across a yield: use a kernel list or an index");
      }
    },
  });
  return { magic, points, steps, tree };
}

const isFunction = (node) => /Function|ClassBody/.test(node.type);
const inside = (node, block) => block && node.start >= block.start && node.end <= block.end;

/** `sim.emit(Ev.name, …)` whose arguments have no effects; calls among them may have. */
function isEmission({ type, callee, arguments: args }) {
  if (type !== "CallExpression" || callee.type !== "MemberExpression" || callee.property.name !== "emit") return false;
  if (args[0]?.type !== "MemberExpression" || args[0].object.name !== "Ev") return false;
  let isPure = true;
  const refuse = () => (isPure = false);
  for (const node of [callee.object, ...args]) simple(node, { CallExpression: refuse, AssignmentExpression: refuse, UpdateExpression: refuse });
  return isPure;
}

/** Arguments of a point are dropped by the straight build, so they may not have effects. */
function checkPure(call, fail) {
  for (const argument of call.arguments)
    simple(argument, {
      CallExpression: (node) => fail(node, "an access point takes pure arguments"),
      AssignmentExpression: (node) => fail(node, "an access point takes pure arguments"),
      UpdateExpression: (node) => fail(node, "an access point takes pure arguments"),
    });
}
