/**
 * Every switch that disables one rule, so that an explorer can find what the rule prevents: its name, the hazard of the
 * specification that it lets in, and what it does. A world is made with some of them on (`new Sim({ hazards })`); all off
 * is Linux as specified. The code asks `hazards.name` at the very place of the rule.
 */
export const HAZARDS = {
  // kvm-irq-core.md 10.2
  sampleBeforeInsert: "H1: the counter is sampled before the wait entry is inserted",
  keepCount: "H2: the callback leaves the count as it is, and every later sample sees the event again",
  routeOutsideLock: "H3: an assign looks its route up before it takes irqfds.lock",
  routeAfterInsert: "H3: an assign fills the cached route when the wait entry can already be called",
  readTornRoute: "H4: the callback takes the cached route without asking whether it changed meanwhile",
  swapWithoutWait: "H5: a routing change frees the old table, and returns, without its grace period",
  returnBeforeShutdown: "H7: a deassign returns without waiting for the shutdown",
  flushBeforeUnhook: "H8: shutdown flushes the work before it takes the irqfd off the wait queue",
  deactivateUnasked: "H9: a hang-up does not ask whether the irqfd is still active",
  shutdownInHangUp: "H10: a hang-up shuts the irqfd down at once, inside the eventfd's wake-up",
  dropFileEarly: "H11: the assigner gives the eventfd's file back before it attaches the irqfd",
  shutdownWithoutWait: "H11: shutdown does not wait for the assigner's reader section",
  freeResamplerEarly: "H12: the 2012 posting's order, the last leaver frees the resampler before the grace period",
  dropResamplefdEarly: "H13: the resamplefd context is dropped before the wait of the leave",
  deassertPerMember: "H14: an acknowledge lowers the line again for each member",
  notifyBeforeDeassert: "H15: an acknowledge tells the owners before it lowers the line",
  leaveWithoutWait: "H13: an irqfd that leaves others behind leaves its resampler without a grace period",
  keepLineAtLeave: "H16: the last leaver does not lower the line",
  leaveBeforeFlush: "H17: the last leaver lowers the line before the irqfd is unhooked and its work flushed",
  joinWithoutWait: "H18: an irqfd joins a resampler without a grace period before it is attached",
  forgetLeaveWhenBusy: "H19: an assign that fails with EBUSY does not leave its resampler",
  resampleBySourceZero: "H20: resampling irqfds raise and lower the source that KVM_IRQ_LINE uses",
  ackUnderLock: "H21, H22: an EOI tells the acknowledge listeners with the chip's lock held",
  eoiWithoutService: "H21: an EOI does not send what came between it and its completion",
  clearRouteOnDeassign: 'H25: until 6.18 a deassign wrote type 0 into the cached route, and the callback did not ask "still active?"',
  releaseWithoutFlush: "H26: the release of the VM's file does not wait for the shutdowns of its irqfds",
  freeTableBeforeTimers: "H26: VM destruction frees the routing table before its timers stop",
  producerOutsideLock: "H27: a producer is noted after its first programming, with irqfds.lock given back between",
  dropContextEarly: "H28: shutdown drops the eventfd context before it unregisters the bypass consumer",
  refuseWithoutStart: "H29: a connection that fails does not run the start callbacks",
  freeBusEarly: "H30: an I/O bus is freed under its readers",
  busyByList: "H31: an assign asks the VM's active list whether the eventfd is taken, not the wait queue",
  clearPendingLate: "H35: a work item's pending bit is cleared when its body is over",
  forwardWhileSignalling: "H36: forwarding changes while a trigger is installed",
  unmarkWithoutDeactivate: "H37: an active interrupt loses its mark and stays active",
  shareDeviceReference: "H38: one device reference for all forwarded interrupts of a device, which the first of them holds",
  lookUpOutsideMutex: "H39: a forward looks for its node before it takes the mutex",
  // host-irq.md 7
  maskAtDisable: "K1: a disabled line is masked at once",
  resendLevel: "K2: a level interrupt that was seen while disabled is sent again",
  forgetMaskedEdge: "K3: an edge that comes while the line is disabled is masked and forgotten",
  resendAgain: "K4: a resend neither uses PENDING up nor asks whether an earlier one is on its way",
  actOnOldDisabled: "K5: the flow handler gives the lock back between its look at DISABLED and what it does about it",
  unmaskByChip: "K6: VFIO's unmask asks whether the chip masks the line, not its own flag",
  automaskAndWait: "K7: VFIO's handler masks by the call that waits for running handlers",
  maskKeepsActive: "K8: the mask of a forwarded interrupt leaves it active at the controller",
  deactivateForwarded: "K9: the host deactivates an interrupt although a guest completes it",
  keepForwardedPriority: "K10: the host leaves the priority of a forwarded interrupt to its guest",
  keepPpiActive: "K11: the load of a vCPU leaves the ACTIVE bit of the timer's PPI as the vCPU before it left it",
  pendingActiveHw: "K12: a list register linked to a physical interrupt may be pending and active",
  alwaysUnderflow: "K13: the underflow interrupt is asked for although everything is in list registers",
  foldByInterrupt: "K14: list registers are folded by the maintenance interrupt's handler, not at the exit",
  kickBeforeRequest: "K15: the kick comes before what it announces",
  modeAfterCheck: "K16: the vCPU looks at its requests before it says IN_GUEST_MODE",
  kickWithoutSwap: "K17: everybody who sees IN_GUEST_MODE sends an IPI",
  sleepAfterCheck: "K18: a halted vCPU looks for an interrupt before it is on the wait queue",
  countHandled: "K19: until 5.13 handled interrupts filled the window of 100,000 although none was unhandled",
  countForEver: "K20: unhandled interrupts add up, however far apart",
  dropInProgress: "K21: an LPI that comes on its new CPU while the old one still handles it is dropped",
  returnUnmanaged: "K22: any interrupt goes back to a CPU that comes online again, as its mask said before",
  attachWithoutLook: "K24: an attach does not look whether mappings cover what the new group reserves",
  clearByIndex: "K25: an mbigen's clear bit goes by the pin's number in its node",
  completeTwice: "K26: each KVM_RUN completes the last MMIO access, done or not",
  freeVcpuAtClose: "K27: a vCPU ends with its descriptor",
  eoiWithoutSource: "K28: the end of a GICv2 SGI is written without its sender",
  // gic.md D2
  keepTranslations: "R25: a command that ends a mapping leaves the translations that are remembered",
  rememberUnlocked: "R26: a translation is remembered when its_lock has been given back",
  queueUnlocked: "R42: cmd_lock is given back before the queue is worked off",
  saveWhileRunning: "R45: an ITS's tables are saved without the vCPUs' mutexes",
  insertWithoutRecheck: "R30: the target decided before the list's lock was taken is not asked again",
  moveWithoutRecheck: "R31: nor is it when an interrupt moves between two lists",
  moveActive: "R32: an active interrupt follows its target",
  activeWithoutHalt: "R33: ISACTIVER and ICACTIVER do not fold the list registers of running vCPUs first",
  neverResample: "R36: a mapped line is not sampled at the fold",
  kickBeforeInsert: "R37: the vCPU is told before the interrupt is on its list",
  foldLevelPending: "R34: the fold keeps that a level interrupt was pending in its list register, as it does for an edge",
  foldOverLatch: "R35: the fold takes the list register's pending state, whatever was latched meanwhile",
  ignoreDir: "R50: a trapped DIR is not looked at",
  ignoreEoiCount: "R51: EOIcount is not looked at",
  ignoreOwner: "R52: anybody may drive an interrupt that the kernel owns",
  // x86-irqchip.md 18
  clearRemoteIrrBeforeAck: "X1: an EOI clears remote IRR before it tells the acknowledge listeners",
  scanWithoutPending: "X3: a vCPU handles only vectors of entries that point to it now, not those still pending on it",
  scanWithoutMerge: "X4: a rescan of the handled vectors does not merge the PIR first",
  serviceOnUnmask: "X7: an unmasked level pin with an old request is serviced, without asking a resampler",
  eoiWithoutPause: "X10: no pause after 10,000 EOIs in a row that found the line high",
  clearOnLate: "X11: a sync clears ON after it has emptied the PIR",
  loadWithoutCheck: "X12: a load clears SN and does not look whether something was posted meanwhile",
  blockWithoutCheck: "X13: a blocking vCPU switches to the wake-up vector and does not look whether ON was set before",
  unlistFromNewCpu: "X14: a load takes the vCPU off the wake-up list of the CPU that it is loaded on, not of the one that it blocked on",
  hintBeforeBit: "X15: the hint that IRR is not empty is set before the bit",
  hintClearedLast: "X15: a take looks for further vectors first, and clears the hint afterwards",
  spuriousInService: "X16, X17: an acknowledge that finds no request marks line 7 as in service",
  picOutputBeforeAck: "X18: a PIC EOI decides on the output before it tells the acknowledge listeners",
  saveDeliveredEdges: "X20: KVM_GET_IRQCHIP shows edges that were delivered as still requested",
  exitWithoutRetest: "X23: split mode leaves for a remembered vector without asking whether it is still handled",
  initKeepsStartup: "X26: INIT keeps a start-up that is pending",
  overwriteExtInt: "X27: in split mode KVM_INTERRUPT takes the place of one that was not taken yet",
  ackFirstPinOnly: "X28: an EOI acknowledges only the first pin with its vector",
  // vfio.md 23
  swapWithoutSync: "23.5: a replaced trigger is dropped without waiting for the handlers that still use it",
  swapWithoutFlush: "23.5: a replaced trigger is dropped without waiting for the unmask eventfd's worker, which still uses it",
  unmaskSetUpWithoutSample: "23.8: an eventfd that is to unmask is attached, and its count of before is not looked at",
  unmaskWhileDisabled: "23.9: an unmask by eventfd does not ask whether the user has disabled INTx",
  zapWithoutWait: "23.21: the pages of a BAR are taken away without waiting for accesses that are under way",
  signalInWakeup: "23.29: the receiver of an unmask eventfd signals the trigger itself, inside the wake-up",
  // xics.md 22
  forgetConsumedNote: "R1: a delivery that failed does not look whether its note was consumed before it was published",
  mapBeforeMark: "R2: the bit of the resend map is set before the source's mark",
  scanUnasked: "R3: a scan's delivery does not ask again, under the lock, whether the source is still marked",
  entryKeepsMark: "R4: a write of a source's entry that decides to deliver leaves its mark to the next scan",
  keepServerOfRejected: "R6: a rejected source goes to the server that rejected it",
  lowerForeign: "R8: whoever changes a presentation controller takes the external interrupt away where none is due",
  swapPqBlindly: "R11: a trigger and an EOI write P and Q without comparing them with what they read",
  createBlockTwice: "R23: whoever found a block missing makes one, whether or not somebody has made it meanwhile",
  // the museum's own
  signalNoTrigger: "an unmask of INTx signals the trigger without asking whether there is one",
  unmaskOnAccess: "a VMM takes any trapped access to a device's registers for the end of its interrupt",
  maskByRoute: "a VMM masks a message by taking its route away, and leaves the irqfd in place",
  routeBeforeDeassign: "a VMM that masks a message takes its route away first, and the irqfd afterwards",
  irqfdBeforeRoute: "a VMM that unmasks a message assigns the irqfd first, and gives it its route afterwards",
  sourcesApart: "the sources of a pin are put together before the lock under which the pin is driven",
  lazyEoiTellsListeners: "an edge on a pin whose EOIs go unseen tells the acknowledge listeners of the one before",
  levelActivePending: "a level interrupt goes into a list register active and pending at once",
  hitWithoutReference: "a translation that is found takes no reference to its LPI",
  moveAllWithoutLook: "a MOVALL does not ask whether an LPI that it came by is still there",
  connectWithoutUnblock: "the first device that may post into a VM leaves vCPUs blocked that block without a wake-up vector",
} as const;

/** The name of a switch, as {@link HAZARDS} has it. */
export type HazardName = keyof typeof HAZARDS;

/** Which rules are off: true where the hazard is let in. */
export type Hazards = { readonly [name in HazardName]: boolean };

export const HAZARD_NAMES = Object.keys(HAZARDS) as HazardName[];

/** Every rule in force. A copy of the table keeps its shape: what asks a switch on a hot path reads a plain field. */
export const NO_HAZARDS: Hazards = allOff();

function allOff(): Hazards {
  const all: Record<HazardName, unknown> = { ...HAZARDS };
  for (const name of HAZARD_NAMES) all[name] = false;
  return all as Hazards;
}
