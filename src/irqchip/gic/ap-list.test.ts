import { describe, expect, it } from "vitest";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { ApList } from "./ap-list.js";
import { VgicIrq } from "./vgic-irq.js";

const SIZES = [0, 1, 2, 3, 5, 8, 13, 31, 64, 100];

function* filled(sim: Sim, keys: readonly number[]): Step<ApList> {
  const list = new ApList(sim);
  yield* list.lock.lock();
  for (let i = 0; i < keys.length; i++) {
    const irq = new VgicIrq(sim, i, null, 3);
    yield* list.append(irq);
    irq.sortKey = keys[i];
  }
  list.sort();
  return list;
}

describe("ap_list", () => {
  it("sorts by key and keeps the order of equals", () => {
    const sim = new Sim();
    for (const size of SIZES) {
      const keys = Array.from({ length: size }, () => sim.random.below(6));
      const list = run(filled(sim, keys));
      const expected = keys.map((_, i) => i).sort((a, b) => keys[a] - keys[b] || a - b);
      expect(list.intids()).toEqual(expected);
      expect(list.count).toBe(size);
      expect(list.tail?.intid).toBe(expected.at(-1));
    }
  });

  it("removes the first, a middle and the last entry, after a sort too", () => {
    const sim = new Sim();
    const list = run(filled(sim, [3, 1, 2, 0]));
    expect(list.intids()).toEqual([3, 1, 2, 0]);
    const [first, second, third, fourth] = [list.head, list.head?.apNext, list.head?.apNext?.apNext, list.tail];
    for (const [irq, rest] of [
      [second, [3, 2, 0]],
      [first, [2, 0]],
      [fourth, [2]],
      [third, []],
    ] as const) {
      if (!irq) throw new Error("the list is shorter than it should be");
      run(list.remove(irq));
      expect(list.intids()).toEqual(rest);
      expect(irq.apList).toBeNull();
    }
    expect(list.tail).toBeNull();
  });
});
