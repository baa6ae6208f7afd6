import { Pci } from "../../../arch/pci/config-registers.js";
import { addressMask, type Bar } from "../../../device/pci/bar.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { Process } from "../../../host/process.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL, EIO } from "../../../uapi/errno.js";
import { VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE } from "../../../uapi/vfio.js";
import { type MappingGate, RegisterMapping } from "../register-mapping.js";
import { type PciRegion, type RegisterPort, transfer } from "./region.js";

const PAGE = 4096;

/** May the user reach the function's memory now? */
export interface MemoryGate extends MappingGate {
  /** The user's memory enable, and not in D3hot. */
  isMemoryEnabled(): Step<boolean>;
}

/** One BAR of a function as a region. */
export class BarRegion implements PciRegion, RegisterPort {
  readonly size: number;
  readonly flags: number;
  private readonly mapping: RegisterMapping;

  constructor(
    private readonly pci: PciDevice,
    private readonly bar: Bar,
    private readonly gate: MemoryGate,
    /** Linux before 4.16: the pages of the MSI-X table are not mapped. */
    private readonly hidesTable: boolean,
  ) {
    this.size = bar.size;
    this.flags = flagsOf(pci, bar);
    this.mapping = new RegisterMapping(pci.root.host.sim, pci.fn.window(bar.index), `${pci.name}: BAR ${bar.index}`, gate);
  }

  get holdsMsixTable(): boolean {
    return this.pci.fn.msix?.tableBar === this.bar.index;
  }

  /** Bytes, or -EINVAL, -EIO, -EFAULT. The MSI-X table reads all ones; 64-bit accesses are two of 32, the lower first. */
  *read(process: Process, address: number, length: number, position: number): Step<number> {
    return yield* this.access(process, address, length, position, false);
  }

  *write(process: Process, address: number, length: number, position: number): Step<number> {
    return yield* this.access(process, address, length, position, true);
  }

  private *access(process: Process, address: number, length: number, position: number, isWrite: boolean): Step<number> {
    if (position >= this.size) return -EINVAL;
    const count = Math.min(length, this.size - position);
    yield* this.gate.lockMemory();
    let result = 0;
    if (this.bar.kind !== "io" && !(yield* this.gate.isMemoryEnabled())) result = -EIO;
    else result = yield* transfer(this, { process, address, count, position, isWrite });
    yield* this.gate.unlockMemory();
    return result;
  }

  *load(at: number, size: number): Step<number> {
    return this.isInTable(at, size) ? -1 : yield* this.pci.fn.readBar(this.bar.index, at, size);
  }

  *store(at: number, size: number, value: number): Step<void> {
    if (!this.isInTable(at, size)) yield* this.pci.fn.writeBar(this.bar.index, at, size, value);
  }

  /** The MSI-X table is the host's. */
  isInTable(at: number, size: number): boolean {
    const { msix, table } = this.pci.fn;
    if (msix === null || table === null || !this.holdsMsixTable) return false;
    return at < msix.tableOffset + table.bytes && at + size > msix.tableOffset;
  }

  /** An area that reaches the function without a call; -EINVAL. */
  mmap(process: Process, length: number, position: number): number {
    if (!(this.flags & VFIO_REGION_INFO_FLAG_MMAP)) return -EINVAL;
    const rounded = Math.ceil(length / PAGE) * PAGE;
    if (length <= 0 || position % PAGE !== 0 || position + rounded > Math.ceil(this.size / PAGE) * PAGE) return -EINVAL;
    if (this.hidesTable && this.isInTable(position, rounded)) return -EINVAL;
    const address = process.memory.findFree(rounded);
    process.memory.map(address, rounded, { writable: true, region: this.mapping.window(), regionOffset: position });
    return address;
  }

  /** What is mapped where the table's pages are not: before and behind them; null where all is (vfio.md 7.3). */
  sparseAreas(): readonly { readonly offset: number; readonly size: number }[] | null {
    const { msix, table } = this.pci.fn;
    if (!this.hidesTable || msix === null || table === null) return null;
    const before = Math.floor(msix.tableOffset / PAGE) * PAGE;
    const behind = Math.ceil((msix.tableOffset + table.bytes) / PAGE) * PAGE;
    const areas = [];
    if (before > 0) areas.push({ offset: 0, size: before });
    if (behind < this.size) areas.push({ offset: behind, size: this.size - behind });
    // A table that fills its BAR leaves one area of nothing: clients skip it.
    return areas.length > 0 ? areas : [{ offset: 0, size: 0 }];
  }

  /** Takes the pages out of all mappings: on return no access that began before is under way (23.21). */
  *zap(): Step<void> {
    yield* this.mapping.zap();
  }

  *revoke(): Step<void> {
    yield* this.mapping.revoke();
  }
}

/** A memory BAR is mapped by pages: one smaller than a page where it begins one, which is then its alone (7.3). */
function flagsOf(pci: PciDevice, bar: Bar): number {
  const flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  const beginsPage = (pci.fn.peek(Pci.BAR0 + 4 * bar.index, 4) & (PAGE - 1) & addressMask(bar)) === 0;
  return bar.kind !== "io" && (bar.size >= PAGE || beginsPage) ? flags | VFIO_REGION_INFO_FLAG_MMAP : flags;
}
