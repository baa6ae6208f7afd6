// `npm run pack:check`: packs virq, installs the tarball into an empty project without scripts, and uses each entry and
// the command, on every Node given as argument (default: the one that runs this, and `node` of the PATH).
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const project = mkdtempSync(join(tmpdir(), "virq-pack-"));
const sh = (command, args, cwd) => execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

const probe = `
import * as straight from "virq";
import * as stepped from "virq/stepped";
import * as node from "virq/node";
if (straight.STRAIGHT !== true || stepped.STRAIGHT !== false) throw new Error("the tempos are mixed up");
if (typeof straight.builtinBoard !== "function" || typeof node.loadBoard !== "function") throw new Error("an entry is empty");
console.log("entries ok on", process.version);
`;

/** Every \`node\` of the PATH outside this checkout, once. */
function nodes() {
  const named = process.argv.slice(2);
  if (named.length > 0) return named;
  const outside = (process.env.PATH ?? "").split(delimiter).filter((dir) => !dir.includes("node_modules"));
  const system = outside.map((dir) => join(dir, "node")).find((file) => {
    try {
      return execFileSync(file, ["--version"], { encoding: "utf8" }).startsWith("v");
    } catch {
      return false;
    }
  });
  return [process.execPath, ...(system ? [system] : [])];
}

/** A test that `virq explore --write-test` writes fails in this project, and passes when the rule is in force. */
function checkWrittenTest() {
  symlinkSync(realpathSync(join(root, "node_modules/vitest")), join(project, "node_modules/vitest"));
  const file = join(project, "lost.test.js");
  const run = (args) => spawnSync(process.execPath, args, { cwd: project, encoding: "utf8" });
  run(["node_modules/virq/bin/virq.js", "explore", "assign-against-signal", "--without", "sampleBeforeInsert", "--write-test", "lost.test.js"]);
  const vitest = () => run(["node_modules/vitest/vitest.mjs", "run", "lost.test.js"]);
  const failed = vitest();
  if (failed.status !== 1 || !/never injected as GSI 5/.test(failed.stdout + failed.stderr)) throw new Error(`the written test does not fail with its violation: ${failed.stdout}${failed.stderr}`);
  writeFileSync(file, readFileSync(file, "utf8").replace('off: ["sampleBeforeInsert"]', "off: []"));
  const passed = vitest();
  if (passed.status !== 0) throw new Error(`the written test does not pass with the rule in force: ${passed.stdout}${passed.stderr}`);
}

try {
  sh("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", project], root);
  const tarball = readdirSync(project).find((name) => name.endsWith(".tgz"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
  sh("npm", ["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", join(project, tarball)], project);
  writeFileSync(join(project, "probe.mjs"), probe);
  for (const node of nodes()) {
    process.stdout.write(sh(node, ["probe.mjs"], project));
    const table = sh(node, ["node_modules/virq/bin/virq.js", "compare", "--board", "midway", "--device", "/soc/ethernet@fff50000", "--json", "--interrupts", "10"], project);
    if (JSON.parse(table).mechanisms.length === 0) throw new Error("compare printed no mechanism");
    const found = spawnSync(node, ["node_modules/virq/bin/virq.js", "explore", "assign-against-signal", "--without", "sampleBeforeInsert", "--json"], { cwd: project, encoding: "utf8" });
    if (found.status !== 1 || !/never injected/.test(JSON.parse(found.stdout).violation.message)) throw new Error(`explore did not find the lost event: ${found.stdout}${found.stderr}`);
  }
  checkWrittenTest();
  console.log("pack:check: the tarball installs without scripts and runs, and a test that it writes fails and passes there");
} finally {
  rmSync(project, { recursive: true, force: true });
}
