import { Command, Pci } from "../../../arch/pci/config-registers.js";
import { VGA_WINDOWS } from "../../../device/pci/vga.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { Process } from "../../../host/process.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL } from "../../../uapi/errno.js";
import { VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE } from "../../../uapi/vfio.js";
import { type PciRegion, type RegisterPort, transfer } from "./region.js";

/** Class code of a VGA compatible controller, without its programming interface. */
const DISPLAY_VGA = 0x0300;

/** Has the function the legacy ranges of a VGA adapter? By its class (vfio_pci_is_vga). */
export function isVga({ fn }: PciDevice): boolean {
  return fn.peek(Pci.REVISION, 4) >>> 16 === DISPLAY_VGA;
}

/**
 * The legacy frame buffer and ports of a VGA adapter as region 8 (vfio.md 7.3, 14), at the addresses that they have on a PC.
 * An access has the host's ranges to itself, and the function decoding, whatever the user's command register says: that is the
 * VGA arbiter's, who leaves the decoder on.
 */
export class VgaRegion implements PciRegion, RegisterPort {
  readonly size = 0xc_0000;
  readonly flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

  constructor(private readonly pci: PciDevice) {}

  *read(process: Process, address: number, length: number, position: number): Step<number> {
    return yield* this.access(process, address, length, position, false);
  }

  *write(process: Process, address: number, length: number, position: number): Step<number> {
    return yield* this.access(process, address, length, position, true);
  }

  private *access(process: Process, address: number, length: number, position: number, isWrite: boolean): Step<number> {
    const window = VGA_WINDOWS.find(({ first, last }) => position >= first && position <= last);
    if (window === undefined) return -EINVAL;
    const { vgaLock } = this.pci.root;
    yield* vgaLock.lock();
    yield* this.pci.updateConfig(Pci.COMMAND, 0, window.isPort ? Command.IO : Command.MEMORY);
    const count = Math.min(length, window.last + 1 - position);
    const result = yield* transfer(this, { process, address, count, position, isWrite });
    yield* vgaLock.unlock();
    return result;
  }

  *load(at: number, size: number): Step<number> {
    return yield* this.pci.fn.readVga(at, size);
  }

  *store(at: number, size: number, value: number): Step<void> {
    yield* this.pci.fn.writeVga(at, size, value);
  }

  mmap(): number {
    return -EINVAL;
  }

  *zap(): Step<void> {}
  *revoke(): Step<void> {}
}
