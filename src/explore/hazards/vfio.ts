import type { HazardCase } from "../hazard-case.js";
import { wireAgainstRaise } from "../protocols/assigned-device.js";
import { forwardAgainstTrigger } from "../protocols/forwarding.js";
import * as eventfds from "../protocols/vfio-eventfds.js";
import * as groups from "../protocols/vfio-groups.js";
import * as hotReset from "../protocols/vfio-hot-reset.js";
import * as iommufd from "../protocols/vfio-iommufd.js";
import * as intx from "../protocols/vfio-intx.js";
import * as messages from "../protocols/vfio-messages.js";
import * as migration from "../protocols/vfio-migration.js";
import * as pci from "../protocols/vfio-pci.js";
import { hangUpAgainstDisable } from "../protocols/vfio-platform.js";
import * as power from "../protocols/vfio-power.js";
import * as sriov from "../protocols/vfio-sriov.js";
import * as xen from "../protocols/vfio-xen.js";
import { CasesOf, searched } from "./cases.js";
import * as vectors from "./vfio-vectors.js";

const V = new CasesOf("vfio.md");

const NO_GAP = "One configuration cycle tells the condition, and until DisINTx is clear the handler claims nothing; a condition that comes in between drives the line the moment that it is.";
const BY_INSTANCE = "Mappings are the instance's, and the instance goes with the last group, whose file every device file holds: whoever is last, the end is the same.";
const WHOLE_MAPPINGS = "Version 1 takes a mapping that begins in the range whole, and stops at one that begins before it: no call cuts one.";

const SENT_BEFORE =
  "The message left the device before it stopped; its handler on the host runs when it runs, and no change of state waits for it. Whoever migrates the guest looks at the device's eventfds once more after the stop, or keeps their counts for the other side.";

const ONE_MESSAGE =
  "The vectors of MSI have one address, and it is vector 0's: free_irq of that one deactivates it, which writes zeros (msi_domain_deactivate, pci_msi_domain_write_msg), and the request that follows writes it anew. In between the function's messages go nowhere. MSI-X has an entry for each.";

const TWO_WRITERS =
  "Each write of the register keeps it under the memory lock; what follows of DisINTx is done when that has been given back, by what each has seen (vfio_basic_config_write). The last value written is one thread's, the last mask the other's. A VMM has one lock over its device's configuration space.";

const DISABLED_TWICE =
  "The handler of a line without DisINTx disables it, whether or not a mask has done so since the interrupt came (vfio_intx_handler); the line counts its disables, INTx has one flag, and an unmask enables once. Linux fe9a7082684e has the same of the request of the line, and not this. A device with DisINTx has no such count.";

const ON_ITS_WAY =
  "free_irq takes the handler off its descriptor. A message that the processor has acknowledged, and whose flow handler has found an action, looks for it again without the descriptor's lock (__handle_irq_event_percpu), and finds none. What the function sends from the mask on pends, and is told to the new eventfd.";

const PENDS = "An entry of the table is masked until its handler stands; what the function has to send meanwhile pends in it, and goes when it is unmasked.";

const NO_LOCK_OF_FLAGS =
  "The write asks for the mode, corrects the flags by it and writes them through, with no lock that SET_IRQS takes (vfio_msi_config_write). The function stays in MSI with no vector: its messages go nowhere, and its pin is off until its next reset. A VMM has one lock over its device's configuration space and interrupts.";

const CHECKED_BEFORE =
  "The token is compared under its lock when the name is looked up, and the virtual function counts as a user of it when it is opened (vfio_pci_validate_vf_token, vfio_pci_core_enable): in between whoever opens the physical one may set another.";

const ASKS_NOBODY =
  "The eventfd unmasks in its wake-up, and asks only whether INTx is in use and whether its user has disabled it (vfio_pci_intx_unmask_handler): a suspended device's handler then reads its configuration space. Who lets a device sleep masks its INTx before.";

const WRITTEN_BETWEEN =
  "Which pages were written is read, and the pages are unmapped, by two calls: a write in between is in no bitmap. Type 1 has one call for both. Who unmaps while a device may write stops it before.";

const ALL_DIRTY = "Every page that is pinned for a device counts as written, whether it was or not: the bitmap of its unmap names it.";

