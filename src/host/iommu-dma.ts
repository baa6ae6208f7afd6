import type { DmaPort } from "../device/dma-port.js";
import type { Step } from "../sim/step.js";
import type { IommuDomain, IommuMapping } from "./iommu-domain.js";
import type { IommuGroup } from "./iommu-group.js";
import type { Smmu } from "./smmu.js";

const PAGE = 4096;

/** The bus master's side of an SMMU: a device's reads and writes, translated by its group's domain (host-irq.md 5.3). */
export class IommuDma implements DmaPort {
  /** Transactions that were terminated. */
  faults = 0;

  constructor(
    private readonly smmu: Smmu,
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
    if (typeof domain === "string" || this.stream >= this.smmu.streams) {
      this.faults++;
      yield* this.smmu.unattached(this.stream, iova, isWrite);
      return false;
    }
    for (let done = 0; done < bytes.length; ) {
      const mapping = yield* this.translate(domain, iova + done, isWrite);
      if (mapping === null) return false;
      done += copy(mapping, iova + done, bytes.subarray(done), isWrite);
    }
    return true;
  }

  /** Null: the transaction ends here, with a fault. */
  private *translate(domain: IommuDomain, iova: number, isWrite: boolean): Step<IommuMapping | null> {
    const mapping = yield* domain.translate(BigInt(iova));
    if (mapping !== null && (isWrite ? mapping.isWritable : mapping.isReadable)) return mapping;
    this.faults++;
    yield* this.smmu.fault(mapping === null ? "F_TRANSLATION" : "F_PERMISSION", this.stream, iova, isWrite);
    return null;
  }
}

/** Copies as far as the page goes; the bytes copied. */
function copy(mapping: IommuMapping, iova: number, bytes: Uint8Array, isWrite: boolean): number {
  const offset = Number(BigInt(iova) - mapping.iova);
  const frame = mapping.pages.frame(offset);
  const inPage = (mapping.pages.start + offset) % PAGE;
  const count = Math.min(bytes.length, PAGE - inPage, mapping.pages.length - offset);
  const page = new Uint8Array(frame.buffer, frame.byteOffset + inPage, count);
  if (isWrite) page.set(bytes.subarray(0, count));
  else bytes.set(page);
  return count;
}
