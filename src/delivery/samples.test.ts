import { expect, it } from "vitest";
import { Samples } from "./samples.js";

it("percentiles are the nearest rank, and nothing sampled is nothing", () => {
  const samples = new Samples();
  expect(samples.distribution()).toBeNull();
  for (let i = 3000; i > 0; i--) samples.add(i);
  expect(samples.distribution()).toEqual({ min: 1, p50: 1500, p99: 2970, max: 3000 });
});
