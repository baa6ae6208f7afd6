import { PersonError } from "../sim/person-error.js";
import { Random } from "../sim/random.js";
import { assignmentOf, mechanismsFor } from "./assign.js";
import { readBoard } from "./read-board.js";

export interface FdtSoak {
  readonly mutations: number;
  readonly read: number;
  readonly refused: number;
  /** Anything but a board or one sentence: the mutation's number and what it did. */
  readonly faults: readonly string[];
  readonly slowestMs: number;
}

const INTERESTING = [0, 1, 2, 3, 4, 9, 0x7fffffff, 0x80000000, 0xffffffff, 0xd00dfeed, 64, 255];

/**
 * Mutates device trees and reads them: each must give a board or a PersonError of one sentence, soon. Same seed, same mutations.
 * @param now the caller's clock, milliseconds
 */
export function soakFdt(files: readonly Uint8Array[], mutations: number, seed: number, now: () => number): FdtSoak {
  const random = new Random(seed);
  const faults: string[] = [];
  let read = 0;
  let refused = 0;
  let slowestMs = 0;
  for (let i = 0; i < mutations; i++) {
    const bytes = mutate(files[random.below(files.length)], random);
    const start = now();
    try {
      const board = readBoard(bytes, "mutated", { assumeIommu: i % 2 === 0 });
      for (const device of board.devices) {
        assignmentOf(board, device);
        for (const interrupt of device.interrupts) mechanismsFor(board, device, interrupt);
      }
      read++;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof PersonError && isSentence(message)) refused++;
      else faults.push(`mutation ${i} of seed ${seed}: ${message}`);
    }
    slowestMs = Math.max(slowestMs, now() - start);
  }
  return { mutations, read, refused, faults, slowestMs };
}

/** One line, printable, of a length that a person reads. */
function isSentence(message: string): boolean {
  return message.length > 10 && message.length < 2000 && /^[\x20-\x7e]*$/.test(message);
}

/** One to four of: a flipped bit, a byte, a cell (often a telling one), a cut, a copied or swapped stretch. */
function mutate(original: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let n = 1 + random.below(4); n > 0 && bytes.length > 0; n--) bytes = mutateOnce(bytes, random);
  return bytes;
}

function mutateOnce(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length);
  const cell = at & ~3;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (random.below(8)) {
    case 0:
      bytes[at] ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at] = random.below(256);
      return bytes;
    case 2:
    case 3:
      if (cell + 4 <= bytes.length) view.setUint32(cell, INTERESTING[random.below(INTERESTING.length)]);
      return bytes;
    case 4:
      if (cell + 4 <= bytes.length) view.setUint32(cell, (view.getUint32(cell) + (random.below(2) === 0 ? 1 : -1)) >>> 0);
      return bytes;
    case 5:
      if (bytes.length >= 40) view.setUint32(4 * random.below(10), random.below(bytes.length + 64));
      return bytes;
    case 6:
      bytes.copyWithin(cell, random.below(bytes.length) & ~3, Math.min(bytes.length, (random.below(bytes.length) & ~3) + 4 * random.below(64)));
      return bytes;
    default:
      return random.below(8) === 0 ? bytes.slice(0, at) : bytes;
  }
}
