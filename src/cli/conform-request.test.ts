import { describe, expect, it } from "vitest";
import type { AnyVector } from "../conform/vector.js";
import { PersonError } from "../sim/person-error.js";
import { conformRequest, type ConformOptions, type ConformRequest } from "./conform-request.js";

const FILES: Readonly<Record<string, readonly AnyVector[]>> = {
  kvm: [{ id: "k", title: "", kind: "vm", flavour: "any", steps: [] }],
  pc: [{ id: "p", title: "", machine: "pc", cpus: 1, oracle: ["qemu-7.2", "linux-6.1-kvm"], steps: [] }],
  arm: [{ id: "a", title: "", machine: "virt", oracle: ["qemu-7.2", "linux-6.1-kvm"], steps: [] }],
  "qemu's arm": [{ id: "q", title: "", machine: "virt", oracle: ["qemu-7.2"], steps: [] }],
  power: [{ id: "w", title: "", machine: "s390-ccw-virtio", oracle: ["qemu-7.2", "linux-6.1-kvm"], steps: [] }],
};
const EVERY: readonly (string | undefined)[] = [undefined, ...Object.keys(FILES)];
const read = (file: string): readonly AnyVector[] => FILES[file];

/** Every value worth telling apart, of every option; undefined: not given. */
const TARGETS = [undefined, "model", "kvm", "virtual", "physical"] as const;
const GIVEN = [false, true];

type Asked = readonly [file: string | undefined, options: ConformOptions];

const combinations = (): Asked[] =>
  EVERY.flatMap((file) => TARGETS.flatMap((target) => bits(6).map(([only, compat, diff, random, seed, steps]): Asked => {
    const id = file === undefined ? "k" : FILES[file][0].id;
    const options: ConformOptions = {
      ...(target === undefined ? {} : { target }),
      ...(only ? { only: [id] } : {}),
      ...(compat ? { compat: "linux-6.1" as const } : {}),
      ...(diff ? { diff: true } : {}),
      ...(random ? { random: 7 } : {}),
      ...(seed ? { seed: 5 } : {}),
      ...(steps ? { steps: 9 } : {}),
    };
    return [file, options];
  })));

const bits = (count: number): boolean[][] => (count === 0 ? [[]] : bits(count - 1).flatMap((rest) => GIVEN.map((each) => [...rest, each])));

function asked(file: string | undefined, options: ConformOptions): ConformRequest | string {
  try {
    return conformRequest(file, options, read);
  } catch (error) {
    if (error instanceof PersonError) return error.message;
    throw error;
  }
}

/** Where an option shows in what is then done. */
function acts(request: ConformRequest, name: string, value: unknown): boolean {
  if (name === "only") return "vectors" in request && request.vectors.map(({ id }) => id).join() === (value as string[]).join();
  if (name === "diff") return request.kind === "diff" || request.kind === "random";
  if (name === "random") return request.kind === "random" && request.sequences === value;
  if (name === "target" && value === "kvm") return request.kind === "kernel";
  return new Map<string, unknown>(Object.entries(request)).get(name) === value;
}

describe("the options of virq conform", () => {
  it("in every combination: each that was given acts, or one sentence refuses the request", () => {
    let [done, refused] = [0, 0];
    for (const [file, options] of combinations()) {
      const request = asked(file, options);
      if (typeof request === "string") {
        expect(request).toMatch(/^[^\n]{20,260}[^.\n]$/);
        refused++;
        continue;
      }
      done++;
      for (const [name, value] of Object.entries(options)) expect([file, options, name, acts(request, name, value)]).toEqual([file, options, name, true]);
      if ("file" in request) expect(request.file).toBe(file);
    }
    expect([done, refused]).toEqual([54, 1866]);
  });

  it.each<[string | undefined, ConformOptions, RegExp]>([
    [undefined, { diff: true, random: 3, only: ["k"] }, /^--only k: it does nothing with --random, which generates calls .*; leave one of the two out$/],
    [undefined, { diff: true, random: 3, target: "model" }, /^--target model: it does nothing with --random/],
    ["kvm", { seed: 3 }, /^--seed 3: it does nothing without --diff --random N, which generates sequences; leave it out$/],
    ["kvm", { diff: true, seed: 3 }, /^--seed 3: it does nothing with --diff FILE, which makes the same calls/],
    ["kvm", { diff: true, steps: 3 }, /^--steps 3: it does nothing with --diff FILE/],
    ["kvm", { diff: true, target: "kvm" }, /^--target kvm: it does nothing with --diff FILE/],
    ["kvm", { target: "kvm", compat: "linux-6.1" }, /^--compat linux-6.1: it does nothing with --target kvm, where the running kernel follows its own rules/],
    ["arm", { target: "physical", compat: "newest" }, /^--compat newest: it chooses whose rules a controller of KVM's follows, and no vector of arm runs on one; leave it out$/],
    ["qemu's arm", { compat: "newest" }, /^--compat newest: it chooses whose rules/],
    ["power", { compat: "newest" }, /^--compat newest: it chooses whose rules/],
    ["pc", { target: "kvm" }, /^--target kvm: the running kernel takes sequences of calls to \/dev\/kvm, and pc has none: its vectors are register accesses on a machine of QEMU's/],
    ["pc", { diff: true }, /^--diff: it makes calls to \/dev\/kvm on both sides, and pc has none: its vectors are register accesses on a machine of QEMU's/],
    ["pc", { target: "virtual" }, /^--target virtual: it takes Arm vectors, and pc has none/],
    ["arm", { target: "model" }, /^--target model: it takes x86 vectors, and arm has none/],
    [undefined, { random: 3 }, /^--random: .*add --diff/],
    ["kvm", { diff: true, random: 3 }, /^--random: sequences are generated, not read from kvm; leave one of the two out$/],
    [undefined, {}, /^conform: which conformance file\?/],
    [undefined, { diff: true }, /^conform: which conformance file\?/],
    ["kvm", { only: ["nobody"] }, /^--only nobody: kvm has no vector of this id$/],
  ])("%s %j is refused", (file, options, sentence) => {
    expect(asked(file, options)).toMatch(sentence);
  });

  it("generated sequences have a seed and a length, whether given or not", () => {
    expect(asked(undefined, { diff: true, random: 3 })).toEqual({ kind: "random", sequences: 3, seed: 1, steps: 60 });
    expect(asked(undefined, { diff: true, random: 3, seed: 0, steps: 4, compat: "linux-6.1" })).toEqual({ kind: "random", sequences: 3, seed: 0, steps: 4, compat: "linux-6.1" });
  });

  it("of a file with other vectors than calls to /dev/kvm, those are counted as left out", () => {
    expect(conformRequest("both", { diff: true }, () => [...FILES.kvm, ...FILES.pc, ...FILES.arm])).toMatchObject({ kind: "diff", vectors: [{ id: "k" }], leftOut: 2 });
  });
});