/** vfio.md 23, and of 2, 4, 6, 8.8, 10 to 13, 15, 17.6 and 19 what races there. */
export const VFIO_HAZARDS: readonly HazardCase[] = [
  V.race("2.3", "a function gets virtual ones while it is closed", sriov.virtualsAgainstClose, "wakeWithoutHold", 1),
  V.race("4.4", "a group is put into two containers at once", groups.joinTwo, "joinUnasked", 1),
  V.race("4.5", "a group leaves a container that another stays in while it writes memory", groups.leaveAgainstDma, "attachWithoutInvalidate", 1),
  V.race("4.5", "memory is mapped while the last group leaves", groups.mapAgainstLeave, "ioctlOutsideLock", 2),
  V.race("4.5", "memory is unmapped while the last group leaves with its file", groups.unmapAgainstLeave, "ioctlOutsideLock", 2),
  V.race("5.1", "a driver's module is unloaded while a device of it is opened", groups.unloadAgainstOpen, "openUnheld", 1),
  V.race("6", "a device is bound by its own file while its group's is opened", iommufd.bindAgainstGroupOpen, "blockOutsideLock", 1),
  V.race("6", "an iommufd is closed while a device is bound to it", iommufd.closeIommufdAgainstBind, "bindUnheld", 1),
  V.race("6", "a device is detached from an address space while it writes there", iommufd.detachAgainstDma, "attachWithoutInvalidate", 1),
  V.race("6", "an address space is replaced by another while a device writes", iommufd.replaceAgainstDma, "replaceByBlocking", 1),
  V.reproduced("8.8", "INTx is disabled and enabled in the command register at once", intx.commandAgainstCommand, 1, TWO_WRITERS),
  V.race("10.2", "two types of interrupts are asked for at once, one the host's and one the hypervisor's", xen.typesTogether, "typeOutsideGate", 1),
  V.reproduced("10.4", "a message of MSI while vector 0 gets another eventfd", messages.replaceFirstVector, 1, ONE_MESSAGE),
  V.reproduced("10.4", "a message of a vector that gets another eventfd", messages.replaceOwnVector, 1, ON_ITS_WAY),
  V.impossible("10.4", "a message of a vector that is being added", PENDS, () => searched(messages.growAgainstMessage, {}, 1)),
  V.race("11", "the host asks for a device back while its eventfd for that is replaced", eventfds.requestAgainstReplace, "notifyOutsideGate", 1),
  V.race("12.5", "a bus is reset while one of its functions loses its driver", hotReset.hotResetAgainstUnbind, "leaveSetUnlocked", 1),
  V.race("12.6", "an eventfd writes a register whose memory goes off", eventfds.ioeventfdAgainstMemoryOff, "storeUnlocked", 1),
  V.reproduced("15.1", "the unmask eventfd of a device that goes to sleep", power.resampleAgainstSleep, 1, ASKS_NOBODY),
  V.reproduced("13.6", "MSI's enable bit is written while MSI is disabled", messages.flagsAgainstEnd, 1, NO_LOCK_OF_FLAGS),
  V.race("15.3", "a device is reset while it is stopped for its migration", migration.stopAgainstReset, "resetOutsideState", 1),
  V.race("15.3", "a register is written while its device is stopped for its migration", migration.stopAgainstWrite, "writeOutsideState", 1),
  V.race("15.4", "a device writes while the log of its writes is read", migration.reportAgainstDma, "noteBeforeWrite", 1),
  V.trapIn("23.1", "another device's interrupt on the line of a masked INTx", intx.neighbourOnTheLine, "claimMasked", 1),
  V.trapIn("23.2", "an unmask while the pin is up", pci.resampleWhileAsserted, "forgetPending", 1),
  V.race("23.2", "an exclusive line is requested while its pin rises", intx.enableAgainstPin, "autoEnableLine", 2),
  V.reproduced("23.2", "an exclusive line is masked while its pin rises", intx.maskAgainstOwnLine, 1, DISABLED_TWICE),
  V.race("23.3", "a mask and an unmask at once", intx.maskAgainstUnmask, "flagBeforeLine", 2),
  V.race("23.3", "a mask while the function is reset", intx.resetAgainstMask, "restoreCommandWhole", 1),
  V.race("23.3", "the pin rises while the function is reset", intx.resetAgainstHandler, "restoreCommandWhole", 2),
  V.race("23.3", "a mask while the function's bus is reset", hotReset.hotResetAgainstMask, "restoreCommandWhole", 1),
  V.race("23.3", "a mask while the function comes back from D3hot", intx.wakeAgainstMask, "restoreCommandWhole", 1),
  V.race("23.3", "a mask while the user writes the command register", intx.commandAgainstMask, "commandInTwo", 1),
  V.impossible("23.4", "the pin rises between an unmask's look and its clear", NO_GAP, () => searched(pci.unmaskAgainstPin, {}, 1)),
  V.race("23.5", "a trigger is replaced under its handler", pci.swapAgainstHandler, "swapWithoutSync", 2),
  V.race("23.5", "a trigger is replaced under the worker of its unmask", pci.swapAgainstUnmask, "swapWithoutFlush", 2),
  V.race("23.6", "INTx is disabled under the worker of its unmask", pci.intxOffAgainstUnmask, "disableWithoutFlush", 2),
  V.race("23.7", "an unmask eventfd hangs up while it is taken away", hangUpAgainstDisable, "shutDownUnasked", 2),
  V.race("23.8", "an unmask eventfd that counts already is attached", wireAgainstRaise, "unmaskSetUpWithoutSample", 1),
  V.race("23.9", "a resample while the user has INTx disabled", pci.resampleAgainstUserDisable, "unmaskWhileDisabled", 1),
  V.race("23.9", "the user enables INTx in the command register while its trigger is replaced", intx.swapAgainstUserEnable, "configWriteOutsideGate", 2),
  V.trap("23.10", "a resume of what the user has masked", "resumeUnmasks", "vfio.md 8.8", vectors.resume),
  V.race("23.10", "low power is entered while it is ended", power.sleepAgainstExit, "suspendUnderCalls", 1),
  V.trapIn("23.11", "a block of vectors fails in the middle", pci.failingBlockAgainstMessages, "undoFailedOnly", 1),
  V.trap("23.12", "fewer vectors than asked for", "keepFewerVectors", 54, vectors.vector54),
  V.race("23.13", "a message while the device is closed", messages.closeAgainstMessage, "freeWithoutSync", 1),
  V.impossible("23.14", "six orders of closing", BY_INSTANCE, vectors.closeOrders),
  V.race("23.15", "a group leaves while a device of it is opened", groups.leaveAgainstOpen, "unsetUnasked", 1),
  V.race("23.16", "a container gets its IOMMU while a group joins", groups.joinAgainstSetIommu, "iommuOutsideLock", 1),
  V.race("23.17", "a device is opened while it is unbound", groups.unbindAgainstOpen, "hideLate", 2),
  V.race("23.18", "a group is claimed while a host driver is bound", groups.attachAgainstProbe, "claimOutsideMutex", 1),
  V.race("23.18", "two devices of a group are bound to one iommufd", iommufd.bindTogether, "claimOutsideMutex", 1),
  V.race("23.18", "one of them is closed, and the other bound", iommufd.closeAgainstBind, "claimOutsideMutex", 2),
  V.race("23.18", "each of them is bound to an iommufd of its own", iommufd.bindToTwo, "claimOutsideMutex", 1),
  V.trap("23.19", "a mapping beyond the limit", "keepAccount", 86, vectors.vector86),
  V.impossible("23.20", "a hole in a mapping of version 1", WHOLE_MAPPINGS, vectors.unmapsOfV1),
  V.race("23.21", "a BAR goes away under an access", pci.memoryOffAgainstStore, "zapWithoutWait", 2),
  V.trapIn("23.22", "a reset of a function that sends messages", pci.resetAgainstMessage, "resetWithoutMessages", 1),
  V.trap("23.23", "a hot reset of what another process has open", "resetUnasked", 74, vectors.vector74),
  V.race("23.24", "a device is stopped for its migration while it writes memory and interrupts", migration.stopAgainstDma, "stopWithoutDrain", 1),
  V.reproduced("23.24", "the handler of a message that a device sent before it was stopped", migration.stopAgainstHandler, 1, SENT_BEFORE),
  V.trap("23.24", "the data file of a state that was left", "keepDataFile", 79, vectors.vector79),
  V.race("23.25", "an interrupt is forwarded while its trigger is installed", forwardAgainstTrigger, "forwardWhileSignalling", 2),
  V.trap("23.26", "everything is closed but KVM's reference", "trackWithoutReference", 106, vectors.vector106),
  V.race("23.26", "KVM is told of a group that is closed", groups.trackAgainstClose, "trackWithoutReference", 1),
  V.trap("23.27", "a container without groups", "keepInstance", "vfio.md 4.5", vectors.emptyContainer),
  V.trap("23.28", "a virtual function without a token", "openWithoutToken", 101, vectors.vector101),
  V.reproduced("23.28", "a virtual function is opened while its physical one gets another token", sriov.tokenAgainstToken, 1, CHECKED_BEFORE),
  V.trapIn("23.29", "the receiver of an unmask eventfd signals inside the wake-up", pci.resampleWhileAsserted, "signalInWakeup", 1),
  V.race("23.30", "an event channel is unmasked while events come", messages.sendAgainstOpenMask, "openMaskOnly", 1),
  V.race("19", "a device writes while the dirty bits of its page table are taken", iommufd.dirtyAgainstDma, "clearWithoutFlush", 1),
  V.reproduced("19", "a device writes between the last look at its dirty bits and the unmap", iommufd.unmapAfterDirty, 1, WRITTEN_BETWEEN),
  V.impossible("17.6", "DMA while its page is unmapped with its dirty bit", ALL_DIRTY, () => searched(messages.bitmapAgainstDma, {}, 2)),
  ...[messages.unmapType1v1, messages.unmapType1v2, messages.unmapIommufd, messages.unmapSpaprV1, messages.unmapSpaprV2, messages.unmapXen].map((protocol) =>
    V.race("17.6", `DMA while its page is unmapped: ${protocol.name.replace("unmap-against-dma-", "")}`, protocol, "unmapWithoutInvalidate", 2),
  ),
];
