import { describe, expect, it } from "vitest";
import { deep, long } from "../../explore/search.fixture.js";
import { search } from "../../explore/search.js";
import { PersonError } from "../../sim/person-error.js";
import { STRAIGHT } from "../../sim/step.js";
import { searchInParallel } from "./parallel.js";

const STRATEGIES = ["preemption", "dfs", "dpor", "random", "pct"] as const;
const loader = new URL("../../explore/search.fixture.js", import.meta.url).href;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("a search on workers", () => {
  it.each(STRATEGIES)("%s: the same report for any number of workers", async (strategy) => {
    const options = { strategy, preemptions: Infinity, executions: 1_500 };
    for (const [protocol, workers] of [[long, 2], [deep, 3]] as const)
      expect(await searchInParallel(protocol, { loader, source: protocol.name }, options, workers)).toEqual(search(protocol, options));
  });

  it.each(STRATEGIES)("%s: goes on where it was stopped, with another number of workers, and repeats nothing", async (strategy) => {
    const options = { strategy, preemptions: 5, executions: 5_000, steps: 100 };
    const source = { loader, source: long.name };
    const all = search(long, options);
    const stopped = await searchInParallel(long, source, options, 2, ({ executions }) => executions < 300);
    expect([stopped.executions > 200, stopped.executions < all.executions, stopped.exhausted]).toEqual([true, true, false]);
    const resume = JSON.parse(JSON.stringify(stopped.open)) as typeof stopped.open;
    const { executions, steps, blocked, exhausted, open, guarantee } = await searchInParallel(long, source, { ...options, resume }, 3);
    expect({ executions, steps, blocked, exhausted, open, guarantee }).toEqual({ executions: all.executions, steps: all.steps, blocked: all.blocked, exhausted: all.exhausted, open: undefined, guarantee: all.guarantee });
  });

  it("tells a worker's failure, and refuses none at all", async () => {
    await expect(searchInParallel(long, { loader, source: "nothing" }, { strategy: "random", executions: 1e9 }, 2)).rejects.toThrow("no protocol nothing");
    await expect(searchInParallel(long, { loader, source: long.name }, {}, 0)).rejects.toThrow(PersonError);
  });
});
