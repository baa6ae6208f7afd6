import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import { guarded } from "../../../sim/access.js";
import { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { EEXIST, EFAULT, EINVAL, ENODEV, ENOSPC } from "../../../uapi/errno.js";
import { VFIO_DEVICE_IOEVENTFD_64, VFIO_DEVICE_IOEVENTFD_SIZE_MASK, vfio_device_ioeventfd } from "../../../uapi/vfio.js";
import { VirqfdSlot, virqfdsOf } from "../../virqfd.js";
import type { Vfio } from "../../vfio.js";
import type { VfioPciDevice } from "./device.js";
import { REGION_SHIFT } from "./info.js";

const LIMIT = 1000;
const argument = new UserArgument(vfio_device_ioeventfd.size);

interface Target {
  readonly bar: number;
  readonly position: number;
  readonly width: number;
  readonly data: number;
}

/** Eventfds whose signal writes a register of the function (vfio.md 12.6). Under a lock of their own. */
export class Ioeventfds {
  readonly lock: Mutex;
  private slots: IoeventfdSlot[] = [];

  constructor(
    private readonly vfio: Vfio,
    private readonly device: VfioPciDevice,
  ) {
    this.lock = new Mutex(vfio.sim, "vfio_pci.ioeventfds_lock");
  }

  *ioctl(process: Process, address: number): Step<number> {
    const { minsz, argsz, flags, offset, data, fd } = vfio_device_ioeventfd;
    const { view } = argument;
    if (!argument.copyIn(process, address, minsz)) return -EFAULT;
    const width = flags.get(view);
    const descriptor = fd.get(view);
    const at = offset.getNumber(view);
    const bar = Math.floor(at / REGION_SHIFT);
    const isOneWidth = width !== 0 && (width & ~VFIO_DEVICE_IOEVENTFD_SIZE_MASK) === 0 && (width & (width - 1)) === 0;
    if (argsz.get(view) < minsz || !isOneWidth || descriptor < -1) return -EINVAL;
    const target = { bar, position: at % REGION_SHIFT, width, data: data.lo(view) | 0 };
    if (!this.fits(target)) return -EINVAL;
    yield* this.lock.lock();
    const result = yield* this.change(process, target, descriptor);
    yield* this.lock.unlock();
    return result;
  }

  /** Within a BAR, off the MSI-X table; 64 bits at once are not to be had on the hosts modelled. */
  private fits({ bar, position, width }: Target): boolean {
    const region = this.device.barAt(bar);
    if (region === null || position + width > region.size) return false;
    return !region.isInTable(position, width) && width !== VFIO_DEVICE_IOEVENTFD_64;
  }

  private *change(process: Process, target: Target, fd: number): Step<number> {
    const known = this.slots.find(({ target: each }) => each.bar === target.bar && each.position === target.position && each.width === target.width && each.data === target.data);
    if (fd === -1) return known === undefined ? -ENODEV : yield* this.remove(known);
    if (known !== undefined) return -EEXIST;
    if (this.slots.length >= LIMIT) return -ENOSPC;
    const slot = new IoeventfdSlot(this.vfio, this.device, target);
    const result = yield* slot.enable(process, fd);
    if (result === 0) this.slots.push(slot);
    return result;
  }

  private *remove(slot: IoeventfdSlot): Step<number> {
    this.slots.splice(this.slots.indexOf(slot), 1);
    yield* slot.disable();
    return 0;
  }

  /** Last close. */
  *clear(): Step<void> {
    yield* this.lock.lock();
    while (this.slots.length > 0) yield* this.remove(this.slots[0]);
    yield* this.lock.unlock();
  }
}
guarded(Ioeventfds, (all) => all.lock, "slots");

/** The write is made in the wake-up where the memory lock is free, else by the thread. */
class IoeventfdSlot extends VirqfdSlot {
  protected override readonly hasThread = true;
  constructor(
    vfio: Vfio,
    private readonly device: VfioPciDevice,
    readonly target: Target,
  ) {
    super(virqfdsOf(vfio.host));
  }

  override *onSignal(): Step<boolean> {
    const { memoryLock, pci } = this.device;
    if (!(yield* memoryLock.tryLock())) return true;
    const isUnlocked = pci.root.host.sim.hazards.storeUnlocked;
    const decodes = yield* this.decodes();
    if (isUnlocked) yield* memoryLock.unlock();
    if (decodes) yield* this.store();
    if (!isUnlocked) yield* memoryLock.unlock();
    return false;
  }

  override *onInject(): Step<void> {
    yield* this.device.lockMemory();
    if (yield* this.decodes()) yield* this.store();
    yield* this.device.unlockMemory();
  }

  /** The write is dropped where not. Memory lock held until it is made. */
  private *decodes(): Step<boolean> {
    return this.device.pci.fn.barAt(this.target.bar)?.kind === "io" || (yield* this.device.isMemoryEnabled());
  }

  private *store(): Step<void> {
    const { bar, position, width, data } = this.target;
    yield* this.device.pci.fn.writeBar(bar, position, width, data);
  }
}
