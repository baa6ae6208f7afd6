import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../sim/random.js";
import { AddressSpace } from "./memory.js";

const PAGE = 4096;
const BASE = 0x10000;

function mapped(pages = 4): AddressSpace {
  const memory = new AddressSpace();
  memory.map(BASE, pages * PAGE);
  return memory;
}

describe("an address space", () => {
  it("reads zeroes until written, and bytes equal words at every alignment and across pages", () => {
    fc.assert(
      fc.property(fc.nat(2 * PAGE), fc.integer({ min: 0, max: 0xffff_ffff }), (offset, value) => {
        const memory = mapped();
        const at = BASE + offset;
        expect(memory.getU32(at)).toBe(0);
        memory.setU32(at, value);
        expect(memory.getU32(at)).toBe(value);
        const bytes = [0, 1, 2, 3].map((i) => memory.getU8(at + i));
        expect(bytes).toEqual([0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff));
        memory.setU64(at, value * 0x10_0000 + 5);
        expect(memory.getU64(at)).toBe(value * 0x10_0000 + 5);
      }),
    );
  });

  it("keeps what a page has when more of it is accessed, and hardware's hold of a page has all of it when its process unmaps it", () => {
    const memory = mapped(2);
    memory.setU32(BASE + 8, 0x1234_5678);
    const pin = memory.pin(BASE, PAGE);
    memory.setU32(BASE + PAGE + 8, 5);
    memory.setU32(BASE + 2 * PAGE - 4, 6);
    expect([memory.getU32(BASE + PAGE + 8), memory.getU32(BASE + 2 * PAGE - 4)]).toEqual([5, 6]);
    memory.unmap(BASE, PAGE);
    expect(pin.frame(8).getUint32(8, true)).toBe(0x1234_5678);
    pin.frame(PAGE - 4).setUint32(PAGE - 4, 7, true);
    expect(pin.frame(0).getUint32(PAGE - 4, true)).toBe(7);
  });

  it("a view of a page that hardware has is the process's own", () => {
    const memory = mapped(1);
    memory.setU8(BASE, 1);
    const frame = memory.pin(BASE, PAGE).frame(0);
    frame.setUint8(0, 2);
    memory.setU8(BASE + PAGE - 1, 3);
    expect([memory.getU8(BASE), frame.getUint8(PAGE - 1)]).toEqual([2, 3]);
  });

  it("copies nothing where a part is not mapped or not writable", () => {
    const memory = mapped(1);
    memory.map(BASE + PAGE, PAGE, { writable: false });
    const bytes = new Uint8Array(16).fill(7);
    expect(memory.copyOut(BASE + PAGE - 8, bytes)).toBe(false);
    expect(memory.getU8(BASE + PAGE - 8)).toBe(0);
    expect(memory.copyIn(BASE + PAGE - 8, bytes)).toBe(true);
    expect(memory.copyIn(BASE + 2 * PAGE - 8, bytes)).toBe(false);
    expect(memory.copyIn(-4, bytes)).toBe(false);
  });

  it("a structure is copied like its bytes, wherever it lies and however long it is", () => {
    const memory = mapped(2);
    for (let i = 0; i < 2 * PAGE; i++) memory.setU8(BASE + i, (i * 7 + (i >> 8)) & 0xff);
    for (const start of [0, 1, PAGE - 17, PAGE - 16, PAGE - 4, PAGE - 1, 2 * PAGE - 16, 2 * PAGE - 8])
      for (const length of [0, 1, 4, 7, 16]) {
        const [bytes, structure] = [new Uint8Array(16), new Uint8Array(16)];
        const isCopied = memory.copyIn(BASE + start, bytes, length);
        expect(memory.copyStructure(BASE + start, new DataView(structure.buffer), length)).toBe(isCopied);
        expect([start, length, structure]).toEqual([start, length, bytes]);
      }
  });

  it("keeps device regions apart: system calls cannot copy from them", () => {
    const memory = mapped(1);
    const region = {
      *read() {
        return 0;
      },
      *write() {},
    };
    memory.map(BASE + PAGE, PAGE, { region, regionOffset: 0x100 });
    expect(memory.isReadable(BASE, 2 * PAGE)).toBe(false);
    expect(memory.areaAt(BASE + PAGE + 4)).toMatchObject({ kind: "device", regionOffset: 0x100 });
  });

  it("knows no address beyond 2^53", () => {
    const memory = mapped(1);
    for (const address of [Infinity, Number.NaN, 2 ** 53, 2 ** 60, -8]) expect([memory.isReadable(address, 8), memory.isWritable(address, 0)]).toEqual([false, false]);
  });

  it("refuses to map over an area, and finds the lowest free range", () => {
    const memory = mapped(2);
    expect(memory.map(BASE + PAGE, PAGE)).toBe(false);
    expect(memory.findFree(PAGE, BASE)).toBe(BASE + 2 * PAGE);
    memory.unmap(BASE, PAGE);
    expect(memory.findFree(PAGE, BASE)).toBe(BASE);
    expect(memory.findFree(2 * PAGE, BASE)).toBe(BASE + 2 * PAGE);
  });

  it("unmaps any pages of an area, whose rest keeps its bytes and its place in its region", () => {
    fc.assert(
      fc.property(fc.nat(6), fc.nat(6), (first, count) => {
        const memory = mapped(8);
        for (let page = 0; page < 8; page++) memory.setU32(BASE + page * PAGE, page + 1);
        memory.unmap(BASE + first * PAGE, count * PAGE);
        for (let page = 0; page < 8; page++) {
          const isGone = page >= first && page < first + count;
          expect(memory.isReadable(BASE + page * PAGE, PAGE)).toBe(!isGone);
          if (!isGone) expect(memory.getU32(BASE + page * PAGE)).toBe(page + 1);
          const area = memory.areaAt(BASE + page * PAGE);
          if (area !== null) expect(area.regionOffset - area.start).toBe(-BASE);
        }
        memory.map(BASE + first * PAGE, count * PAGE);
        for (let page = first; page < Math.min(8, first + count); page++) expect(memory.getU32(BASE + page * PAGE)).toBe(0);
      }),
    );
  });

  it("keeps the frames of a pin when the process unmaps them", () => {
    const memory = mapped(2);
    const pin = memory.pin(BASE, 2 * PAGE);
    memory.setU32(BASE + PAGE, 5);
    memory.unmap(BASE, 2 * PAGE);
    expect(pin.frame(PAGE).getUint32(0, true)).toBe(5);
    memory.map(BASE, 2 * PAGE);
    expect(memory.getU32(BASE + PAGE)).toBe(0);
  });

  it("areas are found whatever was mapped and unmapped in whatever order", () => {
    const random = new Random(7);
    const memory = new AddressSpace();
    const pages = new Set<number>();
    for (let n = 0; n < 2000; n++) {
      const [first, count] = [random.below(64), 1 + random.below(6)];
      const range = Array.from({ length: count }, (_, i) => first + i);
      if (random.below(3) === 0) {
        memory.unmap(first * PAGE, count * PAGE);
        for (const page of range) pages.delete(page);
      } else {
        const isFree = range.every((page) => !pages.has(page));
        expect(memory.map(first * PAGE, count * PAGE)).toBe(isFree);
        if (isFree) for (const page of range) pages.add(page);
      }
      const at = random.below(72);
      expect(memory.areaAt(at * PAGE + 5) !== null).toBe(pages.has(at));
      let free = at;
      while ([0, 1].some((i) => pages.has(free + i))) free++;
      expect(memory.findFree(2 * PAGE, at * PAGE)).toBe(free * PAGE);
    }
  });
});
