import { describe, expect, it } from "vitest";
import { Lifetime } from "../sim/lifetime.js";
import { Sim } from "../sim/sim.js";
import { STRAIGHT } from "../sim/step.js";
import { search } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { Cell, Task } from "./small.fixture.js";

describe.skipIf(STRAIGHT)("references that are given back where no count is announced", () => {
  it.each(["dfs", "dpor"] as const)("by %s each of the threads is the last once", (strategy) => {
    const lasts = new Set<number>();
    const protocol = protocolOf("last-reference", () => {
      const lifetime = new Lifetime("thing");
      let references = 3;
      let last = -1;
      const threads = [0, 1, 2].map((i) => {
        const own = new Cell();
        return new Task(`t${i}`, function* () {
          yield* own.get();
          lifetime.lower(--references);
          if (references === 0) last = i;
        });
      });
      return {
        sim: new Sim(),
        contexts: threads,
        check: () => null,
        end() {
          lasts.add(last);
          return null;
        },
      };
    });
    expect(search(protocol, { strategy })).toMatchObject({ verdict: "ok", exhausted: true });
    expect([...lasts].toSorted()).toEqual([0, 1, 2]);
  });
});
