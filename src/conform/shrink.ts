/**
 * Delta debugging (Zeller and Hildebrandt's ddmin): the fewest items, in their order, for which `fails` still holds; fewest
 * in the sense that none of what is left can go. `fails(items)` holds to begin with.
 */
export function shrink<T>(items: readonly T[], fails: (some: readonly T[]) => boolean): readonly T[] {
  let left = items;
  for (let pieces = 2; left.length > 1; ) {
    const smaller = withoutOnePiece(left, pieces, fails);
    if (smaller !== null) {
      left = smaller;
      pieces = Math.max(2, pieces - 1);
    } else if (pieces >= left.length) break;
    else pieces = Math.min(left.length, pieces * 2);
  }
  return left;
}

/** From the end: what comes late in a sequence is the likeliest to be of no account. */
function withoutOnePiece<T>(items: readonly T[], pieces: number, fails: (some: readonly T[]) => boolean): readonly T[] | null {
  const size = Math.ceil(items.length / pieces);
  for (let from = (Math.ceil(items.length / size) - 1) * size; from >= 0; from -= size) {
    const rest = [...items.slice(0, from), ...items.slice(from + size)];
    if (rest.length > 0 && fails(rest)) return rest;
  }
  return null;
}
