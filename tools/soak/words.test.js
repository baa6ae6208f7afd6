import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const folder = fileURLToPath(new URL(".", import.meta.url));
const soaks = readdirSync(folder).filter((name) => name.endsWith(".js") && !name.endsWith(".test.js") && name !== "counts.js");

const soak = (...args) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  return { status, stdout, stderr };
};

// explore.js goes through every protocol, however little is asked of each.
it.each(soaks.filter((name) => name !== "explore.js"))("%s finds what it soaks, were it only one", (name) => {
  expect(soak(name, "1", "1")).toMatchObject({ status: 0, stderr: "" });
});

describe("a soak that is given a word for a number soaks nothing, and says so: one sentence, status 2", () => {
  it.each(soaks.flatMap((name) => ["--help", "many", "0", "-5", "1e9x"].map((word) => [name, word])))("%s %s", (name, word) => {
    expect(soak(name, word)).toEqual({ status: 2, stdout: "", stderr: expect.stringMatching(/^usage: node tools\/soak\/.*\n$/) });
  });

  it("boards.js with a file that is not there", () => {
    expect(soak("boards.js", "10", "1", "no-such.dtb")).toEqual({ status: 2, stdout: "", stderr: "no-such.dtb: there is no such file: name device tree blobs behind MUTATIONS and SEED\n" });
  });
});
