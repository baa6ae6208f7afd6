import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";

const virq = fileURLToPath(new URL("../bin/virq.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "virq-stop-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A search that would take hours, and Ctrl-C after each of so many milliseconds; later, on a machine so busy that virq does not listen yet. */
async function interrupted(args, ms) {
  const ended = await signalled(args, ms);
  return ended.status === null ? interrupted(args, ms.map((each) => 2 * each)) : ended;
}

function signalled(args, ms) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [virq, "explore", ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (err += text));
    child.on("close", (status) => done({ status, out, err }));
    for (const at of ms) setTimeout(() => child.kill("SIGINT"), at);
  });
}

/** `virq explore`, to its end. */
function explored(args) {
  const { status, stdout } = spawnSync(process.execPath, [virq, "explore", ...args, "--json"], { cwd: folder, encoding: "utf8" });
  return { status, report: JSON.parse(stdout) };
}

const STRATEGIES = [["dfs"], ["preemption", "--preemptions", "9"], ["dpor"], ["pct"], ["random"]];

it.each([...STRATEGIES.map((strategy) => [2, ...strategy]), [1, "dfs"]])(
  "Ctrl-C says what was explored so far and how to go on, and the search goes on without repeating: %i threads, %s",
  async (workers, ...strategy) => {
    rmSync(join(folder, "virq-explore.json"), { force: true });
    const subject = "assign-against-signal-and-close";
    const { status, out, err } = await interrupted([subject, "--limit", "1000000000", "--workers", String(workers), "--strategy", ...strategy], [1500]);
    expect([status, err]).toEqual([130, "stopping after what is under way; Ctrl-C again ends at once\n"]);
    expect(out).toMatch(/^Stopped\. No violation in [\d,]+ executions[^]*\nvirq explore --resume virq-explore\.json goes on without repeating any\.$/m);
    const { totals } = JSON.parse(readFileSync(join(folder, "virq-explore.json"), "utf8")).open;
    const first = totals.executions + totals.blocked + totals.cut;
    expect([totals.executions, first > 0]).toEqual([Number(/No violation in ([\d,]+)/.exec(out)[1].replaceAll(",", "")), true]);
    const { status: after, report } = explored(["--resume", "virq-explore.json", "--limit", String(first + 50), "--save", "more.json", "--workers", String(3 - workers)]);
    expect([after, report.verdict, report.resume]).toEqual([0, "none", "more.json"]);
    expect(report.executions + report.blocked).toBeGreaterThan(first);
    expect(report.executions + report.blocked).toBeLessThanOrEqual(first + 50);
    expect(JSON.parse(readFileSync(join(folder, "more.json"), "utf8")).subject).toBe(subject);
  },
  240_000,
);

it("a second Ctrl-C ends what the first cannot: a program of one's own that goes round without an access", async () => {
  const module = join(folder, "round.mjs");
  const stepped = JSON.stringify(new URL("../dist/stepped/index.js", import.meta.url).href);
  writeFileSync(
    module,
    `import { Context, Sim } from ${stepped};
class Round extends Context { *body() { for (;;); } }
export const protocols = [{ name: "round", title: "It goes round.", source: "a test", program: () => ({ sim: new Sim(), contexts: [new Round("round", "user", 0)], check: () => null }) }];`,
  );
  const { status, out, err } = await interrupted(["round", "--module", module], [1500, 2200]);
  expect([status, out, err]).toEqual([130, "", "stopping after what is under way; Ctrl-C again ends at once\n"]);
}, 180_000);

it("a search that two threads left and three go on with has run, at its end, as many executions as one that was never left", () => {
  const subject = ["assign-against-deassign", "--preemptions", "2"];
  const whole = explored(subject).report;
  const part = explored([...subject, "--limit", "500", "--workers", "2", "--save", "left.json"]).report;
  const rest = explored(["--resume", "left.json", "--limit", "100000", "--workers", "3"]).report;
  expect([part.exhausted, part.executions < whole.executions]).toEqual([false, true]);
  expect([rest.exhausted, rest.verdict, rest.executions, rest.steps]).toEqual([true, "none", whole.executions, whole.steps]);
}, 240_000);
