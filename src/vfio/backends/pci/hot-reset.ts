import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import { SavedState } from "../../../host/pci/saved-state.js";
import type { Step } from "../../../sim/step.js";
import { EBADF, EFAULT, EINVAL, ENODEV, ENOSPC, EPERM } from "../../../uapi/errno.js";
import {
  VFIO_PCI_DEVID_NOT_OWNED,
  VFIO_PCI_DEVID_OWNED,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from "../../../uapi/vfio.js";
import { VfioGroupFile } from "../../group-file.js";
import type { VfioGroup } from "../../group.js";
import type { IommufdContext } from "../../iommufd/context.js";
import type { VfioPciDevice } from "./device.js";

// The reset of a whole bus, which takes all functions that it reaches (vfio.md 12.4, 12.5).

const ENTRY = vfio_pci_dependent_device.size;
const header = new UserArgument(vfio_pci_hot_reset_info.size);
const entry = new UserArgument(ENTRY);

/** The functions that the reset reaches, whoever has them: by group, or for a device opened by its own node by iommufd id. */
export function* getHotResetInfo(device: VfioPciDevice, process: Process, address: number): Step<number> {
  yield* device.set.lock.lock();
  const result = yield* writeInfo(device, process, address);
  yield* device.set.lock.unlock();
  return result;
}

function* writeInfo(device: VfioPciDevice, process: Process, address: number): Step<number> {
  const { size, argsz, flags, count } = vfio_pci_hot_reset_info;
  if (!header.copyIn(process, address, size)) return -EFAULT;
  const given = argsz.get(header.view);
  if (given < size) return -EINVAL;
  if (!device.pci.canResetBus) return -ENODEV;
  // Virtual functions may come and go meanwhile.
  const devices = [...device.set.bus.devices];
  const context = device.cdevContext;
  const ids: number[] = [];
  for (let i = 0; i < devices.length; i++) {
    // A function without an IOMMU has a group from its probe on, made for it (19).
    const member = device.set.members.find((each) => each.pci === devices[i]);
    const group = devices[i].group ?? member?.group.iommuGroup;
    if (group === undefined) return -EPERM;
    ids.push(context === null ? group.id : yield* idOf(member, context));
  }
  const isOwned = context !== null && !ids.includes(VFIO_PCI_DEVID_NOT_OWNED);
  argsz.set(header.view, given);
  flags.set(header.view, (context === null ? 0 : VFIO_PCI_HOT_RESET_FLAG_DEV_ID) | (isOwned ? VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED : 0));
  count.set(header.view, devices.length);
  if (!header.copyOut(process, address, size)) return -EFAULT;
  if (given < size + ENTRY * devices.length) return -ENOSPC;
  for (let i = 0; i < devices.length; i++) {
    const { fn, root } = devices[i];
    vfio_pci_dependent_device.group_id.set(entry.view, ids[i]);
    vfio_pci_dependent_device.segment.set(entry.view, root.segment);
    vfio_pci_dependent_device.bus.set(entry.view, fn.requesterId >> 8);
    vfio_pci_dependent_device.devfn.set(entry.view, fn.requesterId & 0xff);
    if (!entry.copyOut(process, address + size + ENTRY * i)) return -EFAULT;
  }
  return 0;
}

/** A function's id in an iommufd; "owned" where only its group is; "not owned" otherwise, and for what VFIO does not have. */
function* idOf(member: VfioPciDevice | undefined, context: IommufdContext): Step<number> {
  if (member === undefined) return VFIO_PCI_DEVID_NOT_OWNED;
  const id = member.idIn(context);
  if (id > 0) return id;
  return (yield* context.owns(member.group.iommuGroup)) ? VFIO_PCI_DEVID_OWNED : VFIO_PCI_DEVID_NOT_OWNED;
}

/** By its group a device shows the groups that it may take with it; by its own node, what its iommufd owns is enough. */
export function* hotReset(device: VfioPciDevice, process: Process, address: number): Step<number> {
  const { size, argsz, flags, count } = vfio_pci_hot_reset;
  if (!header.copyIn(process, address, size)) return -EFAULT;
  const groups = count.get(header.view);
  const given = argsz.get(header.view);
  if (given < size || flags.get(header.view) !== 0) return -EINVAL;
  if (!device.pci.canResetBus) return -ENODEV;
  yield* device.set.lock.lock();
  const context = device.cdevContext;
  let result = (groups === 0) === (context === null) || groups > device.set.bus.devices.length ? -EINVAL : 0;
  const owned = result === 0 ? groupsOf(process, address + size, groups) : [];
  if (typeof owned === "number") result = owned;
  else if (result === 0) result = (yield* mayReset(device, owned, context)) ? yield* resetMembers(device) : -EINVAL;
  yield* device.set.lock.unlock();
  return result;
}

/** The groups that the caller proves to own by their files; -EFAULT, -EBADF or -EINVAL. */
function groupsOf(process: Process, address: number, count: number): VfioGroup[] | number {
  if (!process.memory.isReadable(address, 4 * count)) return -EFAULT;
  const owned: VfioGroup[] = [];
  for (let i = 0; i < count; i++) {
    const file = process.file(process.memory.getU32(address + 4 * i) | 0);
    if (file === null) return -EBADF;
    if (!(file instanceof VfioGroupFile)) return -EINVAL;
    owned.push(file.group);
  }
  return owned;
}

/** Set lock held: VFIO has every function on the bus, and each is the caller's. */
function* mayReset({ set }: VfioPciDevice, owned: readonly VfioGroup[], context: IommufdContext | null): Step<boolean> {
  const { members, bus } = set;
  if (members.length !== bus.devices.length) return false;
  for (let i = 0; i < members.length && !members[i].pci.root.host.sim.hazards.resetUnasked; i++) {
    const isOwned = context === null ? owned.includes(members[i].group) : members[i].idIn(context) > 0 || (yield* context.owns(members[i].group.iommuGroup));
    if (!isOwned) return false;
  }
  return true;
}

/** Nothing is zapped unless all memory locks are had: -EBUSY. */
function* resetMembers(device: VfioPciDevice): Step<number> {
  const { members } = device.set;
  let locked = 0;
  let result = 0;
  while (locked < members.length && result === 0) {
    result = yield* members[locked].tryLockMemory();
    if (result === 0) locked++;
  }
  if (result === 0) yield* resetBus(device);
  while (locked-- > 0) yield* members[locked].unlockMemory();
  for (let i = 0; i < members.length && result === 0; i++) {
    yield* members[i].wasReset();
    yield* members[i].irqs.settleIntx();
  }
  return result;
}

/** The bus is reset, and its functions are as they were: those that sleep are woken for it. What each owed is paid. */
export function* resetBus({ pci, set }: VfioPciDevice): Step<void> {
  const { members } = set;
  const states: SavedState[] = [];
  const sleepers: VfioPciDevice[] = [];
  for (let i = 0; i < members.length; i++) {
    if (yield* members[i].idle.wake()) sleepers.push(members[i]);
    states.push(yield* SavedState.of(members[i].pci));
  }
  yield* pci.resetBus();
  for (let i = 0; i < members.length; i++) {
    yield* states[i].restore(members[i].pci, yield* members[i].irqs.holdsIntx());
    members[i].needsReset = false;
  }
  for (let i = 0; i < sleepers.length; i++) yield* sleepers[i].idle.sleep();
}
