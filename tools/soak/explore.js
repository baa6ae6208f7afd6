// Every interleaving of the protocols up to one preemption more than the suite allows: `node tools/soak/explore.js [PREEMPTIONS] [LIMIT]`.
import { fileURLToPath } from "node:url";
import { countsOf } from "./counts.js";

const built = (name) => import(new URL(`../../dist/stepped/explore/${name}.js`, import.meta.url).href);

/** Explores and prints a line per protocol; the result is true when nothing was found. */
export async function soakExplore(preemptions = 3, limit = 300_000) {
  const [{ explore }, { PROTOCOLS }, { HAZARD_CASES }] = await Promise.all(["explorer", "protocols/index", "hazards/index"].map(built));
  const reproduced = new Set(HAZARD_CASES.filter(({ kind }) => kind === "reproduced").map(({ protocol }) => protocol));
  let isClean = true;
  for (const protocol of PROTOCOLS.filter((one) => !reproduced.has(one))) {
    const { name } = protocol;
    const result = explore(() => protocol.program(), { preemptions, limit });
    const reach = result.verdict === "ok" && result.exhausted ? "all" : "the first";
    const found = result.verdict === "ok" ? "nothing found" : `${result.message}; replay ${result.schedule}`;
    console.log(`explore: ${name}, ${preemptions} preemptions: ${reach} ${result.interleavings} interleavings, ${found}`);
    isClean &&= result.verdict === "ok";
  }
  return isClean;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [preemptions, limit] = countsOf(process.argv.slice(2), "node tools/soak/explore.js [PREEMPTIONS] [LIMIT]");
  process.exitCode = (await soakExplore(preemptions, limit)) ? 0 : 1;
}
