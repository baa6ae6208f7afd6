import type { DmaPort } from "../../device/dma-port.js";
import type { PciFunction } from "../../device/pci/function.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

/**
 * A function's way to memory: nothing leaves it while its Bus Master Enable is clear, or in D3hot (PCI 3.0, 6.2.2). So DMA stops
 * at the first step of a VFIO device's close (vfio.md 12.2).
 */
export class BusMaster implements DmaPort {
  /** Given once it is made: its port comes first. */
  fn: PciFunction | null = null;

  /** @param port behind the function: its IOMMU */
  constructor(private readonly port: DmaPort) {}

  *read(iova: number, into: Uint8Array): Step<boolean> {
    return (yield* this.mayMaster()) && (yield* this.port.read(iova, into));
  }

  *write(iova: number, from: Uint8Array): Step<boolean> {
    return (yield* this.mayMaster()) && (yield* this.port.write(iova, from));
  }

  private *mayMaster(): Step<boolean> {
    const { fn } = this;
    if (fn === null) return false;
    yield reads(fn, "PCI");
    return fn.isMaster && !fn.isInD3();
  }
}
