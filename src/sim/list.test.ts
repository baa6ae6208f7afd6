import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KernelList, ListLink, UseAfterFree } from "./list.js";
import { run } from "./step.js";

/** The owners as a reader meets them. */
function walk(list: KernelList<number>, links: ReadonlyMap<number, ListLink<number>>): number[] {
  const met: number[] = [];
  for (let owner = run(list.first()); owner !== null; ) {
    met.push(owner);
    const link = links.get(owner);
    if (link === undefined) throw new Error("an owner without a link");
    owner = run(list.next(link));
  }
  return met;
}

describe("kernel lists", () => {
  it("equal an array under any additions and removals, for readers and for writers", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom("head", "tail", "remove"), fc.nat(30))), (operations) => {
        const list = new KernelList<number>();
        const links = new Map<number, ListLink<number>>();
        let model: number[] = [];
        operations.forEach(([kind, index], i) => {
          if (kind === "remove") {
            const gone = model[index % (model.length || 1)];
            const link = links.get(gone);
            if (link === undefined) return;
            run(list.remove(link));
            expect(list.has(link)).toBe(false);
            model = model.filter((owner) => owner !== gone);
          } else {
            const link = new ListLink(i);
            links.set(i, link);
            run(kind === "head" ? list.addHead(link) : list.addTail(link));
            expect(list.has(link)).toBe(true);
            if (kind === "head") model.unshift(i);
            else model.push(i);
          }
          expect(walk(list, links)).toEqual(model);
          expect(list.toArray()).toEqual(model);
          expect(list.isEmpty()).toBe(model.length === 0);
        });
      }),
      { numRuns: 50 },
    );
  });

  it("let a reader that stands on a removed element go on, and report one that meets a freed element", () => {
    const list = new KernelList<string>();
    const [a, b] = [new ListLink("a"), new ListLink("b")];
    run(list.addTail(a));
    run(list.addTail(b));
    run(list.remove(a));
    expect(run(list.next(a))).toBe("b");
    a.poison();
    expect(() => run(list.next(a))).toThrow(UseAfterFree);
    b.poison();
    expect(() => run(list.first())).toThrow(UseAfterFree);
  });
});
