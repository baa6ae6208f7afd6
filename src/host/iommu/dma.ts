import type { DmaPort } from "../../device/dma-port.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { IommuDomain } from "./domain.js";
import type { IommuGroup } from "./group.js";
import { ENTRY_READ, ENTRY_WRITE, NO_ENTRY } from "./table.js";
import { type DeviceRegion, SigBus } from "../memory.js";
import type { IommuUnit } from "./unit.js";

const PAGE = 4096;
const TWO32 = 0x1_0000_0000;

/** The bus master's side of an IOMMU: a device's reads and writes, each page translated by its group's domain (host-irq.md 5.3). */
export class IommuDma implements DmaPort {
  /** Transactions that were terminated. */
  faults = 0;

  constructor(
    private readonly iommu: IommuUnit,
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
    for (let done = 0; done < bytes.length; ) {
      const at = iova + done;
      const attachment = yield* this.group.attachment();
      const domain = attachment.through;
      if (typeof domain === "string" || this.stream >= this.iommu.streams) return yield* this.block(at, isWrite);
      const entry = isWrite ? yield* domain.walkToWrite(highOf(at), at | 0) : yield* domain.walk(highOf(at), at | 0);
      // The group has left the domain under the walk.
      if (!attachment.isCurrent) continue;
      if (!(entry & (isWrite ? ENTRY_WRITE : ENTRY_READ))) {
        if (isWrite && (yield* this.isMessage(domain, iova, bytes))) return true;
        return yield* this.refuse(at, isWrite, entry !== NO_ENTRY);
      }
      const peer = domain.registers(entry, at);
      if (peer !== null) {
        const reached = yield* this.reach(peer.region.byBus ?? peer.region, peer.offset, bytes.subarray(done), isWrite);
        if (reached === 0) {
          // The IOMMU has let it through: the owner alone can be told.
          this.faults++;
          yield* this.group.tell(this.stream, at, isWrite, "unanswered");
          return false;
        }
        done += reached;
        continue;
      }
      // The walk and the access are one: an unmap returns when no transaction goes by a translation of before, nor does one whose dirty bit was taken.
      const frame = domain.frame(entry, at);
      if (this.iommu.hazards.unmapWithoutInvalidate || this.iommu.hazards.clearWithoutFlush) yield reads(domain, "slots");
      done += copy(frame, at, bytes, done, isWrite);
    }
    return true;
  }

  /** One access to another device's registers: the bytes of it, 0 where nothing there decodes. */
  private *reach(region: DeviceRegion, offset: number, bytes: Uint8Array, isWrite: boolean): Step<number> {
    const size = offset % 4 === 0 && bytes.length >= 4 ? 4 : 1;
    const view = new DataView(bytes.buffer, bytes.byteOffset, size);
    try {
      if (isWrite) yield* region.write(offset, size, size === 4 ? view.getInt32(0, true) : view.getUint8(0));
      else {
        const value = yield* region.read(offset, size);
        if (size === 4) view.setInt32(0, value, true);
        else view.setUint8(0, value);
      }
      return size;
    } catch (error) {
      if (!(error instanceof SigBus)) throw error;
      return 0;
    }
  }

  /** The transaction ends here, with a fault: false. `isMapped`: there is a page, which does not allow it. */
  private *refuse(iova: number, isWrite: boolean, isMapped: boolean): Step<boolean> {
    this.faults++;
    yield* this.iommu.refused(this.stream, iova, isWrite, isMapped);
    yield* this.group.tell(this.stream, iova, isWrite, isMapped ? "permission" : "unmapped");
    return false;
  }

  /** The same where nothing translates for the device. */
  private *block(iova: number, isWrite: boolean): Step<boolean> {
    this.faults++;
    yield* this.iommu.unattached(this.stream, iova, isWrite);
    yield* this.group.tell(this.stream, iova, isWrite, "blocked");
    return false;
  }

  /** A write of one word to what is no memory: to a doorbell it is a message, whatever in the device has sent it (vfio.md 20.1). */
  private *isMessage(domain: IommuDomain, iova: number, bytes: Uint8Array): Step<boolean> {
    const { doorbells } = this.iommu;
    if (doorbells === null || bytes.length !== 4 || iova % 4 !== 0) return false;
    const isHardware = this.group.isHardwareMsi(highOf(iova), iova | 0);
    const address = isHardware ? iova : yield* domain.doorbellAt(iova);
    if (address < 0) return false;
    const data = new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true);
    const isTaken = yield* doorbells.writeDoorbell(this.stream, highOf(address), address | 0, data);
    return isTaken || isHardware;
  }
}

const highOf = (address: number): number => Math.floor(address / TWO32) | 0;

/** Bytes from which on a view of the page pays: shorter transactions allocate nothing. */
const LONG = 64;

/** Copies the bytes from `done` on as far as the page goes; how many. */
function copy(frame: DataView, iova: number, bytes: Uint8Array, done: number, isWrite: boolean): number {
  const inPage = iova % PAGE;
  const count = Math.min(bytes.length - done, PAGE - inPage);
  if (count >= LONG) {
    const page = new Uint8Array(frame.buffer, frame.byteOffset + inPage, count);
    if (isWrite) page.set(bytes.subarray(done, done + count));
    else bytes.set(page, done);
  } else if (isWrite) for (let i = 0; i < count; i++) frame.setUint8(inPage + i, bytes[done + i]);
  else for (let i = 0; i < count; i++) bytes[done + i] = frame.getUint8(inPage + i);
  return count;
}
