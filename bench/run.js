// `npm run bench`: nanoseconds of this machine's CPU time per interrupt on each delivery path, medians over several runs;
// garbage collections; scaling; the command line's own time. Prints a table, or --json; names of files of this folder choose
// among them (`npm run bench -- its direct`). Measures, never asserts: a budget beside a figure is for the reader.
import { execFileSync } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";

const FILES = ["arm-irqfd", "whole-machine", "its", "direct", "x86-irqfd", "local-apics", "xics", "vfio", "command", "kernel", "explore"];
const SCENE = fileURLToPath(new URL("./run-scene.js", import.meta.url));

const words = process.argv.slice(2);
const isJson = words.includes("--json");
const chosen = words.filter((word) => word !== "--json");
const unknown = chosen.find((word) => !FILES.includes(word));
if (unknown !== undefined) {
  console.error(`bench: there is no "${unknown}"; choose among ${FILES.join(", ")}, or --json`);
  process.exit(2);
}

function line({ what, value, unit, budget, atLeast, kernel, remark }) {
  const beside = [
    budget === undefined ? [] : `budget ${budget}`,
    atLeast === undefined ? [] : `at least ${atLeast}`,
    kernel === undefined ? [] : `a kernel ${kernel}`,
    remark ?? [],
  ].flat();
  return `${what.padEnd(66)} ${String(value).padStart(7)} ${unit.padEnd(4)} ${beside.join("; ")}`.trimEnd();
}

const rows = [];
for (const file of chosen.length === 0 ? FILES : chosen) {
  const { scenes } = await import(`./${file}.js`);
  for (const scene of Object.keys(scenes)) {
    const output = execFileSync(process.execPath, ["--expose-gc", SCENE, file, scene], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
    const noted = JSON.parse(output);
    rows.push(...noted);
    if (!isJson) for (const row of noted) console.log(line(row));
  }
}
rows.push({ what: "load of the machine", value: Math.round(loadavg()[0] * 10) / 10, unit: "" });
console.log(isJson ? JSON.stringify(rows, null, 2) : line(rows[rows.length - 1]));
