// Random calls of several contexts of the XICS in every order of their accesses: `node tools/soak/xics-orders.js [PROGRAMS] [FIRST] [PREEMPTIONS]` (after a build).
import { fileURLToPath } from "node:url";
import { countsOf } from "./counts.js";

/** Runs and prints the counts; the result is true when each order answered and left what some order of whole calls does. */
export async function soakXicsOrders(programs = 200, first = 1000, preemptions = 2) {
  const { soakOrders } = await import(new URL("../../dist/stepped/irqchip/xics/orders.soak.js", import.meta.url).href);
  let isGood = true;
  for (const isRealMode of [false, true]) {
    const { interleavings, outcomes, faults } = soakOrders(first, first + programs - 1, { preemptions, isRealMode, progress: (done) => process.stderr.isTTY && process.stderr.write(`\r${done} programs`) });
    console.log(`xics, orders, real mode ${isRealMode}: ${programs} programs from ${first}, ${interleavings} interleavings, ${outcomes} outcomes, ${faults.length} faults`);
    for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`);
    isGood &&= faults.length === 0;
  }
  return isGood;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [programs, first, preemptions] = countsOf(process.argv.slice(2), "node tools/soak/xics-orders.js [PROGRAMS] [FIRST] [PREEMPTIONS]");
  process.exitCode = (await soakXicsOrders(programs, first, preemptions)) ? 0 : 1;
}
