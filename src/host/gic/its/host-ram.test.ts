import { describe, expect, it } from "vitest";
import { HostRam } from "./host-ram.js";

const START = 0x4000_0000;
const SIZE = 0x2_0000;

describe("memory of the controllers' tables", () => {
  it("is little-endian: bytes, words and rows of words are the same memory", () => {
    const ram = new HostRam(START, SIZE);
    for (let i = 0; i < 8; i++) ram.setU8(START + 8 + i, 0xf0 + i);
    expect(ram.word(START + 8) >>> 0).toBe(0xf3f2f1f0);
    const row = new Int32Array(8);
    ram.row(START, row);
    expect([...row]).toEqual([0, 0, 0xf3f2f1f0 | 0, 0xf7f6f5f4 | 0, 0, 0, 0, 0]);
    const words = Int32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c, 0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c);
    ram.setRow(START + 0x1_0000, words);
    expect(Array.from({ length: 32 }, (_, i) => ram.u8(START + 0x1_0000 + i))).toEqual(Array.from({ length: 32 }, (_, i) => i));
    ram.row(START + 0x1_0000, row);
    expect(row).toEqual(words);
    ram.setU8(START + 9, 0x01);
    expect(ram.word(START + 8) >>> 0).toBe(0xf3f201f0);
  });

  it("assigns bits of a byte and tells whether that changed it, the neighbours left alone", () => {
    const ram = new HostRam(START, SIZE);
    ram.setWord(START, 0x80_00_00_80 | 0);
    expect([ram.assign(START + 3, 0x80, true), ram.assign(START + 3, 0x01, true), ram.assign(START + 3, 0x80, false), ram.assign(START, 0x01, false)]).toEqual([false, true, true, false]);
    expect(ram.word(START)).toBe(0x01_00_00_80);
  });

  it("fills across frames, and only what was asked for", () => {
    const ram = new HostRam(START, SIZE);
    ram.fill(START + 0xfff8, 16, 0xa2);
    expect([0xfff4, 0xfff8, 0x1_0004, 0x1_0008].map((at) => ram.word(START + at) >>> 0)).toEqual([0, 0xa2a2a2a2, 0xa2a2a2a2, 0]);
    ram.fill(START + 0xfffc, 8, 0);
    expect([0xfff8, 0xfffc, 0x1_0000, 0x1_0004].map((at) => ram.word(START + at) >>> 0)).toEqual([0xa2a2a2a2, 0, 0, 0xa2a2a2a2]);
  });

  it("is zero where nothing was stored, and no memory outside", () => {
    const ram = new HostRam(START, SIZE);
    expect([ram.u8(START), ram.word(START + 0x1_0000)]).toEqual([0, 0]);
    for (const at of [START - 1, START + SIZE]) {
      ram.setU8(at, 1);
      expect([ram.u8(at), ram.assign(at, 1, true)]).toEqual([-1, false]);
    }
  });
});
