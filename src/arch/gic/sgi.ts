// What a write to an SGI register asks for (gic-v3.md A8, A12; host-irq.md 2.6).

/** ICC_SGI1R_EL1, ICC_SGI0R_EL1, ICC_ASGI1R_EL1 as halves. */
export const sgi1rIntid = (lo: number): number => (lo >>> 24) & 15;
/** IRM: everyone but the sender. */
export const sgi1rIsBroadcast = (hi: number): boolean => (hi & (1 << 8)) !== 0;
export const sgi1rTargetList = (lo: number): number => lo & 0xffff;
/** Packed Aff3.Aff2.Aff1.0: the target with list bit i has this affinity plus i. */
export const sgi1rCluster = (lo: number, hi: number): number => (((hi >>> 16) & 0xff) << 24) | ((hi & 0xff) << 16) | (((lo >>> 16) & 0xff) << 8);

/** GICD_SGIR. */
export const enum SgirFilter {
  LIST = 0,
  OTHERS = 1,
  SELF = 2,
  RESERVED = 3,
}
export const sgirIntid = (value: number): number => value & 15;
export const sgirFilter = (value: number): SgirFilter => (value >>> 24) & 3;

/** One bit per target CPU; 0 where the filter is reserved. */
export function sgirTargets(value: number, self: number, online: number): number {
  switch (sgirFilter(value)) {
    case SgirFilter.LIST:
      return (value >>> 16) & 0xff & online;
    case SgirFilter.OTHERS:
      return online & ~(1 << self);
    case SgirFilter.SELF:
      return 1 << self;
    default:
      return 0;
  }
}

/** Packed affinity of vCPU or PE number `id` where 16 share a cluster: Aff0 = id[3:0], Aff1 = id[11:4], Aff2 = id[19:12] (gic-v3.md A1). */
export const affinityOfId = (id: number): number => (id & 15) | (((id >>> 4) & 0xff) << 8) | (((id >>> 12) & 0xff) << 16);
