// A hostile guest of the virtual ITS, a million commands: `node tools/soak/its.js [COMMANDS] [SEED]` (after a build).
import { fileURLToPath } from "node:url";
import { countsOf } from "./counts.js";

/** Runs and prints the counts; the result is true when no command threw, went outside of the guest's memory or worked without bound. */
export async function soakIts(commands = 1_000_000, seed = 1) {
  const soak = await import(new URL("../../dist/straight/irqchip/gic/its/its.soak.js", import.meta.url).href);
  const begin = process.cpuUsage();
  const { done, mostAccesses, faults } = soak.soakIts(commands, seed, (so) => process.stderr.isTTY && process.stderr.write(`\r${so} commands`));
  const { user } = process.cpuUsage(begin);
  console.log(`its: ${commands} commands, seed ${seed}: ${done} done, at most ${mostAccesses} accesses to memory for one, ${faults.length} faults; ${Math.round(user / 1e6)} s of CPU`);
  for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`);
  return faults.length === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [commands, seed] = countsOf(process.argv.slice(2), "node tools/soak/its.js [COMMANDS] [SEED]");
  process.exitCode = (await soakIts(commands, seed)) ? 0 : 1;
}
