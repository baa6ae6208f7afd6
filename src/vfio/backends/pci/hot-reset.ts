import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import type { PciState } from "../../../host/pci/pci-device.js";
import type { Step } from "../../../sim/step.js";
import { EBADF, EFAULT, EINVAL, ENODEV, ENOSPC, EPERM } from "../../../uapi/errno.js";
import { vfio_pci_dependent_device, vfio_pci_hot_reset, vfio_pci_hot_reset_info } from "../../../uapi/vfio.js";
import { VfioGroupFile } from "../../group-file.js";
import type { VfioGroup } from "../../group.js";
import type { VfioPciDevice } from "./device.js";

// The reset of a whole bus, which takes all functions that it reaches (vfio.md 12.4, 12.5). Devices opened by their group.

const ENTRY = vfio_pci_dependent_device.size;
const header = new UserArgument(vfio_pci_hot_reset_info.size);
const entry = new UserArgument(ENTRY);

/** The functions that the reset reaches, whoever has them. */
export function getHotResetInfo(device: VfioPciDevice, process: Process, address: number): number {
  const { size, argsz, flags, count } = vfio_pci_hot_reset_info;
  if (!header.copyIn(process, address, size)) return -EFAULT;
  const given = argsz.get(header.view);
  if (given < size) return -EINVAL;
  if (!device.pci.canResetBus) return -ENODEV;
  const { devices } = device.set.bus;
  if (devices.some((each) => each.group === null)) return -EPERM;
  const hasRoom = given >= size + ENTRY * devices.length;
  flags.set(header.view, 0);
  count.set(header.view, devices.length);
  if (!header.copyOut(process, address, size)) return -EFAULT;
  if (!hasRoom) return -ENOSPC;
  for (let i = 0; i < devices.length; i++) {
    const { group, fn } = devices[i];
    vfio_pci_dependent_device.group_id.set(entry.view, group?.id ?? 0);
    vfio_pci_dependent_device.segment.set(entry.view, 0);
    vfio_pci_dependent_device.bus.set(entry.view, fn.requesterId >> 8);
    vfio_pci_dependent_device.devfn.set(entry.view, fn.requesterId & 0xff);
    if (!entry.copyOut(process, address + size + ENTRY * i)) return -EFAULT;
  }
  return 0;
}

export function* hotReset(device: VfioPciDevice, process: Process, address: number): Step<number> {
  const { size, argsz, flags, count } = vfio_pci_hot_reset;
  if (!header.copyIn(process, address, size)) return -EFAULT;
  const groups = count.get(header.view);
  const given = argsz.get(header.view);
  if (given < size || flags.get(header.view) !== 0) return -EINVAL;
  if (!device.pci.canResetBus) return -ENODEV;
  if (groups === 0 || groups > device.set.bus.devices.length) return -EINVAL;
  const owned = groupsOf(process, address + size, groups);
  return typeof owned === "number" ? owned : yield* resetSet(device, owned);
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

function* resetSet(device: VfioPciDevice, owned: readonly VfioGroup[]): Step<number> {
  const { set } = device;
  yield* set.lock.lock();
  const result = canReset(device, owned) ? yield* resetMembers(device) : -EINVAL;
  yield* set.lock.unlock();
  return result;
}

/** Every function on the bus is vfio's, and each that is open is the caller's. */
function canReset({ set }: VfioPciDevice, owned: readonly VfioGroup[]): boolean {
  const { members, bus } = set;
  return members.length === bus.devices.length && members.every((each) => !each.isOpen || owned.includes(each.group));
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
  if (result === 0) {
    const states: PciState[] = [];
    for (let i = 0; i < members.length; i++) states.push(yield* members[i].pci.saveState());
    yield* device.pci.resetBus();
    for (let i = 0; i < members.length; i++) {
      yield* members[i].pci.restoreState(states[i]);
      members[i].needsReset = false;
    }
  }
  while (locked-- > 0) yield* members[locked].unlockMemory();
  return result;
}
