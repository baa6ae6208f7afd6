import { H_GET_TCE, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, TCE_BYTES, TCE_LIST, TCE_PAGE, TCE_READ, TCE_WRITE } from "../arch/papr.js";
import { H_PARAMETER, H_SUCCESS } from "../irqchip/xics/constants.js";
import type { Step } from "../sim/step.js";
import type { GuestWords } from "./guest-words.js";
import { must } from "./must.js";
import type { PaprCall } from "./papr-call.js";
import type { Word64 } from "./ppc-kvm.js";
import type { DmaWindow, VfioContainerClient } from "./vfio.js";

/** What maps for a device. */
export type DmaMapper = Pick<VfioContainerClient, "mapDma" | "unmapDma">;

const TWO32 = 0x1_0000_0000;
const ACCESS = TCE_READ | TCE_WRITE;
const NOTHING: Word64 = { hi: 0, lo: 0 };

/** Is it one of the hypercalls that a {@link TceTable} answers? */
export const isTceCall = (number: number): boolean => number === H_GET_TCE || number === H_PUT_TCE || number === H_STUFF_TCE || number === H_PUT_TCE_INDIRECT;

/**
 * The default DMA window of a guest's host bridge, whose entries the guest's hypercalls set, as QEMU keeps it: an entry that
 * leads to RAM is mapped by VFIO; one that leads elsewhere is kept, and what a device does there faults.
 */
export class TceTable {
  private readonly entries = new Map<number, Word64>();
  private readonly mapped = new Set<number>();
  private readonly count: number;

  /** @param liobn the window's number */
  constructor(
    private readonly container: DmaMapper,
    private readonly words: GuestWords,
    readonly liobn: number,
    private readonly window: DmaWindow,
  ) {
    this.count = Math.floor(window.size / TCE_PAGE);
  }

  /** A call with this table's number in its first argument: the status for r3. */
  *serve(call: PaprCall): Step<number> {
    switch (call.number) {
      case H_GET_TCE:
        return this.read(call);
      case H_PUT_TCE:
        return yield* this.putAt(this.indexOf(call), call.word(2));
      case H_STUFF_TCE:
        return yield* this.stuff(this.indexOf(call), call.word(2), call.value(3));
      default:
        return yield* this.putList(this.indexOf(call), call.value(2), call.value(3));
    }
  }

  /** The entry of the bus address in the second argument, whose offset in the page does not count; -1 outside of the window. */
  private indexOf(call: PaprCall): number {
    const offset = call.value(1) - this.window.start;
    return offset >= 0 && offset < this.window.size ? Math.floor(offset / TCE_PAGE) : -1;
  }

  private read(call: PaprCall): number {
    const index = this.indexOf(call);
    if (index < 0) return H_PARAMETER;
    call.answer(0, this.entries.get(index) ?? NOTHING);
    return H_SUCCESS;
  }

  private *putAt(index: number, tce: Word64): Step<number> {
    if (index < 0 || index >= this.count) return H_PARAMETER;
    yield* this.put(index, tce);
    return H_SUCCESS;
  }

  private *put(index: number, tce: Word64): Step<void> {
    const iova = this.window.start + index * TCE_PAGE;
    if (this.mapped.delete(index)) must(yield* this.container.unmapDma(iova, TCE_PAGE), "VFIO_IOMMU_UNMAP_DMA");
    if (tce.hi === 0 && tce.lo === 0) this.entries.delete(index);
    else this.entries.set(index, tce);
    const access = tce.lo & ACCESS;
    const user = this.words.userAt((tce.hi >>> 0) * TWO32 + ((tce.lo & -TCE_PAGE) >>> 0), TCE_PAGE);
    if (access === 0 || user < 0) return;
    must(yield* this.container.mapDma(iova, TCE_PAGE, user, access), "VFIO_IOMMU_MAP_DMA");
    this.mapped.add(index);
  }

  /** One value in `count` entries: as far as the window goes, and H_PARAMETER where it ends too early. */
  private *stuff(index: number, tce: Word64, count: number): Step<number> {
    if (index < 0 || count === 0 || count > this.count) return H_PARAMETER;
    const end = Math.min(index + count, this.count);
    const isClear = tce.hi === 0 && tce.lo === 0;
    const held = isClear ? [...this.entries.keys()].filter((each) => each >= index && each < end) : [];
    for (let i = 0; i < held.length; i++) yield* this.put(held[i], tce);
    for (let i = isClear ? end : index; i < end; i++) yield* this.put(i, tce);
    return index + count > this.count ? H_PARAMETER : H_SUCCESS;
  }

  /** Entries from a page of the guest's, one after the other until one is outside of the window. */
  private *putList(index: number, list: number, count: number): Step<number> {
    if (index < 0 || count === 0 || count > TCE_LIST || list % TCE_PAGE !== 0 || this.words.userAt(list, TCE_PAGE) < 0) return H_PARAMETER;
    let status = H_SUCCESS;
    for (let i = 0; i < count && status === H_SUCCESS; i++) {
      const at = list + TCE_BYTES * i;
      status = yield* this.putAt(index + i, { hi: this.words.get(at) | 0, lo: this.words.get(at + 4) | 0 });
    }
    return status;
  }
}
