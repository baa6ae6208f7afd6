/** Is it so, whatever hardware has cached? */
export type Certainty = "always" | "perhaps" | "never";

const ENABLED = 1;
const PRIORITY = 0xfc;
const SPURIOUS = 1023;

/**
 * Configuration bytes as the manual lets hardware know them: an LPI's byte may be read at any time and may be cached until an
 * invalidation, so that each value that memory has had since the last one may be the one that counts.
 */
export class KnownBytes {
  private readonly memory = new Map<number, number>();
  private readonly known = new Map<string, Set<number>[]>();

  /** @param places who may cache: redistributors or vPEs */
  constructor(
    places: readonly string[],
    private readonly intids: readonly number[],
    byte: number,
  ) {
    for (const intid of intids) this.memory.set(intid, byte);
    for (const place of places) this.known.set(place, intids.map(() => new Set([byte])));
  }

  /** Software stores a byte. */
  write(intid: number, byte: number): void {
    this.memory.set(intid, byte);
    for (const sets of this.known.values()) sets[this.intids.indexOf(intid)].add(byte);
  }

  /** An invalidation: of one LPI, or with null of all. */
  look(place: string, intid: number | null): void {
    this.known.get(place)?.forEach((set, i) => {
      if (intid !== null && this.intids[i] !== intid) return;
      set.clear();
      set.add(this.memory.get(this.intids[i]) ?? 0);
    });
  }

  bytes(place: string, intid: number): ReadonlySet<number> {
    return this.known.get(place)?.[this.intids.indexOf(intid)] ?? new Set([0]);
  }
}

export function isEnabled(bytes: ReadonlySet<number>): Certainty {
  const on = [...bytes].filter((byte) => (byte & ENABLED) !== 0).length;
  return on === 0 ? "never" : on === bytes.size ? "always" : "perhaps";
}

/** The INTIDs that may be the highest pending one, 1023 among them where perhaps nothing is enabled. Of equals any may. */
export function firsts(pending: ReadonlyMap<number, ReadonlySet<number>>): number[] {
  const all = [...pending];
  const allows = (bytes: ReadonlySet<number>, priority: number): boolean => [...bytes].some((byte) => (byte & ENABLED) === 0 || (byte & PRIORITY) >= priority);
  const may = all.filter(([intid, bytes]) =>
    [...bytes].some((byte) => (byte & ENABLED) !== 0 && all.every(([other, others]) => other === intid || allows(others, byte & PRIORITY))),
  );
  const isSilent = all.every(([, bytes]) => isEnabled(bytes) !== "always");
  return [...may.map(([intid]) => intid), ...(isSilent ? [SPURIOUS] : [])];
}
