import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Sim } from "../../sim/sim.js";
import { run } from "../../sim/step.js";
import { Process } from "../process.js";
import { XenGuest, XenHypervisor } from "./hypervisor.js";

const FRAMES = 120;
const MEMORY = 0x10_0000;
const PAGE = 4096;

describe("memory of a guest (vfio.md 21.3)", () => {
  it("is what each frame was given last, however it was given and taken", () => {
    const change = fc.record({ gfn: fc.nat(FRAMES - 40), mfn: fc.constantFrom(1000, 1001, 1040, 5000), count: fc.integer({ min: 1, max: 40 }), isAdd: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const guest = new XenGuest(5);
        const plain = Array.from({ length: FRAMES }, () => -1);
        for (const { gfn, mfn, count, isAdd } of changes) {
          run(isAdd ? guest.setFrames(gfn, mfn + gfn, count) : guest.clearFrames(gfn, count));
          for (let i = 0; i < count; i++) plain[gfn + i] = isAdd ? mfn + gfn + i : -1;
        }
        expect(plain.map((_, gfn) => run(guest.machineFrame(gfn)))).toEqual(plain);
        expect(run(guest.frames())).toBe(plain.filter((mfn) => mfn >= 0).length);
      }),
    );
  });

  it("of a process lies in the machine's frames page by page: what is mapped anew at the same addresses is other memory", () => {
    const sim = new Sim({ cpus: 1 });
    const xen = new XenHypervisor(sim);
    const process = new Process(sim, "vmm");
    const { memory } = process;
    memory.map(MEMORY, 4 * PAGE);
    const frames = (): number[] => [0, 1, 2, 3].map((page) => xen.frameOf(process, MEMORY + page * PAGE));
    const first = frames();
    expect(first).toEqual([0, 1, 2, 3].map((page) => first[0] + page));
    memory.unmap(MEMORY + PAGE, PAGE);
    memory.map(MEMORY + PAGE, PAGE);
    const [a, b, c, d] = frames();
    expect([a, c, d]).toEqual([first[0], first[2], first[3]]);
    expect(first).not.toContain(b);
  });
});
