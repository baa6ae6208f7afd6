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
import { OneSignalPerUnmask } from "./one-signal-per-unmask.js";
import { Progress } from "./progress.js";
import { WholeRoutes } from "./whole-routes.js";

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

/** A property that needs objects of its program: programs ask it, `--property` cannot. */
export interface ProgramProperty {
  readonly name: string;
  readonly sentence: string;
  /** What it needs, as a person reads it. */
  readonly needs: string;
  /** Its constructor, in `virq/stepped`. */
  readonly by: string;
}

function needing({ name, sentence }: Property, needs: string, by: string): ProgramProperty {
  return { name, sentence, needs, by };
}

/** Those that need objects of a program. */
export const PROGRAM_PROPERTIES: readonly ProgramProperty[] = [
  needing(new Progress([]), "its vCPUs", "new Progress(vcpus)"),
  needing(new WholeRoutes([]), "the message of each routing table", "new WholeRoutes(tables)"),
  needing(new OneSignalPerUnmask(1), "whether its interrupt is masked when it begins", "new OneSignalPerUnmask(1)"),
];

/** Those that need nothing of a program but its events. */
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

export { ForwardingWhileQuiet, MasksBalance, NoEoiWithoutAcknowledge, NoInjectionAfterDeassign, NoInterruptInvented, NoInterruptLost, NoLineWithoutOwner, NoUseAfterFree, OneDeassertPerResample, OneSignalPerUnmask, Progress, WholeRoutes };
export { CoreInvariants } from "./core-invariants.js";
export type { RoutedMessage } from "./whole-routes.js";
