// A hostile user of VFIO and hostile devices, a million calls: `node tools/soak/vfio.js [CALLS] [SEED]` (after a build).
import { fileURLToPath } from "node:url";
import { countsOf } from "./counts.js";

/** Runs and prints the counts; the result is true when nothing threw, leaked, or answered an errno that is not specified. */
export async function soakVfio(calls = 1_000_000, seed = 1) {
  const soak = await import(new URL("../../dist/straight/vfio/ioctls.soak.js", import.meta.url).href);
  const begin = process.cpuUsage();
  const { done, errnos, transfers, faults } = soak.soakIoctls(calls, seed, (so) => process.stderr.isTTY && process.stderr.write(`\r${so} calls`));
  const { user } = process.cpuUsage(begin);
  const answers = [...errnos].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${count}`);
  console.log(`vfio: ${calls} calls, seed ${seed}: ${done} done, ${transfers} DMA transfers, ${faults.length} faults; ${Math.round(user / 1e6)} s of CPU`);
  console.log(`  ${answers.join(", ")}`);
  for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`);
  return faults.length === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [calls, seed] = countsOf(process.argv.slice(2), "node tools/soak/vfio.js [CALLS] [SEED]");
  process.exitCode = (await soakVfio(calls, seed)) ? 0 : 1;
}
