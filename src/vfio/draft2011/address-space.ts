import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import { VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU } from "../../uapi/vfio.js";
import type { VfioContainer } from "../container.js";
import type { VfioGroup } from "../group.js";
import type { VfioGroupFile } from "../group-file.js";

const VIABLE = 1;

/** A group as the draft has it: any number of files, and an address space that it shares with whom it is merged. */
export class DraftGroup {
  /** Open group files, and open device files of its devices. */
  files = 0;
  devices = 0;
  /** The core's file of the group, while its address space is open. */
  private coreFile: VfioGroupFile | null = null;

  constructor(
    readonly core: VfioGroup,
    public space: AddressSpace,
  ) {}

  /** Into the container: 0, or a negative errno with nothing of it left. */
  *enter(process: Process, container: VfioContainer): Step<number> {
    const file = yield* this.core.openFile(process);
    if (typeof file === "number") return file;
    const result = yield* this.core.enter(process, container);
    if (result === 0) this.coreFile = file;
    else yield* file.put();
    return result;
  }

  /** The core detaches a group whose last file is closed (vfio.md 5.1). */
  *leave(): Step<void> {
    const file = this.coreFile;
    this.coreFile = null;
    if (file !== null) yield* file.put();
  }
}

/**
 * The I/O address space of groups that are merged, or of one alone: a container that opens with the first IOMMU or device
 * file and closes, mappings and all, with the last (vfio.md 21.6). All of it is under the draft's one lock.
 */
export class AddressSpace {
  readonly groups: DraftGroup[] = [];
  container: VfioContainer | null = null;
  /** Whose process it is while it is open: nobody else's calls on the groups are answered. */
  owner: Process | null = null;
  /** Open IOMMU files. */
  files = 0;

  constructor(private readonly newContainer: () => VfioContainer) {}

  get isInUse(): boolean {
    return this.files > 0 || this.groups.some((group) => group.devices > 0);
  }

  /** Every member: the core would let each into a container. */
  *isViable(): Step<boolean> {
    for (let i = 0; i < this.groups.length; i++) {
      const status = yield* this.groups[i].core.status();
      if (status < 0 || (status & VIABLE) === 0) return false;
    }
    return true;
  }

  /** -EBUSY where a member is not viable, else what the core says. */
  *open(process: Process): Step<number> {
    if (this.container !== null) return 0;
    if (!(yield* this.isViable())) return -EBUSY;
    const container = this.newContainer();
    let entered = 0;
    let result = 0;
    while (entered < this.groups.length && result === 0) {
      result = yield* this.groups[entered].enter(process, container);
      if (result === 0) entered++;
    }
    if (result === 0) result = yield* container.ioctl(process, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
    if (result === 0) {
      this.container = container;
      this.owner = process;
      return 0;
    }
    while (entered-- > 0) yield* this.groups[entered].leave();
    return result;
  }

  *close(): Step<void> {
    if (this.container === null) return;
    this.container = null;
    this.owner = null;
    for (let i = 0; i < this.groups.length; i++) yield* this.groups[i].leave();
  }

  /** A file is gone: what nobody uses closes, and members without files stand alone again. */
  *dissolve(): Step<void> {
    if (this.isInUse) return;
    yield* this.close();
    for (let i = this.groups.length - 1; i >= 0; i--) if (this.groups[i].files === 0 && this.groups.length > 1) this.separate(this.groups[i]);
  }

  /** Takes in a group whose space is closed; this one is opened for it. -EINVAL where only one of them snoops. */
  *merge(process: Process, group: DraftGroup): Step<number> {
    const alone = yield* group.space.open(process);
    if (alone !== 0) return alone;
    const wasClosed = this.container === null;
    const opened = yield* this.open(process);
    const fits = opened === 0 && this.groups[0].core.iommuGroup.enforcesCoherency === group.core.iommuGroup.enforcesCoherency;
    yield* group.space.close();
    const { container } = this;
    if (!fits || container === null) {
      if (opened === 0 && wasClosed) yield* this.close();
      return opened === 0 ? -EINVAL : opened;
    }
    const result = yield* group.enter(process, container);
    if (result === 0) {
      group.space.groups.splice(group.space.groups.indexOf(group), 1);
      this.add(group);
    }
    return result;
  }

  /** The group gets a closed space of its own. */
  separate(group: DraftGroup): void {
    this.groups.splice(this.groups.indexOf(group), 1);
    new AddressSpace(this.newContainer).add(group);
  }

  add(group: DraftGroup): void {
    this.groups.push(group);
    group.space = this;
  }
}
