// 64-bit values of a conformance file as int32 halves and back. Text, because a file writes them as text.

/** Low 32 bits of "0x…". */
export const lowOf = (hex: string): number => Number.parseInt(digits(hex).slice(8), 16) | 0;

/** High 32 bits of "0x…". */
export const highOf = (hex: string): number => Number.parseInt(digits(hex).slice(0, 8), 16) | 0;

/** Halves as "0x…", shortest form. */
export function hexOf(low: number, high = 0): string {
  const top = high >>> 0;
  const bottom = (low >>> 0).toString(16);
  return top === 0 ? `0x${bottom}` : `0x${top.toString(16)}${bottom.padStart(8, "0")}`;
}

const digits = (hex: string): string => hex.slice(2).padStart(16, "0");

/** Bytes of "0a1b…", and back. */
export const bytesOf = (hex: string): Uint8Array => Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
export const hexOfBytes = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
