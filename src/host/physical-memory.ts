import type { DmaPort } from "../device/dma-port.js";
import type { Step } from "../sim/step.js";
import type { Process } from "./process.js";

const PAGE = 4096;
/** Where RAM for processes begins: below are the devices. */
const FIRST = 2 ** 32;

/** One mmap's pages, where they are in physical memory. */
interface Extent {
  readonly start: number;
  readonly end: number;
  readonly process: Process;
  /** The process's address of the first. */
  readonly user: number;
  readonly made: object;
}

/**
 * RAM as a bus has it, without an IOMMU: a device that can master the bus reaches the memory of every process. So does what
 * VFIO's no-iommu mode hands out (vfio.md 19), and the kernel is tainted for it.
 */
export class PhysicalMemory implements DmaPort {
  private readonly extents: Extent[] = [];
  private next = FIRST;

  /** The physical address of what a process has mapped, as /proc/PID/pagemap tells it; -1 where nothing is. */
  addressOf(process: Process, address: number): number {
    const area = process.memory.areaAt(address);
    if (area === null || area.kind !== "ram") return -1;
    const { made } = area;
    let extent = this.extents.find((each) => each.made === made);
    if (extent === undefined) {
      extent = { start: this.next, end: this.next + made.end - made.start, process, user: made.start, made };
      this.extents.push(extent);
      this.next = Math.ceil(extent.end / PAGE) * PAGE;
    }
    return extent.start + address - made.start;
  }

  *read(address: number, into: Uint8Array): Step<boolean> {
    return this.transfer(address, into, false);
  }

  /** Page protections are the CPUs': memory that its process can only read is written. */
  *write(address: number, from: Uint8Array): Step<boolean> {
    return this.transfer(address, from, true);
  }

  /** False where no memory answers, or none any more. */
  private transfer(address: number, bytes: Uint8Array, isWrite: boolean): boolean {
    for (let done = 0; done < bytes.length; ) {
      const at = address + done;
      const extent = this.extents.find(({ start, end }) => at >= start && at < end);
      if (extent === undefined) return false;
      const user = extent.user + at - extent.start;
      const { memory } = extent.process;
      if (memory.areaAt(user)?.made !== extent.made) return false;
      const frame = memory.frame(user);
      const inPage = user % PAGE;
      const part = bytes.subarray(done, done + Math.min(PAGE - inPage, extent.end - at));
      const page = new Uint8Array(frame.buffer, frame.byteOffset + inPage, part.length);
      if (isWrite) page.set(part);
      else part.set(page);
      done += part.length;
    }
    return true;
  }
}
