// How fast the explorer is, what the reduction saves, what a second worker brings, and what a long search keeps. CPU time, so
// that others on the machine count little; the two workers are measured by the clock, and mean something only where two cores
// are idle.
import { performance } from "node:perf_hooks";
import { hundredth } from "./measure.js";

const from = (name) => import(new URL(`../dist/stepped/${name}.js`, import.meta.url).href);
const { search, setUp } = await from("explore/search");
const { PROTOCOLS } = await from("explore/protocols/index");
const { searchInParallel } = await from("node/explore/parallel");
const loader = new URL("./explore-protocol.js", import.meta.url).href;
const { loadProtocol } = await import(loader);
const named = (name) => PROTOCOLS.find((protocol) => protocol.name === name);

/** Seconds of CPU time of a search, warmed up by a part of the same. */
function timed(protocol, options) {
  search(protocol, { ...options, executions: options.executions / 2 });
  const begin = process.cpuUsage();
  const report = search(protocol, options);
  const { user, system } = process.cpuUsage(begin);
  return { ...report, seconds: (user + system) / 1e6 };
}

/** Executions after which the count of the full program is given up. */
const FULL = 200_000;

/** Two digits behind the point matter below a hundred alone. */
const round = (value) => (value < 100 ? hundredth(value) : Math.round(value));

function speed(note) {
  const irqfd = timed(named("deassign-against-signal"), { preemptions: 2, executions: 15_000 });
  note("explored, steps per second: deassign against two signals", round(irqfd.steps / irqfd.seconds), "/s", { atLeast: 300_000 });
  const signal = timed(loadProtocol("signal-by-message"), { strategy: "random", executions: 30_000 });
  const steps = signal.steps / signal.executions;
  note(`explored, executions per second: one signal to a message, ${steps} steps`, round(signal.executions / signal.seconds), "/s", { atLeast: 20_000 });
}

function reduction(note) {
  const small = named("irqfd-life-small");
  const plain = search(small, { strategy: "dfs", executions: 1_000_000 });
  const reduced = search(small, { strategy: "dpor", executions: 1_000_000 });
  note(`irqfd-life-small, every order${plain.exhausted ? "" : " (not all)"}`, plain.executions, "");
  note("  one of each class", reduced.executions, "");
  note("  so many times fewer", round(plain.executions / (reduced.executions + reduced.blocked)), "", { atLeast: 50 });
  const ended = search(named("leave-against-signal"), { strategy: "dpor", executions: FULL });
  note(`leave-against-signal, one of each class${ended.exhausted ? "" : ": more than"}`, ended.executions, "");
  const full = search(named("irqfd-life"), { strategy: "dpor", executions: FULL });
  note(`irqfd-life, one of each class${full.exhausted ? "" : ": more than"}`, full.executions, "");
  note("  cut short by sleep sets", full.blocked, "");
}

/** Long enough that a thread's start and the warming up of its code, a second, are a small part. */
const LONG = 400_000;

async function parallel(note) {
  const options = { strategy: "dfs", executions: LONG };
  const seconds = async (workers) => {
    const [began, used] = [performance.now(), process.cpuUsage()];
    await searchInParallel(named("irqfd-life"), { loader, source: "irqfd-life" }, options, workers);
    const { user, system } = process.cpuUsage(used);
    note(`irqfd-life, ${LONG} executions by ${workers} thread${workers === 1 ? "" : "s"}: CPU time of all`, round((user + system) / 1e6), "s");
    return (performance.now() - began) / 1000;
  };
  const [one, two] = [await seconds(1), await seconds(2)];
  note("  two threads, times one, by the clock", round(one / two), "", { atLeast: 1.7, remark: "where two cores are idle" });
}

/** The most resident memory of a process that makes a million executions and nothing else. */
function memory(note) {
  const { coordinator } = setUp(loadProtocol("signal-by-message"), { strategy: "random", executions: 1_000_000 });
  let most = 0;
  coordinator.runAll(({ executions }) => {
    most = Math.max(most, process.memoryUsage.rss());
    return executions < 1_000_000;
  });
  note("memory while a million executions are made", round(most / 2 ** 20), "MiB", { budget: 300 });
}

/** @type {import("./measure.js").Scenes} */
export const scenes = { memory, speed, reduction, parallel };
