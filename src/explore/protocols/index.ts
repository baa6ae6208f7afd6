import type { Protocol } from "../protocol.js";
import * as assignedDevice from "./assigned-device.js";
import * as bypass from "./bypass.js";
import * as directMappings from "./direct-mappings.js";
import * as forwarding from "./forwarding.js";
import * as hostLines from "./host-lines.js";
import * as injection from "./injection.js";
import * as ioapic from "./ioapic.js";
import * as ioapicEdge from "./ioapic-edge.js";
import * as ioapicSources from "./ioapic-sources.js";
import * as ioeventfd from "./ioeventfd.js";
import * as irqfdLife from "./irqfd-life.js";
import * as irqfd from "./irqfd.js";
import * as its from "./its.js";
import * as kicks from "./kicks.js";
import * as localApics from "./local-apics.js";
import * as machines from "./machines.js";
import * as messageMask from "./message-mask.js";
import * as mpic from "./mpic.js";
import * as resampler from "./resampler.js";
import * as routing from "./routing.js";
import * as vfioDraft from "./vfio-draft.js";
import * as vfioEventfds from "./vfio-eventfds.js";
import * as vfioGroups from "./vfio-groups.js";
import * as vfioHotReset from "./vfio-hot-reset.js";
import * as vfioIommufd from "./vfio-iommufd.js";
import * as vfioIntx from "./vfio-intx.js";
import * as vfioMessages from "./vfio-messages.js";
import * as vfioMigration from "./vfio-migration.js";
import * as vfioPci from "./vfio-pci.js";
import * as vfioPlatform from "./vfio-platform.js";
import * as vfioPower from "./vfio-power.js";
import * as vfioSriov from "./vfio-sriov.js";
import * as vfioXen from "./vfio-xen.js";
import * as vpes from "./vpes.js";
import * as vgic from "./vgic.js";
import * as vgicFold from "./vgic-fold.js";
import * as x86Eoi from "./x86-eoi.js";
import * as x86Pit from "./x86-pit.js";
import * as x86Vcpu from "./x86-vcpu.js";
import * as xicsKvm from "./xics-kvm.js";
import * as xicsRestore from "./xics-restore.js";
import * as xicsWords from "./xics-words.js";
import * as xics from "./xics.js";

const SUBJECTS = [
  assignedDevice,
  bypass,
  directMappings,
  forwarding,
  hostLines,
  injection,
  ioapic,
  ioapicEdge,
  ioapicSources,
  ioeventfd,
  irqfd,
  irqfdLife,
  its,
  kicks,
  localApics,
  machines,
  messageMask,
  mpic,
  resampler,
  routing,
  vfioDraft,
  vfioEventfds,
  vfioGroups,
  vfioHotReset,
  vfioIommufd,
  vfioIntx,
  vfioMessages,
  vfioMigration,
  vfioPci,
  vfioPlatform,
  vfioPower,
  vfioSriov,
  vfioXen,
  vgic,
  vgicFold,
  vpes,
  x86Eoi,
  x86Pit,
  x86Vcpu,
  xics,
  xicsKvm,
  xicsRestore,
  xicsWords,
];

/** Every built-in protocol, by subject. Each export of the files is one. */
export const PROTOCOLS: readonly Protocol[] = SUBJECTS.flatMap((subject): Protocol[] => Object.values(subject));

/** Those among them that are whole machines: a device's interrupt from the wire to the guest. */
export const SCENARIOS: readonly Protocol[] = Object.values(machines);

/** Those among them whose VFIO can be another kernel's (vfio.md 0.4): what the groups, the pins and the lines of a profile do. */
export const PROFILED: readonly Protocol[] = [vfioGroups, vfioIntx, vfioPci, vfioPlatform].flatMap((subject): Protocol[] => Object.values(subject));
