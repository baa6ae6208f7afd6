import { z } from "zod";
import { Footprint } from "../footprint.js";
import type { Outcome } from "../strategy.js";

const lifetimes = z.array(z.number().int().nonnegative());

const effects = z.object({
  wakes: z.number(),
  cancels: z.number(),
  asks: z.number(),
  ends: z.number(),
  hears: z.number(),
  minds: z.number(),
  clock: z.number(),
  added: z.number(),
  usesUp: z.number(),
  looks: lifetimes,
  alters: lifetimes,
  raises: lifetimes,
  lowers: lifetimes,
});

const sibling = z.object({
  seat: z.number().int().nonnegative(),
  /** What its step was seen to do besides its access; null before it has run. */
  effects: effects.nullable(),
});
/** A choice at a node of the tree. */
export type Sibling = z.infer<typeof sibling>;

const node = z.object({
  /** Choices whose subtrees are done. */
  tried: z.array(sibling),
  /** Seats to be tried, as bits. */
  open: z.number().int(),
});

export const dporUnit = z.object({
  /** Choices that lead to the next execution. */
  path: z.array(z.number().int().nonnegative()),
  /** How many of these other units share. */
  base: z.number().int().nonnegative(),
  /** Of each shared choice: those that come before it. Filled in when the unit is sent to be run. */
  before: z.array(z.array(sibling)),
  /** Of each further one. */
  nodes: z.array(node),
});
/** A subtree, half searched: what is known of each node on the path to its next execution. */
export type DporUnit = z.infer<typeof dporUnit>;

/** A node that several units share. */
export const sharedNode = z.object({ path: z.array(z.number().int()), tried: z.array(sibling) });
export type SharedNode = z.infer<typeof sharedNode>;

export interface DporOutcome extends Outcome<DporUnit> {
  /** What the last shared choice was seen to do. */
  effects: Sibling["effects"];
  /** Other orders that begin at shared nodes. */
  reversals: { depth: number; initials: number }[];
  /** Nodes on the unit's path that become shared. */
  shared: SharedNode[];
}

export function effectsOf(print: Footprint): NonNullable<Sibling["effects"]> {
  const { wakes, cancels, asks, ends, hears, minds, clock, added, usesUp, looks, alters, raises, lowers } = print;
  return { wakes, cancels, asks, ends, hears, minds, clock, added, usesUp, looks: [...looks], alters: [...alters], raises: [...raises], lowers: [...lowers] };
}

export function footprintOf(effects: NonNullable<Sibling["effects"]>): Footprint {
  return Object.assign(new Footprint(), effects);
}
