import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { conformanceFile } from "../conform/vector.js";
import { KNOWN_DIFFERENCES } from "../conform/x86/known.js";
import { conformKnownOutput } from "./conform-known.js";
import { conformOutput } from "./conform-schema.js";
import { virq } from "./command.fixture.js";

const recorded = fileURLToPath(new URL("../../../test/conformance/qemu-gicv3.json.gz", import.meta.url));
const recordedKvm = fileURLToPath(new URL("../../../test/conformance/kvm-x86-irq.json.gz", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "virq-conform-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const conform = (...args: string[]): ReturnType<typeof virq> => virq("conform", ...args);

const step = { op: "sysRead", reg: "ICC_PMR_EL1", cpu: 0 };
const wrong = join(folder, "wrong.json");
writeFileSync(wrong, JSON.stringify([{ id: "pmr", title: "PMR", machine: "virt", oracle: ["qemu-7.2"], steps: [{ ...step, expect: "0xf8" }] }]));

const empty = join(folder, "empty.json");
writeFileSync(empty, "[]");

describe("virq conform", () => {
  it.each([
    [["--random", "3"], /^virq: --random: generated sequences have no recorded answers; add --diff/],
    [["--diff", "--random", "3", wrong], /^virq: --random: sequences are generated, not read from .*; leave one of the two out$/m],
    [["--diff", "--random", "0"], /^virq: --random 0: a whole number from 1 to/],
    [[], /^virq: conform: which conformance file\?/],
    [["--diff", wrong], /--diff: it makes calls to \/dev\/kvm on both sides, and .* has none: .*leave --diff out$/m],
    [["--target", "kvm", wrong], /--target kvm: the running kernel takes sequences of calls to \/dev\/kvm, and .* has none: .*leave --target out$/m],
    [["--diff", "--random", "2", "--seed", ""], /^virq: --seed : a whole number from 0 to 4294967295 is wanted$/m],
    [["--diff", "--random", "2", "--only", "x"], /^virq: --only x: it does nothing with --random/],
    [[wrong, "--seed", "1"], /^virq: --seed 1: it does nothing without --diff --random N/],
    [[wrong, "--steps", "60"], /^virq: --steps 60: it does nothing without --diff --random N/],
    [[empty], /empty.json has no vectors: name a file that has some$/m],
  ])("a request that means nothing is refused in one sentence, status 2: %j", async (args, sentence) => {
    const { status, out, err } = await conform(...args);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toMatch(sentence);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
  });

  it("prints a line for each vector and the counts last; status 0 when all agree", async () => {
    const { status, out } = await conform(recorded, "--target", "physical");
    const lines = out.trimEnd().split("\n");
    expect([status, lines.length, lines.slice(-2)]).toEqual([0, 169, ["2386 answers compared", "167 passed, 0 failed, 0 skipped"]]);
    expect(lines[0]).toBe("passed   qemu-gicv3-gicd-reset-0  distributor registers after reset");
  });

  it("shows the first step that differs; status 1", async () => {
    const { status, out } = await conform(wrong);
    expect([status, out]).toEqual([1, "FAILED   pmr  step 0: cpu 0 reads ICC_PMR_EL1: expected 0xf8, got 0x0\n1 answer compared\n0 passed, 1 failed, 0 skipped\n"]);
  });

  it("--only takes the vectors named; one that is not there is refused", async () => {
    const { out } = await conform(recorded, "--target", "physical", "--only", "qemu-gicv3-vtimer-0", "--only", "qemu-gicv3-preempt-1");
    expect(out).toMatch(/\n2 passed, 0 failed, 0 skipped\n$/);
    const { status, err } = await conform(recorded, "--only", "nothing");
    expect([status, err]).toEqual([2, `virq: --only nothing: ${recorded} has no vector of this id\n`]);
  });

  it("--json keeps to its schema", async () => {
    const { status, out } = await conform(wrong, "--json");
    expect([status, conformOutput.parse(JSON.parse(out)).failed]).toEqual([1, 1]);
  });

  it.each([
    ["qemu-pic", 905, 76],
    ["qemu-ioapic", 738, 29],
    ["qemu-lapic", 582, 46],
    ["qemu-gicv3", 2386, 179],
  ])("says of %s how many of its answers are the kernel's own", async (name, answers, kvmAnswers) => {
    const { status, out } = await conform(fileURLToPath(new URL(`../../../test/conformance/${name}.json.gz`, import.meta.url)), "--json");
    expect([status, conformOutput.parse(JSON.parse(out))]).toMatchObject([0, { failed: 0, skipped: 0, answers, kvmAnswers }]);
  });

  it("--compat acts on calls to /dev/kvm too: before 6.5 a PIC's poll gave no bit 7", async () => {
    const file = join(folder, "poll.json");
    const guest = (args: object, more: object = {}) => ({ op: "guest", args, expect: { ret: 0, ...more } });
    const steps = [
      { op: "createVm", args: {}, expect: { ret: "fd" } },
      { op: "createIrqchip", args: {}, expect: { ret: 0 } },
      { op: "createVcpu", args: { id: 0 }, expect: { ret: "fd" } },
      { op: "guestInit", args: {}, expect: { ret: 0 } },
      { op: "irqLine", args: { gsi: 4, level: 1 }, expect: { ret: 0 } },
      guest({ do: "out8", port: 0x20, value: 0x0c }),
      guest({ do: "in8", port: 0x20 }, { value: 0x84 }),
    ];
    writeFileSync(file, JSON.stringify([{ id: "poll", title: "poll", kind: "pic", flavour: "any", steps }]));
    expect((await conform(file)).status).toBe(0);
    expect(await conform(file, "--compat", "linux-6.1")).toMatchObject({ status: 1, out: expect.stringContaining("step 6: guest do=in8 port=32: expected value 132, got value 4") });
  });

  it("--compat takes every release that the model knows, and says so of another", async () => {
    expect((await conform(recordedKvm, "--compat", "linux-6.18", "--only", "line-001")).status).toBe(0);
    expect(await conform(recordedKvm, "--compat", "linux-7.3")).toEqual({ status: 2, out: "", err: "virq: --compat linux-7.3: newest, linux-2026, or a release from linux-3.9 to linux-6.18 is wanted, or for Arm v5-2017\n" });
    expect(await conform(recorded, "--target", "virtual", "--compat", "linux-6.4")).toMatchObject({ status: 2, err: "virq: --compat linux-6.4: of Arm's controllers the model knows newest, linux-6.1 and v5-2017; give one of them\n" });
    expect(await conform(recordedKvm, "--compat", "v5-2017")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: --compat v5-2017: only Arm's controllers follow it, .*\n$/) });
    expect(await conform(recordedKvm, "--diff", "--compat", "v5-2017")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: --compat v5-2017: only Arm's controllers follow it, .*\n$/) });
  });

  it("a model of an older kernel that fails is told by which known difference", async () => {
    const { status, out } = await conform(recordedKvm, "--compat", "linux-6.3", "--only", "resample-014");
    expect([status, out]).toEqual([1, expect.stringMatching(/^FAILED   resample-014 {2}step \d+: .*\(known: unmaskAsksResampler; version, kernels before 6\.4: .*\)\nknown {4}1 steps of 1 vectors: unmaskAsksResampler/)]);
  });

  it("a file of which nothing ran is no success: one sentence, status 2", async () => {
    const { status, err } = await conform(recordedKvm, "--only", "pvm-001", "--only", "pvm-002");
    expect([status, err]).toEqual([2, expect.stringMatching(/^virq: .*kvm-x86-irq\.json\.gz: nothing of it ran, all 2 vectors were skipped, the first \(pvm-001\) because: seen only on kvm-pvm, .*; choose other vectors, or another --target\n$/)]);
  });

  it("--known prints the table of known differences, which docs/known-differences.md has, too", async () => {
    const { status, out } = await conform("--known");
    expect([status, out.match(/^ {2}reason /gm)?.length]).toEqual([0, KNOWN_DIFFERENCES.length]);
    expect(readFileSync(new URL("../../../docs/known-differences.md", import.meta.url), "utf8")).toContain(out);
    const { out: json } = await conform("--known", "--json");
    expect(conformKnownOutput.parse(JSON.parse(json)).map(({ name }) => name)).toEqual(KNOWN_DIFFERENCES.map(({ name }) => name));
    expect((await conform("--known", wrong)).err).toBe(`virq: --known: it prints a table, and reads no file: leave ${wrong} out\n`);
    expect((await conform("--known", "--diff")).err).toMatch(/^virq: --diff true: it does nothing with --known/);
  });

  it("a file that cannot be read or a target that does not exist is one sentence and status 2", async () => {
    expect(await conform(join(folder, "none.json"))).toMatchObject({ status: 2, out: "", err: `virq: ${join(folder, "none.json")}: cannot be read (ENOENT)\n` });
    expect((await conform(wrong, "--target", "bare")).status).toBe(2);
  });

  it("a target of the other architecture is one sentence and status 2", async () => {
    expect(await conform(recorded, "--target", "model")).toEqual({ status: 2, out: "", err: `virq: --target model: it takes x86 vectors, and ${recorded} has none; leave --target out\n` });
    const pic = fileURLToPath(new URL("../../../test/conformance/qemu-pic.json.gz", import.meta.url));
    expect((await conform(pic, "--target", "virtual")).status).toBe(2);
  });

  it.each([
    ["conform.schema.json", conformOutput],
    ["conform-known.schema.json", conformKnownOutput],
    ["conformance-file.schema.json", conformanceFile],
  ])("the published %s is the one in force", (name, schema) => {
    const published = readFileSync(new URL(`../../../schema/${name}`, import.meta.url), "utf8");
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(z.toJSONSchema(schema))));
  });
});
