import { describe, expect, it } from "vitest";
import { HAZARD_NAMES } from "../sim/hazards.js";
import { PersonError } from "../sim/person-error.js";
import { Sim } from "../sim/sim.js";
import { movesOf, parseSchedule, printSchedule, printString, programHash, scheduleHash } from "./schedule.js";
import { protocolOf } from "./search.fixture.js";
import { VERSION } from "./version.js";

const protocol = protocolOf("a-protocol", () => ({ sim: new Sim(), contexts: [], check: () => null }));
const [rule] = HAZARD_NAMES;
const moves = [0, 0, 0, 1, 2, 2];
const string = printString(protocol, [], moves);

describe("schedule strings", () => {
  it("carry form, version, program, moves and their number", () => {
    expect(string).toBe(`v1.${VERSION.replaceAll(".", "-")}.${programHash(protocol)}.a3bc2.6`);
    expect(movesOf(` ${string}\n`, protocol, [])).toEqual(moves);
    expect(scheduleHash(string)).toBe(programHash(protocol));
  });

  it("belong to a protocol's name, to what a file adds to it, and to the rules that are off, in any order", () => {
    const [one, two] = HAZARD_NAMES;
    const hashes = [programHash(protocol), programHash(protocol, [rule]), programHash({ ...protocol, name: "another" }), programHash({ ...protocol, identity: "a file" })];
    expect(new Set(hashes).size).toBe(4);
    expect(programHash(protocol, [one, two])).toBe(programHash(protocol, [two, one]));
  });

  it("are refused in a sentence when they are cut short anywhere", () => {
    for (let length = 0; length < string.length; length++) {
      expect(() => movesOf(string.slice(0, length), protocol, []), string.slice(0, length)).toThrow(PersonError);
    }
  });

  it("are refused in a sentence when they are of another version, or another program's, or none", () => {
    expect(() => movesOf(string.replace("v1.0-1-0", "v1.9-9-9"), protocol, [])).toThrow(`printed by virq 9.9.9, and this is ${VERSION}`);
    expect(() => movesOf(string, protocol, [rule])).toThrow(`another program than a-protocol with ${rule} off`);
    expect(() => movesOf("a3bc2", protocol, [])).toThrow("no schedule of virq");
    expect(() => movesOf("v2.0-1-0.x.a.1", protocol, [])).toThrow("no schedule of virq");
  });

  it("print and parse their moves", () => {
    const long = Array.from({ length: 500 }, (_, i) => (i * i) % 30);
    expect(parseSchedule(printSchedule(long))).toEqual(long);
    expect(printSchedule([])).toBe("");
  });
});
