// `npm run check`: type check, lint, layering, tidy. Every fault is a sentence; exit status 1 when there is one.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deadFiles, isTest, layeringFaults, sources } from "./layers.js";
import { linkFaults } from "./links.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** What would make two runs of the core differ, or tie it to Node (design, section 4). */
const NOT_IN_THE_CORE = [
  [/\bDate\.now\b|\bnew Date\b|\bperformance\.now\b|\bprocess\.(env|exit|exitCode|std\w+|argv|hrtime|cwd|cpuUsage|memoryUsage|nextTick|on|platform)\b/, "the wall clock or the process"],
  [/\bMath\.(random|sin|cos|tan|exp|log|log2|log10|pow|sqrt|cbrt|hypot)\b/, "a function whose result may differ between engines"],
  [/\b(setTimeout|setInterval|setImmediate|queueMicrotask)\b/, "a timer"],
  [/\b(async|await|Promise)\b/, "a promise"],
  [/from "node:/, "Node"],
];
const NOWHERE = [
  [/\bas unknown as\b|[:<|&(,] any\b(?=[\s,;)>|&=[])(?!-)|\bas any\b|@ts-(ignore|expect-error|nocheck)/, "silences the type checker"],
  [/\b(TODO|FIXME|XXX)\b/, "leaves a note instead of the work"],
  [/\b(it|describe|test)\.(only|todo)\(/, "runs only part of the suite"],
];

function tidyFaults() {
  const faults = [];
  for (const name of sources(root)) {
    const folder = name.split("/")[0];
    const isCore = !["cli", "node"].includes(folder) && !isTest(name);
    const code = readFileSync(join(root, "src", name), "utf8");
    code.split("\n").forEach((line, i) => {
      const text = line.replace(/"[^"]*"|\/\/.*$|^\s*\*.*$|\/\*\*.*$/g, "");
      const report = (rules) => {
        for (const [pattern, what] of rules) if (pattern.test(text)) faults.push(`src/${name}:${i + 1} has ${what}: ${line.trim()}`);
      };
      if (isCore) report(NOT_IN_THE_CORE.map(([pattern, what]) => [pattern, `${what} in the core`]));
      if (name !== "sim/step.ts") report(NOWHERE.map(([pattern, what]) => [pattern, `what ${what}`]));
    });
  }
  for (const name of deadFiles(root)) faults.push(`src/${name} is reached by no entry`);
  return faults;
}

function command(name, ...args) {
  const { status } = spawnSync(process.execPath, [join(root, "node_modules", name), ...args], { stdio: "inherit", cwd: root });
  return status === 0 ? [] : [`${name} found faults (above)`];
}

const faults = [
  ...command("typescript/bin/tsc", "-p", "tsconfig.json", "--noEmit"),
  ...command("oxlint/bin/oxlint", "src", "tools", "bin", "bench"),
  ...layeringFaults(root),
  ...tidyFaults(),
  ...linkFaults(root),
];
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? "check: clean" : `check: ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
