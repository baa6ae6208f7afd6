import { describe, expect, it } from "vitest";
import { columns, type Execution, type Hop, meetings } from "./columns.js";

function hop(actor: number, verb: string, object: string, more: Partial<Hop> = {}): Hop {
  return { actor, verb, object, field: "", site: "src/kvm/irqfd.ts:41", events: [], ...more };
}

const LOST: Execution = {
  lanes: [
    { name: "assign", kind: "user" },
    { name: "raise", kind: "hardirq" },
  ],
  hops: [
    hop(0, "acquires", "Mutex"),
    hop(0, "reads", "EventfdContext", { field: "count" }),
    hop(1, "reads", "Theirs"),
    hop(1, "writes", "EventfdContext", { field: "count", events: ["eventfd_signal(3)"] }),
    hop(0, "releases", "Mutex"),
    hop(0, "reads", "Own"),
  ],
  fault: "H1: the event is lost",
};

describe("an execution as columns", () => {
  it("has a column for each context, a line for each access that matters with its place, and folds the rest", () => {
    expect(columns(LOST, { width: 80 }).split("\n")).toEqual([
      "      assign (user)    raise (hardirq)",
      "      |                |",
      "      . 1 more         |",
      "   2  reads EventfdContext.count                                 kvm/irqfd.ts:41",
      "      |                . 1 more",
      "   4  |                writes EventfdContext.count               kvm/irqfd.ts:41",
      "      |                  => eventfd_signal id=3",
      "      . 1 more         |",
      "   6  reads Own        |                                         kvm/irqfd.ts:41",
      "",
      "  !!  H1: the event is lost",
    ]);
  });

  it("shows every access when asked to", () => {
    expect(columns(LOST, { isWhole: true })).not.toContain("more");
    expect(columns(LOST, { isWhole: true })).toContain("   1  acquires Mutex");
  });

  it("keeps to its width, with as many contexts as there are, and ends no line in blanks", () => {
    for (const count of [1, 2, 3, 8, 15]) {
      const lanes = Array.from({ length: count }, (_, i) => ({ name: `a context with a long name ${i}`, kind: "user" }));
      const hops = lanes.map((_, i) => hop(i, "writes", "AnObjectWithAVeryLongNameIndeed", { field: "andAFieldWithALongNameToo" }));
      for (const line of columns({ lanes, hops, fault: null }, { width: 100 }).split("\n")) {
        expect(line.length).toBeLessThanOrEqual(100);
        expect(line).toBe(line.trimEnd());
      }
    }
  });

  it("takes one line for a context that does the same again and again", () => {
    const hops = [...Array.from({ length: 40 }, () => hop(0, "reads", "Irq")), hop(1, "writes", "Irq")];
    const text = columns({ lanes: LOST.lanes, hops, fault: null }, { isWhole: true });
    expect(text).toContain("   1  reads Irq, 40 times");
    expect(text).toContain("  41  |");
  });

  it("colours only by the paint it is given", () => {
    const paint = { heading: (t: string) => `<b>${t}</b>`, faint: (t: string) => t, fault: (t: string) => `<f>${t}</f>`, lane: (_: number, t: string) => t };
    expect(columns(LOST, { paint })).toContain("<b>assign (user)</b>");
    expect(columns(LOST, { paint })).toContain("<f>  !!  H1");
    expect(columns(LOST)).not.toContain("<");
  });
});

describe("contexts meet", () => {
  const of = (...hops: Hop[]): boolean[] => meetings(hops);

  it("where an object that one of them changes passes from one to the other", () => {
    expect(of(hop(0, "reads", "A"), hop(1, "writes", "A"), hop(1, "writes", "B"))).toEqual([true, true, false]);
    expect(of(hop(0, "reads", "A"), hop(1, "reads", "A"))).toEqual([false, false]);
    expect(of(hop(0, "writes", "A"), hop(0, "writes", "A"))).toEqual([false, false]);
    expect(of(hop(0, "writes", "A"), hop(0, "writes", "A"), hop(1, "reads", "A"), hop(1, "reads", "A"), hop(0, "writes", "A"))).toEqual([false, true, true, true, true]);
  });

  it("at a lock where it is taken, not where it is given back", () => {
    const of0 = [hop(0, "acquires", "L"), hop(0, "releases", "L")];
    expect(of(...of0, hop(1, "acquires", "L"), hop(1, "releases", "L"))).toEqual([true, false, true, false]);
    expect(of(...of0, ...of0)).toEqual([false, false, false, false]);
  });

  it("where one waits while others move", () => {
    expect(of(hop(0, "waits for", "Flush"), hop(1, "writes", "A"))).toEqual([true, false]);
    expect(of(hop(0, "waits for", "Flush"), hop(0, "writes", "A"))).toEqual([false, false]);
  });
});
