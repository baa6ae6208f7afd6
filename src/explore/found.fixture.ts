import { expect, it } from "vitest";
import { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { explore } from "./explorer.js";
import { search } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { Task } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

/** Tasks over what `build` makes; nothing is asked of them. */
export function scenario(build: (sim: Sim) => readonly (() => Step<void>)[]): Scenario {
  return () => {
    const sim = new Sim();
    return { sim, contexts: build(sim).map((body, i) => new Task(`task ${i}`, body)), check: () => null };
  };
}

/** What a search finds without being asked for it. */
export type Found = [name: string, message: RegExp, program: Scenario];

/** Each is found, by plain enumeration and by the reduction. */
export function itFinds(cases: readonly Found[]): void {
  it.each(cases)("%s", (_name, message, program) => {
    expect(explore(program, { accesses: 400 })).toMatchObject({ verdict: "violation", message: expect.stringMatching(message) });
  });

  it.each(cases)("%s: also by the reduction", (name, message, program) => {
    const { violation } = search(protocolOf(name, program), { strategy: "dpor", steps: 400, shrink: false });
    expect(violation?.message).toMatch(message);
  });
}
