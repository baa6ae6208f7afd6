// 256 bits, one for each vector, as the registers of a local APIC hold them: bit v mod 32 of the register v / 32, a
// register every 16 bytes (SDM 12.8.4); the words between are not part of the set.

const STRIDE_SHIFT = 2;
const LAST_WORD = 7;

export function hasVector(set: Int32Array, vector: number): boolean {
  return (set[(vector >> 5) << STRIDE_SHIFT] & (1 << (vector & 31))) !== 0;
}

export function addVector(set: Int32Array, vector: number): void {
  set[(vector >> 5) << STRIDE_SHIFT] |= 1 << (vector & 31);
}

export function removeVector(set: Int32Array, vector: number): void {
  set[(vector >> 5) << STRIDE_SHIFT] &= ~(1 << (vector & 31));
}

/** Adds all vectors of word `word` that are set in `bits`. */
export function addVectors(set: Int32Array, word: number, bits: number): void {
  set[word << STRIDE_SHIFT] |= bits;
}

export function clearVectors(set: Int32Array): void {
  for (let word = 0; word <= LAST_WORD; word++) set[word << STRIDE_SHIFT] = 0;
}

/** The most urgent vector, -1 when the set is empty. */
export function highestVector(set: Int32Array): number {
  for (let word = LAST_WORD; word >= 0; word--) {
    const bits = set[word << STRIDE_SHIFT];
    if (bits !== 0) return (word << 5) + 31 - Math.clz32(bits);
  }
  return -1;
}

export function countVectors(set: Int32Array): number {
  let count = 0;
  for (let word = 0; word <= LAST_WORD; word++) for (let bits = set[word << STRIDE_SHIFT]; bits !== 0; bits &= bits - 1) count++;
  return count;
}

/** All members in ascending order: for inspection. */
export function vectorsOf(set: Int32Array): number[] {
  const all: number[] = [];
  for (let vector = 0; vector < 256; vector++) if (hasVector(set, vector)) all.push(vector);
  return all;
}

/** Does this set of eight dense words hold the vector? What handled vectors and PIR are. */
export function hasDense(set: Int32Array, vector: number): boolean {
  return (set[vector >> 5] & (1 << (vector & 31))) !== 0;
}

export function addDense(set: Int32Array, vector: number): void {
  set[vector >> 5] |= 1 << (vector & 31);
}

export function removeDense(set: Int32Array, vector: number): void {
  set[vector >> 5] &= ~(1 << (vector & 31));
}
