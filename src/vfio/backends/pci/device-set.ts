import type { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import type { PciBus } from "../../../host/pci/pci-root.js";
import type { VfioPciDevice } from "./device.js";

/** Functions that are reset together, and the lock under which their opens and closes exclude each other (vfio.md 1.1). */
export class PciDeviceSet {
  readonly members: VfioPciDevice[] = [];

  constructor(
    readonly lock: Mutex,
    readonly bus: PciBus,
  ) {}

  /** A driver has the function, which sleeps until it is opened. Not under a hot reset, which wakes and resets members (12.5). */
  *enter(member: VfioPciDevice): Step<void> {
    yield* this.lock.lock();
    this.members.push(member);
    yield* member.idle.sleep();
    yield* this.lock.unlock();
  }

  /** It stays awake from now on, or may sleep again at its next close. */
  *hold(member: VfioPciDevice, isHeld: boolean): Step<void> {
    yield* this.lock.lock();
    yield* member.idle.hold(isHeld);
    yield* this.lock.unlock();
  }

  *leave(member: VfioPciDevice): Step<void> {
    const isUnlocked = member.pci.root.host.sim.hazards.leaveSetUnlocked;
    if (!isUnlocked) yield* this.lock.lock();
    yield* member.idle.wake();
    this.members.splice(this.members.indexOf(member), 1);
    if (!isUnlocked) yield* this.lock.unlock();
  }
}
