// `npm run build`: src/*.ts -> dist/stepped (generators, numbered points) -> dist/straight (plain calls).
// `npm run build -- --no-types` skips the type check's verdict (the code is emitted either way).
// Everything is made beside dist/ and takes its place at the end: who runs virq meanwhile runs a whole one.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import remapping from "@jridgewell/remapping";
import { TraceMap, originalPositionFor } from "@jridgewell/trace-mapping";
import MagicString from "magic-string";
import { constantsOf, writeConstants } from "./constants.js";
import { strip } from "./strip.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const made = join(root, `.dist-${process.pid}`);
const stepped = join(made, "stepped");
const straight = join(made, "straight");

const files = (dir) => readdirSync(dir, { recursive: true }).map(String).sort();

function compile() {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.json"), "--outDir", stepped], { stdio: ["ignore", "inherit", "inherit"] });
  } catch {
    if (!process.argv.includes("--no-types")) process.exit(1);
  }
}

/** Writes `name` to both trees; returns the source places of its access points. */
function twin(name, firstPoint) {
  const code = readFileSync(join(stepped, name), "utf8");
  const isTest = /\.(test|case|fixture)\.js$/.test(name) || /(^|\/)test\//.test(name);
  const { magic, points, tree } = strip(code, `src/${name.replace(/\.js$/, ".ts")}`, { strict: !isTest, constants: (tree, magic) => writeConstants(tree, magic, name, constants) });
  const tscMap = JSON.parse(readFileSync(join(stepped, `${name}.map`), "utf8"));
  write(straight, name, magic, tscMap);
  const numbered = new MagicString(code);
  writeConstants(tree, numbered, name, steppedConstants);
  points.forEach((point, i) => {
    const empty = code.slice(point.start, point.end).endsWith("()");
    numbered.appendLeft(point.end - 1, `${empty ? "" : ", "}${firstPoint + i}`);
    // A point that is announced already need not be yielded through all the steps above it.
    numbered.overwrite(point.statement.start, point.start, "{ const $ = ");
    numbered.overwrite(point.end, point.statement.end, "; if ($ !== null) yield $; }");
  });
  write(stepped, name, numbered, tscMap);
  const map = new TraceMap(tscMap);
  return points.map((point) => sourcePlace(map, code, name, point.start));
}

function write(tree, name, magic, tscMap) {
  const step = magic.generateMap({ source: name, hires: "boundary", includeContent: false });
  const map = remapping([JSON.parse(step.toString()), tscMap], () => null);
  map.sources = tscMap.sources.map((source) => rebase(source, name, tree));
  mkdirSync(dirname(join(tree, name)), { recursive: true });
  writeFileSync(join(tree, name), magic.toString());
  writeFileSync(join(tree, `${name}.map`), JSON.stringify(map));
}

const rebase = (source, name, tree) =>
  relative(dirname(join(tree, name)), join(stepped, dirname(name), source)).replaceAll("\\", "/");

/** "src/kvm/irqfd.ts:41" for an offset in the emitted code. */
function sourcePlace(map, code, name, offset) {
  const before = code.slice(0, offset).split("\n");
  const place = originalPositionFor(map, { line: before.length, column: before.at(-1).length });
  return `src/${name.replace(/\.js$/, ".ts")}:${place.line}`;
}

function declarations(name) {
  const text = readFileSync(join(stepped, name), "utf8");
  const plain = name === "sim/step.d.ts" ? text.replace(/export type Step<T> = [^;]*;/, "export type Step<T> = T;") : text;
  mkdirSync(dirname(join(straight, name)), { recursive: true });
  writeFileSync(join(straight, name), plain);
}

process.on("exit", () => rmSync(made, { recursive: true, force: true }));
compile();
const constants = await constantsOf(stepped, files(stepped).filter((name) => name.endsWith(".js")));
const steppedConstants = new Map(constants).set("sim/step.js", { ...constants.get("sim/step.js"), STRAIGHT: "false" });
const points = [];
for (const name of files(stepped)) {
  if (name.endsWith(".js")) points.push(...twin(name, points.length + 1));
  else if (name.endsWith(".d.ts")) declarations(name);
}
const table = `// Source places of the numbered access points; index 0 is "nowhere".\nexport const POINT_SITES = ${JSON.stringify(["", ...points])};\n`;
if (existsSync(join(stepped, "sim/point-sites.js"))) writeFileSync(join(stepped, "sim/point-sites.js"), table);
const before = `${made}-before`;
if (existsSync(dist)) renameSync(dist, before);
renameSync(made, dist);
rmSync(before, { recursive: true, force: true });
