/**
 * An address from its halves; `high` is not negative. One below 2^31 stays a small integer, which an engine neither boxes nor
 * converts at every access of a table that lies there.
 */
export const physicalAddress = (high: number, low: number): number => (high === 0 ? low >>> 0 : high * 2 ** 32 + (low >>> 0));
