import { describe, expect, it } from "vitest";
import { AddressSpace } from "../host/memory.js";
import { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import { run } from "../sim/step.js";
import { KVM_MEM_READONLY } from "../uapi/kvm.js";
import { SlotRam } from "./guest-ram.js";
import { MemorySlots } from "./memslots.js";

const PAGE = 0x1000;
const GPA = 0x8000_0000;
const HVA = 0x10_0000;

/** Three pages of a guest, in slots that lie the other way round in the process; the last one is read-only; another is there in the slot alone. */
function scene(): { ram: SlotRam; memory: AddressSpace } {
  const memory = new AddressSpace();
  memory.map(HVA, 3 * PAGE);
  const slots = new MemorySlots(40, memory);
  [2, 1, 0, 5].forEach((page, slot) => expect(run(slots.set(slot, slot === 2 ? KVM_MEM_READONLY : 0, GPA + slot * PAGE, PAGE, HVA + page * PAGE, true, false))).toBe(0));
  return { ram: new SlotRam(slots, memory, new Srcu(new Sim({ cpus: 1 }), "kvm->srcu")), memory };
}

describe("guest memory by its slots", () => {
  it("copies words from page to page, each where its slot shows it", () => {
    const { ram, memory } = scene();
    const words = Int32Array.of(1, -2, 3, -4);
    expect(run(ram.writeWords(GPA + PAGE - 8, words, 4))).toBe(true);
    expect([HVA + 3 * PAGE - 8, HVA + 3 * PAGE - 4, HVA + PAGE, HVA + PAGE + 4].map((at) => memory.getU32(at) | 0)).toEqual([...words]);
    const read = new Int32Array(4);
    expect(run(ram.readWords(GPA + PAGE - 8, read, 4))).toBe(true);
    expect(read).toEqual(words);
  });

  it("refuses words of which any is no memory, may not be written, or lies in two slots", () => {
    const { ram } = scene();
    const words = new Int32Array(4);
    expect(run(ram.readWords(GPA + 3 * PAGE - 8, words, 2))).toBe(true);
    expect(run(ram.readWords(GPA + 3 * PAGE - 8, words, 4))).toBe(false);
    expect(run(ram.readWords(GPA - 4, words, 2))).toBe(false);
    expect(run(ram.writeWords(GPA + 2 * PAGE - 8, words, 2))).toBe(true);
    expect(run(ram.writeWords(GPA + 2 * PAGE - 8, words, 4))).toBe(false);
    expect(run(ram.readWords(GPA + PAGE - 2, words, 1))).toBe(false);
    expect(run(ram.readWords(GPA + PAGE - 8, words, 0))).toBe(true);
  });
});
