import { describe, expect, it } from "vitest";
import { deep, long } from "../../explore/search.fixture.js";
import { search } from "../../explore/search.js";
import { PersonError } from "../../sim/person-error.js";
import { STRAIGHT } from "../../sim/step.js";
import { searchInParallel } from "./parallel.js";

const loader = new URL("../../explore/search.fixture.js", import.meta.url).href;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("a search on workers", () => {
  it.each(["preemption", "dfs", "dpor", "random", "pct"] as const)("%s: the same report for any number of workers", async (strategy) => {
    const options = { strategy, preemptions: Infinity, executions: 1_500 };
    for (const [protocol, workers] of [[long, 2], [deep, 3]] as const)
      expect(await searchInParallel(protocol, { loader, source: protocol.name }, options, workers)).toEqual(search(protocol, options));
  });

  it("goes on where it was stopped, with another number of workers", async () => {
    const options = { strategy: "dpor", executions: 5_000 } as const;
    const source = { loader, source: long.name };
    const stopped = await searchInParallel(long, source, options, 2, ({ executions }) => executions < 300);
    expect(stopped.executions).toBeGreaterThan(200);
    expect(stopped.open).toBeDefined();
    const { executions, exhausted } = await searchInParallel(long, source, { ...options, resume: stopped.open }, 3);
    expect({ executions, exhausted }).toEqual({ executions: search(long, options).executions, exhausted: true });
  });

  it("tells a worker's failure, and refuses none at all", async () => {
    await expect(searchInParallel(long, { loader, source: "nothing" }, { strategy: "random", executions: 1e9 }, 2)).rejects.toThrow("no protocol nothing");
    await expect(searchInParallel(long, { loader, source: long.name }, {}, 0)).rejects.toThrow(PersonError);
  });
});
