import type { Property } from "../property.js";
import { ForwardingWhileQuiet } from "./forwarding-while-quiet.js";
import { MasksBalance } from "./masks-balance.js";
import { NoEoiWithoutAcknowledge } from "./no-eoi-without-acknowledge.js";
import { NoInjectionAfterDeassign } from "./no-injection-after-deassign.js";
import { NoInterruptInvented } from "./no-interrupt-invented.js";
import { NoInterruptLost } from "./no-interrupt-lost.js";
import { NoLineWithoutOwner } from "./no-line-without-owner.js";
import { NoUseAfterFree } from "./no-use-after-free.js";
import { OneDeassertPerResample } from "./one-deassert-per-resample.js";

/** A property that can be asked of any program, because it only hears events: one object serves one execution. */
export interface PropertyMaker {
  readonly name: string;
  readonly sentence: string;
  make(): Property;
}

function maker(Kind: new () => Property): PropertyMaker {
  const { name, sentence } = new Kind();
  return { name, sentence, make: () => new Kind() };
}

/** Those that need nothing of a program but its events. `Progress` needs its vCPUs, `WholeRoutes` its tables. */
export const PROPERTIES: readonly PropertyMaker[] = [
  NoInterruptLost,
  NoInterruptInvented,
  NoEoiWithoutAcknowledge,
  OneDeassertPerResample,
  MasksBalance,
  NoInjectionAfterDeassign,
  NoUseAfterFree,
  NoLineWithoutOwner,
  ForwardingWhileQuiet,
].map(maker);

export { ForwardingWhileQuiet, MasksBalance, NoEoiWithoutAcknowledge, NoInjectionAfterDeassign, NoInterruptInvented, NoInterruptLost, NoLineWithoutOwner, NoUseAfterFree, OneDeassertPerResample };
export { CoreInvariants } from "./core-invariants.js";
export { Progress } from "./progress.js";
export { type RoutedMessage, WholeRoutes } from "./whole-routes.js";
