import { NO_DOORBELL } from "../../../arch/gic/its-command.js";

// What is drawn at random, and what it means: few values, so that operations meet, and some of each out of range.

export const PLACES = { its: 2, device: 3, event: 5, cpu: 2, vpe: 4, icid: 3 } as const;
export const FIRST_DEVICE = 2;
export const VPES_IN_PLAY = 3;
export const LPIS = [8192, 8193, 8194, 8195];
export const DOORBELLS = [8300, 8301];
export const WRONG_INTIDS = [5, 8191, 0x10000];

/** One thing that happens; which fields matter depends on the kind, and some of each are out of range. */
export interface Operation {
  readonly kind: number;
  readonly its: number;
  readonly device: number;
  readonly event: number;
  readonly cpu: number;
  readonly vpe: number;
  readonly icid: number;
  readonly byte: number;
}

export const pick = <T>(from: readonly T[], by: number): T => from[by % from.length];
/** The last one is never mapped. */
export const deviceOf = ({ device }: Operation): number => FIRST_DEVICE + device;
export const vpeOf = ({ vpe }: Operation): number => vpe % VPES_IN_PLAY;
export const lpiOf = ({ byte }: Operation): number => (byte % 16 === 0 ? pick(WRONG_INTIDS, byte >> 4) : pick(LPIS, byte));
export const doorbellOf = ({ byte }: Operation): number => (byte % 16 === 7 ? 5 : byte % 4 === 0 ? NO_DOORBELL : pick(DOORBELLS, byte >> 3));
