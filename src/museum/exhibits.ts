import type { Exhibit } from "./exhibit.js";
import { activeAndPending } from "./exhibits/active-and-pending.js";
import { activeWithoutHalt } from "./exhibits/active-without-halt.js";
import { assignWithoutPoll } from "./exhibits/assign-without-poll.js";
import { configurationOutsideTheLock } from "./exhibits/configuration-outside-the-lock.js";
import { deassertPerMember } from "./exhibits/deassert-per-member.js";
import { endThatTriggers } from "./exhibits/end-that-triggers.js";
import { entryAfterCheck } from "./exhibits/entry-after-check.js";
import { entryBehindDiscard } from "./exhibits/entry-behind-discard.js";
import { entryWhileParsing } from "./exhibits/entry-while-parsing.js";
import { eoiOfMovedInterrupt } from "./exhibits/eoi-of-moved-interrupt.js";
import { eoiThatTellsNobody } from "./exhibits/eoi-that-tells-nobody.js";
import { forwardWhileSignalling } from "./exhibits/forward-while-signalling.js";
import { hangUpAndDeassign } from "./exhibits/hang-up-and-deassign.js";
import { injectionAfterDeassign } from "./exhibits/injection-after-deassign.js";
import { irqfdBeforeRoute } from "./exhibits/irqfd-before-route.js";
import { irqfdBoundTwice } from "./exhibits/irqfd-bound-twice.js";
import { latchLeftBehind } from "./exhibits/latch-left-behind.js";
import { lazyEoiRecursion } from "./exhibits/lazy-eoi-recursion.js";
import { leftWhileParsing } from "./exhibits/left-while-parsing.js";
import { levelAfterFold } from "./exhibits/level-after-fold.js";
import { lineDisabledTwice } from "./exhibits/line-disabled-twice.js";
import { lineWithoutOwner } from "./exhibits/line-without-owner.js";
import { maskByRoute } from "./exhibits/mask-by-route.js";
import { moveAllWithoutLook } from "./exhibits/move-all-without-look.js";
import { oneReferenceForTwo } from "./exhibits/one-reference-for-two.js";
import { pendingLastOverwritten } from "./exhibits/pending-last-overwritten.js";
import { postedToASleeper } from "./exhibits/posted-to-a-sleeper.js";
import { postedWhileSuppressed } from "./exhibits/posted-while-suppressed.js";
import { propertiesAfterMap } from "./exhibits/properties-after-map.js";
import { resamplerWithoutGrace } from "./exhibits/resampler-without-grace.js";
import { routeBeforeDeassign } from "./exhibits/route-before-deassign.js";
import { saveBesideDescriptors } from "./exhibits/save-beside-descriptors.js";
import { shutDownTwice } from "./exhibits/shut-down-twice.js";
import { sleepAfterCheck } from "./exhibits/sleep-after-check.js";
import { sourcesApart } from "./exhibits/sources-apart.js";
import { tornRoute } from "./exhibits/torn-route.js";
import { translationWithoutReference } from "./exhibits/translation-without-reference.js";
import { triggerTakenAway } from "./exhibits/trigger-taken-away.js";
import { undoWithoutEnd } from "./exhibits/undo-without-end.js";
import { unforwardWhileActive } from "./exhibits/unforward-while-active.js";
import { unmaskOnAccessStorm } from "./exhibits/unmask-on-access-storm.js";
import { unmaskOnAccessWedge } from "./exhibits/unmask-on-access-wedge.js";
import { vmappInsideVpe } from "./exhibits/vmapp-inside-vpe.js";
import { waitForgotten } from "./exhibits/wait-forgotten.js";

/** The museum, from the core outwards: irqfds and resamplers, the IOAPIC, VMMs, forwarding, vCPUs, the vGIC, its ITS, direct injection, the XICS. */
export const EXHIBITS: readonly Exhibit[] = [
  resamplerWithoutGrace,
  deassertPerMember,
  lineWithoutOwner,
  assignWithoutPoll,
  injectionAfterDeassign,
  tornRoute,
  hangUpAndDeassign,
  irqfdBoundTwice,
  lazyEoiRecursion,
  eoiOfMovedInterrupt,
  sourcesApart,
  unmaskOnAccessWedge,
  unmaskOnAccessStorm,
  maskByRoute,
  routeBeforeDeassign,
  irqfdBeforeRoute,
  triggerTakenAway,
  shutDownTwice,
  undoWithoutEnd,
  endThatTriggers,
  configurationOutsideTheLock,
  lineDisabledTwice,
  forwardWhileSignalling,
  unforwardWhileActive,
  oneReferenceForTwo,
  sleepAfterCheck,
  entryAfterCheck,
  postedToASleeper,
  postedWhileSuppressed,
  activeAndPending,
  levelAfterFold,
  activeWithoutHalt,
  translationWithoutReference,
  moveAllWithoutLook,
  entryBehindDiscard,
  propertiesAfterMap,
  latchLeftBehind,
  pendingLastOverwritten,
  waitForgotten,
  entryWhileParsing,
  leftWhileParsing,
  vmappInsideVpe,
  saveBesideDescriptors,
  eoiThatTellsNobody,
];
