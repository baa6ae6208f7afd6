import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytes, s32, s64, s8, struct, u16, u32, u32s, u64, u64s, u8 } from "./struct.js";

const sample = struct("sample", 80, {
  a: u8(0),
  b: s8(1),
  c: u16(2),
  d: u32(4),
  e: s32(8),
  f: u64(16),
  g: s64(24),
  raw: bytes(33, 5),
  list: u32s(40, 3),
  wide: u64s(56, 2),
  union: { x: { y: u32(72) } },
});
const view = new DataView(new ArrayBuffer(256), 8);
const bases = fc.integer({ min: 0, max: 100 });

describe("struct", () => {
  const narrow = [
    [sample.a, 0, 0xff],
    [sample.b, -0x80, 0x7f],
    [sample.c, 0, 0xffff],
    [sample.d, 0, 0xffff_ffff],
    [sample.e, -0x8000_0000, 0x7fff_ffff],
    [sample.list[2], 0, 0xffff_ffff],
    [sample.union.x.y, 0, 0xffff_ffff],
  ] as const;

  it("gives back what was set, at any base, and touches no other byte", () => {
    for (const [field, min, max] of narrow) {
      fc.assert(
        fc.property(fc.integer({ min, max }), bases, fc.integer({ min: 0, max: 255 }), (value, base, fill) => {
          new Uint8Array(view.buffer).fill(fill);
          field.set(view, value, base);
          expect(field.get(view, base)).toBe(value);
          const at = view.byteOffset + base + field.offset;
          new Uint8Array(view.buffer).forEach((byte, i) => {
            if (i < at || i >= at + field.width) expect(byte).toBe(fill);
          });
        }),
        { numRuns: 30 },
      );
      for (const edge of [min, max]) {
        field.set(view, edge);
        expect(field.get(view)).toBe(edge);
      }
    }
  });

  it("refuses a value that does not fit and leaves the bytes alone", () => {
    for (const [field, min, max] of narrow) {
      field.set(view, 1);
      for (const bad of [min - 1, max + 1, 0.5, NaN, Infinity, -Infinity, 2 ** 32 + 1]) {
        expect(() => field.set(view, bad)).toThrow(RangeError);
      }
      expect(field.get(view)).toBe(1);
    }
    expect(() => sample.d.set(view, -1)).toThrow("sample.d: -1 does not fit");
    expect(() => sample.list[2].set(view, -1)).toThrow("sample.list.2: -1 does not fit");
    expect(() => sample.union.x.y.set(view, -1)).toThrow("sample.union.x.y: -1 does not fit");
  });

  it("is little endian whatever the host is", () => {
    const raw = new Uint8Array(view.buffer, view.byteOffset);
    sample.c.set(view, 0x0102);
    sample.d.set(view, 0x01020304);
    sample.e.set(view, -2);
    sample.f.setBig(view, 0x0102030405060708n);
    sample.g.setNumber(view, -2);
    expect([...raw.subarray(2, 12)]).toEqual([2, 1, 4, 3, 2, 1, 0xfe, 0xff, 0xff, 0xff]);
    expect([...raw.subarray(16, 32)]).toEqual([8, 7, 6, 5, 4, 3, 2, 1, 0xfe, ...Array<number>(7).fill(0xff)]);
  });

  it("u64: halves, number and bigint are views of the same 64 bits", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), bases, (value, base) => {
        sample.f.setBig(view, value, base);
        expect(sample.f.getBig(view, base)).toBe(value);
        expect(sample.f.lo(view, base)).toBe(Number(value & 0xffff_ffffn));
        expect(sample.f.hi(view, base)).toBe(Number(value >> 32n));
        const exact = value <= BigInt(Number.MAX_SAFE_INTEGER);
        expect(sample.f.getNumber(view, base)).toBe(exact ? Number(value) : Infinity);
        sample.wide[1].setHalves(view, sample.f.lo(view, base) | 0, sample.f.hi(view, base));
        expect(sample.wide[1].getBig(view)).toBe(value);
      }),
    );
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        sample.f.setNumber(view, value);
        expect(sample.f.getNumber(view)).toBe(value);
        expect(sample.f.getBig(view)).toBe(BigInt(value));
      }),
    );
  });

  it("u64 getNumber is exact at 2^53 - 1 and Infinity at 2^53", () => {
    sample.f.setBig(view, 2n ** 53n - 1n);
    expect(sample.f.getNumber(view)).toBe(Number.MAX_SAFE_INTEGER);
    sample.f.setBig(view, 2n ** 53n);
    expect(sample.f.getNumber(view)).toBe(Infinity);
  });

  it("s64: negative numbers keep their sign, and numbers too large become infinite", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        sample.g.setNumber(view, value);
        expect(sample.g.getNumber(view)).toBe(value);
        expect(sample.g.getBig(view)).toBe(BigInt(value));
      }),
    );
    for (const [big, number] of [
      [-(2n ** 63n), -Infinity],
      [2n ** 63n - 1n, Infinity],
      [-(2n ** 53n), -Infinity],
      [1n - 2n ** 53n, Number.MIN_SAFE_INTEGER],
    ] as const) {
      sample.g.setBig(view, big);
      expect(sample.g.getNumber(view)).toBe(number);
    }
  });

  it("64-bit fields refuse what does not fit", () => {
    sample.f.setNumber(view, 7);
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) expect(() => sample.f.setNumber(view, bad)).toThrow(RangeError);
    for (const bad of [-1n, 2n ** 64n]) expect(() => sample.f.setBig(view, bad)).toThrow("sample.f");
    for (const bad of [2 ** 32, -(2 ** 31) - 1, 0.5]) {
      expect(() => sample.f.setHalves(view, bad, 0)).toThrow(RangeError);
      expect(() => sample.f.setHalves(view, 0, bad)).toThrow(RangeError);
    }
    expect(sample.f.getBig(view)).toBe(7n);
    for (const bad of [2 ** 53, -(2 ** 53), 0.5]) expect(() => sample.g.setNumber(view, bad)).toThrow(RangeError);
    for (const bad of [2n ** 63n, -(2n ** 63n) - 1n]) expect(() => sample.g.setBig(view, bad)).toThrow(RangeError);
  });

  it("bytes are a window, not a copy", () => {
    const window = sample.raw.slice(view, 10);
    window.fill(0x5a);
    expect(window.length).toBe(5);
    expect(view.getUint8(10 + 33)).toBe(0x5a);
    expect(view.getUint8(10 + 37)).toBe(0x5a);
  });

  it("a declaration with a field outside the structure or unaligned is refused", () => {
    expect(() => struct("short", 4, { a: u64(0) })).toThrow("short.a: misplaced at 0");
    expect(() => struct("odd", 16, { a: u32(2) })).toThrow("odd.a: misplaced at 2");
    expect(() => struct("raw", 16, { a: bytes(9, 8) })).toThrow("raw.a: misplaced at 9");
    expect(() => struct("array", 8, { a: u32s(0, 3) })).toThrow("array.a.2: misplaced at 8");
  });

  it("minsz is the size unless it is given", () => {
    expect(sample).toMatchObject({ name: "sample", size: 80, minsz: 80 });
    expect(struct("info", 24, { argsz: u32(0) }, 16).minsz).toBe(16);
  });
});
