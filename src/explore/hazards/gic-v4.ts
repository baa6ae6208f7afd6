import type { HazardCase } from "../hazard-case.js";
import * as direct from "../protocols/direct-mappings.js";
import * as vpes from "../protocols/vpes.js";
import { CasesOf, searched } from "./cases.js";
import * as v4 from "./v4-vectors.js";

const R = new CasesOf("gic.md");

/** gic.md D2: what concerns direct injection. */
export const DIRECT_HAZARDS: readonly HazardCase[] = [
  R.race("R1", "VLPI fires before its properties exist", direct.forwardAgainstMessage, "propertiesAfterMap", 1),
  R.trapIn("R2", "pending lost at the switch from software to hardware", direct.forwardPending, "forgetLatch", 2),
  R.trapIn("R2", "pending lost at the switch from software to hardware: the series of 2017", direct.forwardPending, "rulesSince2017", 2),
  R.race("R3", "MOVI between resolve and map", direct.forwardAgainstMove, "forwardUnlocked", 2),
  R.race("R4", "INV racing the forwarding", direct.forwardAgainstInvalidate, "forwardUnlocked", 2),
  R.reproduced("R3", "MOVALL at another ITS between resolve and map", direct.forwardAgainstMoveAll, 1, "MOVALL moves the LPIs of the whole VM under the its_lock of the ITS that executes it, the forwarding holds that of its own"),
  R.reproduced("R4", "INVLPIR racing the forwarding", direct.forwardAgainstInvlpir, 1, "a redistributor's register reloads the configuration under no its_lock; the guest is halted while a producer connects, but not in the middle of a trap"),
  R.reproduced("R4", "INVALLR racing the forwarding", direct.forwardAgainstInvallr, 1, "as with INVLPIR"),
  R.trapIn("R5", "DISCARD without unmap", direct.directAgainstDiscard, "releaseWithoutUnmap", 1),
  R.trapIn("R6", "MAPD with live VLPIs", direct.directAgainstUnmap, "releaseWithoutUnmap", 1),
  R.race("R7", "device closes while the guest runs DISCARD", direct.unforwardAgainstDiscard, "unmapInTwoSteps", 2),
  R.trapIn("R8", "doorbell armed after Valid is cleared: 4.1", vpes.messagesIntoWaitingVcpu41, "armAfterDeschedule", 1),
  R.impossible("R8", "doorbell armed after Valid is cleared: 4.0",
    "a doorbell of 4.0 is a physical LPI, which stays pending while it is masked, and fires when it is armed", () => searched(vpes.messagesIntoWaitingVcpu, { armAfterDeschedule: true }, 1)),
  R.race("R9", "pending_last overwritten", vpes.messagesIntoWaitingVcpu41, "pendingLastUnlocked", 1),
  R.trapIn("R10", "preemption inside WFI", vpes.preemptedWait, "forgetWait", 1),
  R.race("R11", "entering on a new CPU without VMOVP", vpes.loadElsewhereAgainstMessage, "moveAfterSchedule", 2),
  R.trapIn("R12", "entering before Dirty clears", vpes.entryWhileParsing, "enterWhileDirty", 2),
  R.trapIn("R12", "entering before Dirty clears: the series of 2017", vpes.entryWhileParsing, "rulesSince2017", 2),
  R.trap("R13", "stale doorbell after residency: still pending", "keepStaleDoorbell", "gic.md vector VG26", v4.vectorVG26),
  R.trap("R13", "stale doorbell after residency: disabled once too often", "armDoorbellOnce", "gic.md vector VG27", v4.vectorVG27),
  R.trap("R14", "doorbell handler re-entry", "doorbellStaysOn", "gic-v4.md C5.3", v4.oneDoorbell),
  R.trap("R15", "PendingLast after a timeout", "trustStuckFrame", "gic.md vector VG32", v4.vectorVG32),
  R.trap("R16", "VPENDBASER rewritten while Valid=1", "stayResident", "gic.md I8", v4.oneResident),
  R.race("R16", "VPENDBASER rewritten while Valid=1: two vCPUs on one CPU", vpes.messagesIntoVcpusOfOneCpu, "stayResident", 0),
  R.race("R17", "VMOVP storm ordering", vpes.twoMoves, "vmovpUnordered", 2),
  R.race("R18", "VMOVP while the VM unmaps its last VLPI", vpes.moveAgainstLastUnmap, "moveUnlocked", 2),
  R.trapIn("R18", "VMOVP while the VM unmaps its last VLPI: the order of the locks", vpes.moveAgainstLastUnmap, "vmappInsideVpe", 2),
  R.trap("R19", "vITS after vgic init", "forgetLateIts", "gic.md vector VG3", v4.vectorVG3),
  R.trap("R20", "vCPU added after vPE allocation", "vcpuAfterInit", "gic.md vector VA15", v4.vectorVA15),
  R.trap("R21", "teardown order", "vcpusBeforeIrqchip", "gic.md vector VG37", v4.vectorVG37),
  R.trap("R22", "add_producer failure", "refuseWithoutStart", "gic.md vector VG20", v4.vectorVG20),
  R.trap("R23", "routing rewritten to another address while bound", "keepForwarding", "gic.md vector VG21", v4.vectorVG21),
  R.race("R23", "routing rewritten while the producer connects", direct.connectAgainstRerouteOnArm, "forwardWithoutRecheck", 2),
  R.race("R27", "cache hit on an LPI that just became a VLPI", direct.cachedMessageAgainstForward, "latchUnasked", 2),
  R.trap("R46", "GICv4.1 save reading the VPT while mapped", "saveWhileMapped", "gic-v4.md C6", v4.savedVlpi),
  R.race("R46", "GICv4.1 save unmapping vPEs beside their doorbells", vpes.saveAgainstDoorbell, "saveBesideDescriptors", 2),
  R.trap("R47", "vSGI switch while an SGI is pending", "forgetSgiLatch", "gic-v4.md C7", v4.pendingSgi),
  R.trap("R48", "MOVI by remap instead of VMOVI: what is pending", "remapToMove", "gic.md vector VG13", v4.vectorVG13),
  R.race("R48", "MOVI by remap instead of VMOVI: a message that comes meanwhile", direct.moveAgainstMessage, "remapToMove", 2),
  R.trap("R49", "INVALL optimised to properties only", "invallWithoutInvalidate", "gic.md vector VG15", v4.vectorVG15),
  R.trap("R53", "doorbell affinity changed by irqbalance", "balanceDoorbells", "gic.md vector VG22", v4.vectorVG22),
  R.reproduced("R54", "collection unmapped with VLPI", direct.unmappedCollectionOfVlpi, 1, "MAPC V=0 takes the collection off its events in software and tells the hardware nothing: the device keeps injecting into the old vCPU"),
];

const C = new CasesOf("gic-v4.md");

/** What gic.md does not number. */
export const GIC_V4_HAZARDS: readonly HazardCase[] = [
  C.reproduced("C1.6", "message between DISCARD and VMAPTI", direct.messageDuringForward, 2, "an event is taken from the host's LPI by DISCARD and given to the vPE by VMAPTI: what the device sends in between, or the host has not taken yet, is nobody's"),
  C.trapIn("C5.1", "VPENDBASER written while Dirty", vpes.preemptedWhileParsing, "descheduleWhileDirty", 2),
  C.race("C5.1", "PendingLast read before Dirty clears", vpes.blockAgainstMessage, "readWhileDirty", 2),
];
