import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const command = fileURLToPath(new URL("../bin/virq.js", import.meta.url));

/** Runs the command with `stdout`; `reader` may take its pipe away. */
function virq(args, stdout, reader = () => {}) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [command, ...args], { stdio: ["ignore", stdout, "pipe"] });
    let err = "";
    child.stderr.on("data", (text) => (err += text));
    child.on("close", (status) => done({ status, err }));
    reader(child);
  });
}

it("a reader who goes away is no error", async () => {
  const answer = await virq(["boards", "d05", "--json"], "pipe", (child) => child.stdout.once("data", () => child.stdout.destroy()));
  expect(answer).toEqual({ status: 0, err: "" });
});

it.skipIf(!existsSync("/dev/full"))("output that cannot be written is said in one sentence, status 2 (needs /dev/full)", async () => {
  const full = openSync("/dev/full", "w");
  const answer = await virq(["boards"], full);
  closeSync(full);
  expect(answer).toEqual({ status: 2, err: "virq: standard output: cannot be written (ENOSPC)\n" });
});

it("a trace longer than anyone reads is refused before it fills the memory", async () => {
  const long = ["run", "--board", "midway", "--device", "/soc/ethernet@fff50000", "--interrupts", "100000", "--trace", "hops.txt"];
  const { status, err } = await virq(long, "ignore");
  expect(status).toBe(2);
  expect(err).toMatch(/^virq: --trace: the run has more than 1000000 events: ask for fewer .*\n$/);
}, 30_000);
