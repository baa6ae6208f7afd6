// How the scenes measure: CPU time of this process, medians over several runs, collections of garbage. A scene is a function
// of `note`; each runs in a process of its own (run.js), so that no other's objects have shaped what the compiler knows.
import { PerformanceObserver } from "node:perf_hooks";

const RUNS = 7;
const CYCLES = 200_000;
const MILLIONS = 10;

/**
 * What a scene reports a figure with.
 * @typedef {{ budget?: number, atLeast?: number, kernel?: string, remark?: string }} Beside what the figure should be at most or
 *   at least, what a real kernel's KVM needs for the same, a remark
 * @typedef {(what: string, value: number, unit: string, beside?: Beside) => void} Note
 * @typedef {{ [scene: string]: (note: Note) => void | Promise<void> }} Scenes
 */

/** What a row has between an eventfd and the guest's EOI besides the delivery path, which the rows {@link AT_HAND} measure alone. */
export const WHOLE_GUEST = "the whole machine: kick, exit and entry of the vCPU thread, the guest's program too";
export const AT_HAND = "list registers loaded and folded; no kick, exit or guest program, as in the rows of the IOAPIC";

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
export const tenth = (value) => Math.round(value * 10) / 10;
export const hundredth = (value) => Math.round(value * 100) / 100;

/** Milliseconds of CPU time of a call. */
export function milliseconds(call) {
  const begin = process.cpuUsage();
  call();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}

/**
 * Median nanoseconds of CPU time per call over RUNS runs, warmed up by more calls than one run has. What was built for it is
 * old by then, as in any process that has run for a while: stores into young objects pay a write barrier.
 */
export function perCall(call, calls = CYCLES) {
  for (let i = 0; i < 2; i++) globalThis.gc();
  for (let i = 0; i < 1.5 * calls; i++) call();
  const several = () => {
    for (let i = 0; i < calls; i++) call();
  };
  return Math.round((median(Array.from({ length: RUNS }, () => milliseconds(several))) * 1e6) / calls);
}

/** Garbage collections while `call` runs `calls` times; what came before is collected first. */
async function collections(call, calls) {
  for (let i = 0; i < 2; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  let count = 0;
  const observer = new PerformanceObserver((list) => (count += list.getEntries().length));
  observer.observe({ entryTypes: ["gc"] });
  for (let i = 0; i < calls; i++) call();
  await new Promise((resolve) => setTimeout(resolve, 50));
  observer.disconnect();
  return count;
}

/** A row for a path's cycle, and one for the collections while `millions` million of them run: at most `most`. */
export async function path(note, what, cycle, { millions = MILLIONS, calls = CYCLES, most = 1, ...beside } = {}) {
  note(what, perCall(cycle, calls), "ns", beside);
  note(`  collections in ${millions} million`, await collections(cycle, millions * 1e6), "", { budget: most });
}
