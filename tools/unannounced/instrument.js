import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";
import MagicString from "magic-string";

const STEPPED = fileURLToPath(new URL("../../dist/stepped/", import.meta.url));
const COPY = fileURLToPath(new URL("../../dist/audited/", import.meta.url));
const RECORDER = new URL("recorder.js", import.meta.url).href;

/** The ground, the engine and what only hears: their state is no protocol's. The kernel's lists are. */
const isProtocol = (file) => !/^(cli|node|museum|trace|uapi|explore\/(strategies|properties))\/|^explore\/[^/]+$|^sim\/(?!list\.js)|\.fixture\.js$/.test(file);

/** A copy of the stepped build in which the protocols tell {@link RECORDER} what they touch; its URL. */
export function instrumentedBuild() {
  rmSync(COPY, { recursive: true, force: true });
  for (const file of readdirSync(STEPPED, { recursive: true }).map((name) => name.replaceAll("\\", "/"))) {
    if (!file.endsWith(".js") || file.endsWith(".test.js")) continue;
    const text = readFileSync(join(STEPPED, file), "utf8").replace(/^\/\/# sourceMappingURL=.*$/m, "");
    mkdirSync(dirname(join(COPY, file)), { recursive: true });
    writeFileSync(join(COPY, file), isProtocol(file) ? instrumented(text, file) : text);
  }
  return new URL("../../dist/audited/", import.meta.url).href;
}

function instrumented(text, file) {
  const code = new MagicString(text);
  const wrap = (node, name, ...rest) => {
    code.appendLeft(node.start, `$r.${name}(`);
    code.prependRight(node.end, `${rest.map((each) => `,${JSON.stringify(each)}`).join("")})`);
  };
  walk(parse(text, { ecmaVersion: "latest", sourceType: "module", locations: true }), null, (node, parent) => {
    const place = `${file}:${node.loc.start.line}`;
    if (node.type === "VariableDeclarator" && node.id.type === "ObjectPattern" && node.init !== null)
      wrap(node.init, "taking", node.id.properties.filter(({ type, computed }) => type === "Property" && !computed).map(({ key }) => key.name), place);
    if (node.type !== "MemberExpression" || node.object.type === "Super" || node.object.type === "MetaProperty" || isCutShort(node.object)) return;
    const isWrite = (parent.type === "AssignmentExpression" && parent.left === node) || parent.type === "UpdateExpression";
    if (!node.computed) wrap(node.object, isWrite ? "writing" : "reading", node.property.name, place);
    else {
      wrap(node.object, "elementOf");
      wrap(node.property, isWrite ? "writingAt" : "readingAt", place);
    }
  });
  code.prepend(`import * as $r from ${JSON.stringify(RECORDER)};`);
  return code.toString();
}

/** Behind a `?.` of the same chain: wrapped, it would be looked at where the chain ends before it. */
function isCutShort(node) {
  if (node.type !== "MemberExpression" && node.type !== "CallExpression") return false;
  return node.optional || isCutShort(node.object ?? node.callee);
}

function walk(node, parent, visit) {
  if (node.type === "ImportDeclaration") return;
  visit(node, parent);
  for (const [key, value] of Object.entries(node)) {
    if (key === "loc") continue;
    for (const child of Array.isArray(value) ? value : [value]) if (typeof child?.type === "string") walk(child, node, visit);
  }
}
