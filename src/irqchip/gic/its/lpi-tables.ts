// GICR_PROPBASER and GICR_PENDBASER as the guest may set them (gic-v3.md A6.4), in halves.

/** Inner shareable, inner read and write allocate: what a redistributor has before anybody writes it. */
export const BASER_RESET = 0x580;

const SHAREABILITY_SHIFT = 10;
const OUTER_SHAREABLE = 2;
const INNER_SHAREABLE = 1;
const INNER_CACHE_SHIFT = 7;
const READ_WRITE_ALLOCATE = 3;
/** [58:56], in the high half. */
const OUTER_CACHE_SHIFT = 24;

const PROPBASER_LOW = 0xffffff9f | 0;
const PENDBASER_LOW = 0xffff0f80 | 0;
/** Address [51:32] and OuterCache. */
const HIGH = 0x070fffff;
/** PENDBASER bit 62: the pending table is all zero. */
export const PENDBASER_PTZ_HIGH = 1 << 30;

function sanitiseAttributes(low: number): number {
  let shareability = (low >>> SHAREABILITY_SHIFT) & 3;
  if (shareability === OUTER_SHAREABLE) shareability = INNER_SHAREABLE;
  let inner = (low >>> INNER_CACHE_SHIFT) & 7;
  if (inner <= 1) inner = READ_WRITE_ALLOCATE;
  return (low & ~((3 << SHAREABILITY_SHIFT) | (7 << INNER_CACHE_SHIFT))) | (shareability << SHAREABILITY_SHIFT) | (inner << INNER_CACHE_SHIFT);
}

/** The outer cacheability: anything but "same as inner" and device becomes "same as inner". */
function sanitiseHigh(high: number): number {
  const outer = (high >>> OUTER_CACHE_SHIFT) & 7;
  const kept = outer <= 1 ? outer : 0;
  return (high & HIGH & ~(7 << OUTER_CACHE_SHIFT)) | (kept << OUTER_CACHE_SHIFT);
}

export const propbaserLow = (low: number): number => sanitiseAttributes(low) & PROPBASER_LOW;
export const propbaserHigh = (high: number): number => sanitiseHigh(high);
export const pendbaserLow = (low: number): number => sanitiseAttributes(low) & PENDBASER_LOW;
/** PTZ is kept for the enable; it never reads back. */
export const pendbaserHigh = (high: number): number => sanitiseHigh(high) | (high & PENDBASER_PTZ_HIGH);
