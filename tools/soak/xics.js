// A hostile guest and a hostile VMM of the XICS, 300,000 calls: `node tools/soak/xics.js [CALLS] [SEED]` (after a build).
import { fileURLToPath } from "node:url";
import { countsOf } from "./counts.js";

/** Runs and prints the counts; the result is true when every call answered what is specified and no refusal changed anything. */
export async function soakXics(calls = 300_000, seed = 1) {
  const soak = await import(new URL("../../dist/straight/irqchip/xics/xics.soak.js", import.meta.url).href);
  const begin = process.cpuUsage();
  const { calls: done, refusals, faults } = soak.soakXics(calls, seed, (so) => process.stderr.isTTY && process.stderr.write(`\r${so} calls`));
  const { user } = process.cpuUsage(begin);
  const refused = [...refusals.values()].reduce((sum, count) => sum + count, 0);
  console.log(`xics: ${done} calls, seed ${seed}: ${refused} refused, in ${refusals.size} ways, ${faults.length} faults; ${Math.round(user / 1e6)} s of CPU`);
  console.log(`  ${[...refusals].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${count}`).join(", ")}`);
  for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`);
  return faults.length === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [calls, seed] = countsOf(process.argv.slice(2), "node tools/soak/xics.js [CALLS] [SEED]");
  process.exitCode = (await soakXics(calls, seed)) ? 0 : 1;
}
