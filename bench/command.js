// The command line, from start to end: seconds of CPU time would hide its start-up, so these are seconds of the clock.
import { execFileSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { hundredth, median } from "./measure.js";

const VIRQ = fileURLToPath(new URL("../bin/virq.js", import.meta.url));
const OVERDRIVE = ["--board", "overdrive", "--device", "/smb/xgmac@e0700000", "--irq", "0,1"];

function seconds(...args) {
  const all = [];
  for (let i = 0; i < 3; i++) {
    const begin = performance.now();
    execFileSync(process.execPath, [VIRQ, ...args], { stdio: "ignore" });
    all.push((performance.now() - begin) / 1000);
  }
  return hundredth(median(all));
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  command(note) {
    note("virq compare, overdrive, 5 mechanisms of 100,000", seconds("compare", ...OVERDRIVE, "--interrupts", "100000"), "s", { budget: 3 });
    note("virq compare, pc, 5 mechanisms of 100,000", seconds("compare", "--board", "pc", "--interrupts", "100000"), "s");
    note("virq compare, pc, as it is", seconds("compare", "--board", "pc"), "s");
    note("  of it, the start of virq", seconds("--version"), "s");
  },
};
