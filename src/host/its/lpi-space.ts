import { ENOSPC } from "../../uapi/errno.js";

const FIRST_LPI = 8192;
const LPIS = 0x10000 - FIRST_LPI;

export function powerOfTwo(count: number): number {
  let size = 1;
  while (size < count) size *= 2;
  return size;
}

/** The host's LPIs, given out in ranges of a power of two, aligned to it: a device's events, a VM's doorbells. */
export class LpiSpace {
  private readonly used = new Uint8Array(LPIS);

  /** The first of `count` LPIs, or -ENOSPC. */
  allocate(count: number): number {
    const size = powerOfTwo(count);
    for (let first = 0; first + size <= LPIS; first += size) {
      const taken = this.used.indexOf(1, first);
      if (taken >= 0 && taken < first + size) continue;
      this.used.fill(1, first, first + size);
      return FIRST_LPI + first;
    }
    return -ENOSPC;
  }

  free(first: number, count: number): void {
    this.used.fill(0, first - FIRST_LPI, first - FIRST_LPI + powerOfTwo(count));
  }
}

/** Small numbers, the lowest free one first: vPE ids, which are unique on a host. */
export class IdSpace {
  private readonly used: boolean[] = [];

  constructor(private readonly end: number) {}

  /** -ENOSPC where all are in use. */
  allocate(): number {
    const free = this.used.indexOf(false);
    const id = free < 0 ? this.used.length : free;
    if (id >= this.end) return -ENOSPC;
    this.used[id] = true;
    return id;
  }

  free(id: number): void {
    this.used[id] = false;
  }
}
