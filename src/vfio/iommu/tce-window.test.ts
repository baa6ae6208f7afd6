import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IommuDomain } from "../../host/iommu/domain.js";
import { AddressSpace } from "../../host/memory.js";
import { run } from "../../sim/step.js";
import { type TceBacking, TceWindow } from "./tce-window.js";

const PAGES = 64;
const PAGE = 4096n;

interface Lent extends TceBacking {
  isHeld: boolean;
}

describe("a window of translation control entries (vfio.md 18)", () => {
  it("lets go of memory with the last entry that leads there, whatever was overwritten or cleared before", () => {
    const change = fc.record({ page: fc.nat(PAGES - 16), count: fc.integer({ min: 1, max: 16 }), isPut: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const memory = new AddressSpace();
        memory.map(0, PAGES * Number(PAGE));
        const domain = new IommuDomain("tce", { pageSizes: PAGE });
        const window = new TceWindow(0n, BigInt(PAGES) * PAGE, 12, 0);
        const plain = Array.from({ length: PAGES }, (): Lent | null => null);
        const all: Lent[] = [];
        for (const { page, count, isPut } of changes) {
          const [iova, size] = [BigInt(page) * PAGE, BigInt(count) * PAGE];
          const backing: Lent = { pages: memory.pin(0, Number(size)), entries: 0, isHeld: true, released: () => void (backing.isHeld = false) };
          if (isPut) all.push(backing);
          run(isPut ? window.put(domain, iova, size, backing, 0, true, true) : window.clear(domain, iova, size));
          plain.fill(isPut ? backing : null, page, page + count);
          const entries = all.map((each) => plain.filter((lent) => lent === each).length);
          expect(all.map((each) => each.entries)).toEqual(entries);
          expect(all.map((each) => each.isHeld)).toEqual(entries.map((left) => left > 0));
          expect(plain.map((_, i) => run(domain.walk(0, i * Number(PAGE))) !== 0)).toEqual(plain.map((lent) => lent !== null));
        }
      }),
    );
  });
});
