import type { Mutex } from "../../../sim/lock.js";
import type { PciBus } from "../../../host/pci/pci-root.js";
import type { VfioPciDevice } from "./device.js";

/** Functions that are reset together, and the lock under which their opens and closes exclude each other (vfio.md 1.1). */
export class PciDeviceSet {
  readonly members: VfioPciDevice[] = [];

  constructor(
    readonly lock: Mutex,
    readonly bus: PciBus,
  ) {}
}
