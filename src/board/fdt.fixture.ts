import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type NodeSource, nodesOf } from "./builtin/source.js";
import { type FdtNode } from "./fdt-node.js";

/** The device trees of real machines, which stand beside the project on some computers. */
const FOLDER = new URL("../../../../shared/boards/", import.meta.url);

export const REAL_BOARDS = [
  "amd-overdrive-rev-b1",
  "arm-fvp-base-revc",
  "arm-juno-r2",
  "calxeda-midway-ecx-2000",
  "cavium-thunderx2-99xx",
  "hisilicon-hip07-d05",
  "nxp-lx2160a-rdb",
  "qemu-pseries-power8-xics",
  "qemu-virt-gicv3-its-smmuv3",
] as const;
export type RealBoard = (typeof REAL_BOARDS)[number];

export const realBoardsHere = existsSync(fileURLToPath(FOLDER));
export const WHY_SKIPPED = realBoardsHere ? "" : " (skipped: ../shared/boards is not beside the project)";

export const realPath = (name: RealBoard): string => fileURLToPath(new URL(`${name}.dtb`, FOLDER));

export function realBytes(name: RealBoard): Uint8Array {
  return new Uint8Array(readFileSync(fileURLToPath(new URL(`${name}.dtb`, FOLDER))));
}

/** Writes a tree as a flattened one: what dtc would make of it. */
export function flatten(source: NodeSource, version: 16 | 17 = 17): Uint8Array {
  const names = new Map<string, number>();
  const strings: number[] = [];
  const words: number[] = [];
  emit(nodesOf(source), words, names, strings);
  word(words, 9);
  const head = version === 17 ? 40 : 36;
  const reserve = (head + 7) & ~7;
  const struct = reserve + 16;
  const total = struct + words.length + strings.length;
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  const header = [0xd00dfeed, total, struct, struct + words.length, reserve, version, 16, 0, strings.length, words.length];
  header.slice(0, head / 4).forEach((value, i) => view.setUint32(4 * i, value));
  bytes.set(words, struct);
  bytes.set(strings, struct + words.length);
  return bytes;
}

function emit(node: FdtNode, words: number[], names: Map<string, number>, strings: number[]): void {
  word(words, 1);
  padded(words, Uint8Array.from([...letters(node.name), 0]));
  for (const [name, value] of node.properties) {
    let offset = names.get(name);
    if (offset === undefined) {
      names.set(name, (offset = strings.length));
      strings.push(...letters(name), 0);
    }
    word(words, 3);
    word(words, value.length);
    word(words, offset);
    padded(words, value);
  }
  for (const child of node.children) emit(child, words, names, strings);
  word(words, 2);
}

function word(words: number[], value: number): void {
  words.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

function padded(words: number[], bytes: Uint8Array): void {
  for (const byte of bytes) words.push(byte);
  while (words.length % 4 !== 0) words.push(0);
}

const letters = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));
