import type { DmaPort } from "../device/dma-port.js";
import { Ev } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { IommuGroup } from "./iommu-group.js";

const PAGE = 4096;

/** The bus master's side of an IOMMU: a device's reads and writes, translated by its group's domain (host-irq.md 5.3). */
export class IommuDma implements DmaPort {
  /** Transactions that were terminated. */
  faults = 0;

  constructor(
    private readonly sim: Sim,
    private readonly group: IommuGroup,
    readonly stream: number,
  ) {}

  *read(iova: number, into: Uint8Array): Step<boolean> {
    return yield* this.transfer(iova, into, false);
  }

  *write(iova: number, from: Uint8Array): Step<boolean> {
    return yield* this.transfer(iova, from, true);
  }

  private *transfer(iova: number, bytes: Uint8Array, isWrite: boolean): Step<boolean> {
    const domain = yield* this.group.current();
    for (let done = 0; done < bytes.length; ) {
      const at = BigInt(iova + done);
      const mapping = typeof domain === "string" ? null : yield* domain.translate(at);
      if (mapping === null || !(isWrite ? mapping.isWritable : mapping.isReadable)) {
        this.faults++;
        this.sim.emit(Ev.iommu_fault, this.stream, iova + done, isWrite ? 1 : 0);
        return false;
      }
      const offset = Number(at - mapping.iova);
      const frame = mapping.pages.frame(offset);
      const inPage = (mapping.pages.start + offset) % PAGE;
      const count = Math.min(bytes.length - done, PAGE - inPage, mapping.pages.length - offset);
      const page = new Uint8Array(frame.buffer, frame.byteOffset + inPage, count);
      if (isWrite) page.set(bytes.subarray(done, done + count));
      else bytes.set(page, done);
      done += count;
    }
    return true;
  }
}
