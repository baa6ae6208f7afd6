import { describe, expect, it } from "vitest";
import { PersonError } from "../sim/person-error.js";
import { PRIMITIVES } from "../sim/cost.js";
import { costTable, profileSchema, readProfile } from "./profile.js";
import { COST_PROFILES, DEFAULT_PROFILE } from "./profiles.js";
import { readScenario } from "./scenario.js";

const good = "board: midway\ndevice: /soc/ethernet@fff50000\n";

describe("a scenario file", () => {
  it("needs a board and a device; everything else has a default", () => {
    const scenario = readScenario(good, "a.yaml");
    expect(scenario).toMatchObject({ board: "midway", irqs: [0], assumeIommu: false });
    expect(scenario.workload).toMatchObject({ interrupts: 1000, burst: 1, vcpus: 1, wait: "spin", accessesPerService: 1 });
  });

  it.each([
    ["a missing device", "board: midway\n", "a.yaml:1: device: "],
    ["an unknown key", `${good}speed: 3\n`, "a.yaml:"],
    ["a value out of range", `${good}workload:\n  vcpus: 0\n`, "a.yaml:4: workload.vcpus: "],
    ["an unknown mechanism", `${good}mechanisms: [irqfd, magic]\n`, "a.yaml:3: mechanisms.1: "],
    ["a mechanism named twice", `${good}mechanisms: [irqfd, irqfd]\n`, "a.yaml:3: mechanisms: a mechanism is named twice"],
    ["collections nested without end", "[".repeat(20_000), "a.yaml:1: its collections are nested too deeply"],
    ["broken YAML", "board: [midway\n", "a.yaml:2: not YAML: "],
    ["aliases that multiply without end", `a: &a [x, x]\nb: &b [${"*a, ".repeat(60)}]\nc: [${"*b, ".repeat(60)}]\n`, "a.yaml: its aliases "],
    ["a rate that no run outlives", `${good}workload: {ratePerSecond: 1.0e-300}\n`, "a.yaml:3: workload.ratePerSecond: "],
    ["no document at all", "", "a.yaml:1: the document: "],
  ])("%s is refused in one sentence with its place", (_what, text, start) => {
    expect(() => readScenario(text, "a.yaml")).toThrow(PersonError);
    expect(() => readScenario(text, "a.yaml")).toThrow(start);
  });
});

describe("the built-in cost profiles", () => {
  it("follow the schema and give each primitive a source", () => {
    expect(COST_PROFILES.length).toBeGreaterThanOrEqual(2);
    for (const profile of COST_PROFILES) {
      expect(profileSchema.parse(profile)).toEqual(profile);
      expect(costTable(profile)).toHaveLength(PRIMITIVES.length);
    }
    expect(COST_PROFILES.map((profile) => profile.name)).toContain(DEFAULT_PROFILE);
  });

  it("a person's own profile that lacks a primitive is refused by name", () => {
    const text = "name: mine\nmachine: mine\nprimitives:\n  exit: {ns: 1, source: me}\n";
    expect(() => readProfile(text, "mine.yaml")).toThrow(/^mine\.yaml:\d+: primitives\.entry: /);
  });
});
