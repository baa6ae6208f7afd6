/** Bytes of one vCPU's two redistributor frames. */
export const REDIST_SIZE = 0x20000;

/** A range of guest physical addresses for redistributors (gic-v3.md A3.3). */
export class RedistRegion {
  /** vCPUs that have a frame here. */
  used = 0;

  /** @param count frames it has room for; 0: the legacy region, that grows with the VM */
  constructor(
    readonly index: number,
    readonly base: number,
    readonly count: number,
  ) {}

  get isLegacy(): boolean {
    return this.count === 0;
  }

  isFull(): boolean {
    return this.count !== 0 && this.used === this.count;
  }

  /** @param vcpus online vCPUs: what a legacy region covers */
  sizeFor(vcpus: number): number {
    return (this.isLegacy ? vcpus : this.count) * REDIST_SIZE;
  }
}
