// `npm run bench`: nanoseconds of this machine's CPU time per interrupt on each delivery path, medians over several
// runs, side by side in one process; garbage collections; scaling; the command line's own time. Prints a table, or
// --json. Measures, never asserts: a budget beside a figure is for the reader.
import { execFileSync } from "node:child_process";
import { performance, PerformanceObserver } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { library, scene } from "./scene.js";

const RUNS = 7;
const WARM_UP = 300_000;
const CYCLES = 200_000;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Median nanoseconds of CPU time per call over RUNS runs. */
function perCall(call, calls = CYCLES, warmUp = WARM_UP) {
  for (let i = 0; i < warmUp; i++) call();
  const runs = [];
  for (let r = 0; r < RUNS; r++) {
    const begin = process.cpuUsage();
    for (let i = 0; i < calls; i++) call();
    const { user, system } = process.cpuUsage(begin);
    runs.push(((user + system) * 1000) / calls);
  }
  return median(runs);
}

const rows = [];
const note = (what, value, unit, budget = "") => {
  rows.push({ what, value, unit, budget });
  if (!process.argv.includes("--json")) console.log(`${what.padEnd(62)} ${String(value).padStart(10)} ${unit}${budget === "" ? "" : `   (budget ${budget})`}`);
};
const ns = (value) => Math.round(value * 10) / 10;

/** Garbage collections, and bytes of heap growth, while `call` runs `calls` times. */
async function collections(call, calls) {
  let count = 0;
  const observer = new PerformanceObserver((list) => (count += list.getEntries().length));
  observer.observe({ entryTypes: ["gc"] });
  for (let i = 0; i < calls; i++) call();
  await new Promise((resolve) => setTimeout(resolve, 10));
  observer.disconnect();
  return count;
}

/** The command line, from start to end, seconds. */
function commandSeconds(...args) {
  const seconds = [];
  for (let i = 0; i < 3; i++) {
    const begin = performance.now();
    execFileSync(process.execPath, [fileURLToPath(new URL("../bin/virq.js", import.meta.url)), ...args], { stdio: "ignore" });
    seconds.push((performance.now() - begin) / 1000);
  }
  return Math.round(median(seconds) * 100) / 100;
}

const straight = await library("straight");
const PATHS = [
  ["full level cycle with resample, vGICv3", { board: "virt", trigger: "level-high", mechanism: "irqfd+resample" }, 500],
  ["forwarded level, vGICv3", { board: "virt", trigger: "level-high", mechanism: "forward" }, 350],
  ["irqfd edge, vGICv3", { board: "virt", trigger: "edge-rising", mechanism: "irqfd" }, 250],
  ["full level cycle with resample, vGICv2", { board: "overdrive", trigger: "level-high", mechanism: "irqfd+resample" }],
  ["forwarded level, vGICv2", { board: "overdrive", trigger: "level-high", mechanism: "forward" }],
  ["irqfd edge, vGICv2", { board: "overdrive", trigger: "edge-rising", mechanism: "irqfd" }],
];
const scenes = PATHS.map(([what, options, budget]) => ({ what, budget, ...scene(straight, options) }));
for (const { what, cycle, budget } of scenes) note(what, ns(perCall(cycle)), "ns", budget === undefined ? "" : `${budget} ns`);
for (const { what, cycle } of scenes.slice(0, 3)) note(`collections in 10 million: ${what}`, await collections(cycle, 10_000_000), "GCs", "1");
