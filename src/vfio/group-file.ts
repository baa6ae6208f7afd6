import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL, ENOTTY } from "../uapi/errno.js";
import {
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  vfio_group_status,
} from "../uapi/vfio.js";
import { UserArgument } from "../host/user-argument.js";
import { VfioFile } from "./contract.js";
import type { VfioGroup } from "./group.js";

const NAME_LIMIT = 4096;
const argument = new UserArgument(vfio_group_status.size);

/** `/dev/vfio/N`, opened (vfio.md 4.2 to 4.6). */
export class VfioGroupFile extends VfioFile {
  readonly kind = "vfio-group";
  readonly isGroupFile = true;

  constructor(readonly group: VfioGroup) {
    super();
  }

  override *ioctl(process: Process, request: number, address: number): Step<number> {
    switch (request) {
      case VFIO_GROUP_GET_STATUS:
        return yield* this.getStatus(process, address);
      case VFIO_GROUP_SET_CONTAINER:
        if (!process.memory.isReadable(address, 4)) return -EFAULT;
        return yield* this.group.setContainer(process, process.memory.getU32(address) | 0);
      case VFIO_GROUP_UNSET_CONTAINER:
        return yield* this.group.unsetContainer();
      case VFIO_GROUP_GET_DEVICE_FD: {
        const name = readName(process, address);
        return typeof name === "number" ? name : yield* this.group.deviceFd(process, name);
      }
      default:
        return -ENOTTY;
    }
  }

  private *getStatus(process: Process, address: number): Step<number> {
    const { size, argsz, flags } = vfio_group_status;
    if (!argument.copyIn(process, address, size)) return -EFAULT;
    const given = argsz.get(argument.view);
    if (given < size) return -EINVAL;
    const status = yield* this.group.status();
    if (status < 0) return status;
    argsz.set(argument.view, given);
    flags.set(argument.view, status);
    return argument.copyOut(process, address, size) ? 0 : -EFAULT;
  }

  override *setKvm(vm: object | null): Step<void> {
    yield* this.group.setKvm(vm);
  }

  override enforcesCoherency(): boolean {
    return this.group.iommuGroup.enforcesCoherency;
  }

  override *release(): Step<void> {
    yield* this.group.fileReleased();
  }
}

/** A NUL-terminated string of less than a page; -EFAULT, or -EINVAL where no NUL comes. */
export function readName(process: Process, address: number): string | number {
  let name = "";
  for (let i = 0; i < NAME_LIMIT; i++) {
    if (!process.memory.isReadable(address + i, 1)) return -EFAULT;
    const byte = process.memory.getU8(address + i);
    if (byte === 0) return name;
    name += String.fromCharCode(byte);
  }
  return -EINVAL;
}
