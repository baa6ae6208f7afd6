// Mutated device trees by the hundred thousand: `node tools/soak/boards.js [MUTATIONS] [SEED] [DTB...]` (after a build).
// Without files: those of ../shared/boards where they are, else the built-in board that the suite flattens.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { countsOf } from "./counts.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const built = (name) => import(new URL(`../../dist/straight/board/${name}.js`, import.meta.url).href);

async function trees(files) {
  const folder = join(root, "../shared/boards");
  const found = files.length === 0 && existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".dtb")).map((name) => join(folder, name)) : files;
  if (found.length > 0) return found.map((file) => new Uint8Array(readFileSync(file)));
  const [{ flatten }, { midway }] = [await built("fdt.fixture"), await built("builtin/midway")];
  return [flatten(midway)];
}

/** Runs and prints the counts; the result is true when nothing but boards and sentences came out. */
export async function soakBoards(mutations = 100_000, seed = 1, files = []) {
  const { soakFdt } = await built("fdt.soak");
  const originals = await trees(files);
  const { read, refused, faults, slowestMs } = soakFdt(originals, mutations, seed, () => performance.now());
  const heap = Math.round(process.memoryUsage().rss / 1024 / 1024);
  console.log(`boards: ${mutations} mutations of ${originals.length} device trees, seed ${seed}: ${read} read, ${refused} refused with a sentence, ${faults.length} faults; slowest ${slowestMs.toFixed(0)} ms, ${heap} MiB resident`);
  for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`);
  return faults.length === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const [mutations, seed] = countsOf(args.slice(0, 2), "node tools/soak/boards.js [MUTATIONS] [SEED] [DTB...], MUTATIONS and SEED");
  const files = args.slice(2);
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) {
    console.error(`${missing}: there is no such file: name device tree blobs behind MUTATIONS and SEED`);
    process.exit(2);
  }
  process.exitCode = (await soakBoards(mutations, seed, files)) ? 0 : 1;
}
