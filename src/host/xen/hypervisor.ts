import { reads, shared, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { E2BIG, EBUSY, EINVAL, ENODEV, EPERM, ESRCH } from "../../uapi/errno.js";
import type { Process } from "../process.js";
import { RangeList } from "../range-list.js";
import { EventChannels } from "./event-channels.js";
import { PhysicalIrqs } from "./physical-irqs.js";

/** The control domain. */
export const DOM0 = 0;
/** Frames in one call of memory_mapping. */
export const MAX_FRAMES = 64;
const PAGE = 4096;

export interface XenOptions {
  /** The domain that this host kernel runs in; default the control domain. Domctls are its privilege. */
  readonly callerDomain?: number;
  /** Bits of a machine address; default 46. */
  readonly physicalBits?: number;
  /** The machine frame behind a page of a process; default each mmap's one after the other, from frame 0x100000 on. */
  readonly frameOf?: (process: Process, address: number) => number;
  /** Functions that the hardware's IOMMU does not tell from one, with it; default it alone. */
  readonly deviceGroup?: (device: string) => readonly string[];
  /** May these frames be given to guests? Default: all that a process has pinned (vfio.md 21.3, virq's choice). */
  readonly iomemPermission?: (mfn: number) => boolean;
  /** What the mapping of a run itself answers; default 0. For tests of what happens when memory is short. */
  readonly mappingResult?: (gfn: number, count: number) => number;
}

/** Frames of a guest, one after the other, that are as many of the machine. */
interface FrameRun {
  readonly gfn: number;
  readonly end: number;
  readonly mfn: number;
}

/** A guest: what it sees of machine memory. */
export class XenGuest {
  private readonly p2m = new RangeList<number, FrameRun>(
    (run) => run.gfn,
    (run) => run.end,
  );

  constructor(readonly id: number) {}

  /** What the frames were before is forgotten; runs that go on in both spaces are one. */
  *setFrames(gfn: number, mfn: number, count: number): Step<void> {
    yield writes(this, "p2m");
    this.forget(gfn, gfn + count);
    let run: FrameRun = { gfn, end: gfn + count, mfn };
    for (const beside of this.p2m.in(gfn - 1, gfn + count + 1)) {
      if (beside.mfn - beside.gfn !== mfn - gfn) continue;
      this.p2m.remove(beside);
      run = { gfn: Math.min(run.gfn, beside.gfn), end: Math.max(run.end, beside.end), mfn: Math.min(run.mfn, beside.mfn) };
    }
    this.p2m.add(run);
  }

  *clearFrames(gfn: number, count: number): Step<void> {
    yield writes(this, "p2m");
    this.forget(gfn, gfn + count);
  }

  private forget(gfn: number, end: number): void {
    for (const run of this.p2m.in(gfn, end)) {
      this.p2m.remove(run);
      if (run.gfn < gfn) this.p2m.add({ ...run, end: gfn });
      if (run.end > end) this.p2m.add({ gfn: end, end: run.end, mfn: run.mfn + end - run.gfn });
    }
  }

  /** The machine's frame behind the guest's, -1 without one: for tests and dumps. */
  *machineFrame(gfn: number): Step<number> {
    yield reads(this, "p2m");
    const run = this.p2m.firstIn(gfn, gfn + 1);
    return run === undefined ? -1 : run.mfn + gfn - run.gfn;
  }

  /** Frames that the guest has been given, for tests and dumps. */
  *frames(): Step<number> {
    yield reads(this, "p2m");
    let frames = 0;
    for (const { gfn, end } of this.p2m.all()) frames += end - gfn;
    return frames;
  }
}
shared(XenGuest, "p2m");

/**
 * The Xen below a host kernel (vfio.md 21.3, 21.4; xen/common/domctl.c): guests, who has which device, the memory of guests
 * that devices reach, physical interrupts and event channels. Hypercalls answer 0 or a negative errno.
 */
export class XenHypervisor {
  readonly channels: EventChannels;
  readonly pirqs: PhysicalIrqs;
  private readonly guests = new Map<number, XenGuest>();
  private readonly owners = new Map<string, number>();
  /** First frame of each piece of memory that anybody asked for. */
  private readonly firstFrames = new WeakMap<object, number>();
  private nextFrame = 0x10_0000;

  constructor(
    private readonly sim: Sim,
    private readonly options: XenOptions = {},
  ) {
    this.channels = new EventChannels(sim);
    this.pirqs = new PhysicalIrqs(sim, this.channels);
  }

  addGuest(id: number): XenGuest {
    const guest = new XenGuest(id);
    this.guests.set(id, guest);
    return guest;
  }

  hasDomain(id: number): boolean {
    return id === DOM0 || this.guests.has(id);
  }

  get isPrivileged(): boolean {
    return (this.options.callerDomain ?? DOM0) === DOM0;
  }

  /** The machine frame behind a page that a process has mapped: a page that is mapped anew is another one. */
  frameOf(process: Process, address: number): number {
    if (this.options.frameOf !== undefined) return this.options.frameOf(process, address);
    const area = process.memory.areaAt(address);
    if (area === null) throw new Error(`no page at 0x${address.toString(16)}`);
    const { made } = area;
    let first = this.firstFrames.get(made);
    if (first === undefined) {
      first = this.nextFrame;
      this.nextFrame += Math.ceil((made.end - made.start) / PAGE);
      this.firstFrames.set(made, first);
    }
    return first + Math.floor((address - made.start) / PAGE);
  }

  /** DOMCTL test_assign_device (45): -EBUSY where another guest has it. */
  *testAssign(device: string, guest: number): Step<number> {
    if (!this.isPrivileged) return -EPERM;
    yield reads(this, "owners");
    const owner = this.owners.get(device) ?? DOM0;
    return owner === DOM0 || owner === guest ? 0 : -EBUSY;
  }

  /** assign_device (37): -ESRCH without such a guest, -EBUSY. */
  *assign(device: string, guest: number): Step<number> {
    if (!this.isPrivileged) return -EPERM;
    if (!this.guests.has(guest)) return -ESRCH;
    yield writes(this, "owners");
    if ((this.owners.get(device) ?? DOM0) !== DOM0) return -EBUSY;
    this.owners.set(device, guest);
    return 0;
  }

  /** deassign_device (47): -ENODEV where that guest has it not. */
  *deassign(device: string, guest: number): Step<number> {
    if (!this.isPrivileged) return -EPERM;
    yield writes(this, "owners");
    if (this.owners.get(device) !== guest) return -ENODEV;
    this.owners.delete(device);
    return 0;
  }

  /** get_device_group (50): functions that go to a guest together, or a negative errno. */
  *deviceGroup(device: string): Step<readonly string[] | number> {
    if (!this.isPrivileged) return -EPERM;
    return this.options.deviceGroup?.(device) ?? [device];
  }

  *ownerOf(device: string): Step<number> {
    yield reads(this, "owners");
    return this.owners.get(device) ?? DOM0;
  }

  /** memory_mapping (39): up to 64 frames of a guest lead to machine frames, or no longer. Checks in Xen's order. */
  *memoryMapping(id: number, gfn: number, mfn: number, count: number, isAdd: boolean): Step<number> {
    if (!this.isPrivileged) return -EPERM;
    const guest = this.guests.get(id);
    if (guest === undefined) return -ESRCH;
    const limit = 2 ** ((this.options.physicalBits ?? 46) - 12);
    if (count <= 0 || mfn + count > limit || gfn + count > 2 ** 52) return -EINVAL;
    if (count > MAX_FRAMES) return -E2BIG;
    const { iomemPermission } = this.options;
    if (iomemPermission !== undefined) for (let i = 0; i < count; i++) if (!iomemPermission(mfn + i)) return -EPERM;
    const result = isAdd ? (this.options.mappingResult?.(gfn, count) ?? 0) : 0;
    if (!isAdd) yield* guest.clearFrames(gfn, count);
    else if (result === 0) yield* guest.setFrames(gfn, mfn, count);
    this.sim.emit(Ev.xen_memory_mapping, id, gfn, count, isAdd ? 1 : 0, result);
    return result;
  }
}
shared(XenHypervisor, "owners");
