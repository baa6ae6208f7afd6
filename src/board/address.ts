import { type Region } from "./board.js";
import { type FdtNode, type FdtTree, wide } from "./fdt-node.js";

/** An address on one bus: the cells before the last two (a space code) and the last two as a number. */
interface BusAddress {
  readonly space: number;
  readonly offset: number;
}

interface Window {
  readonly child: BusAddress;
  readonly parent: BusAddress;
  readonly size: number;
}

/** Space code bits of a PCI address: configuration, I/O, 32-bit and 64-bit memory (PCI bus binding, 2.2.1.1). */
const PCI_SPACE = 0x03000000;

/** Turns `reg` into addresses that a CPU uses, through the `ranges` of every bus on the way. */
export class AddressMap {
  private readonly windows = new Map<FdtNode, readonly Window[] | null>();

  constructor(
    private readonly tree: FdtTree,
    private readonly note: (sentence: string) => void,
  ) {}

  /** The node's register frames; one that cannot be reached or does not fit 2^53 is noted and left out. */
  registers(node: FdtNode): Region[] {
    const regions: Region[] = [];
    for (const region of this.frames(node)) if (region) regions.push(region);
    return regions;
  }

  /** As `registers`, with null in the place of a frame that is left out: frames that are known by position. */
  frames(node: FdtNode): (Region | null)[] {
    const bus = node.parent;
    const cells = node.cells("reg");
    if (!bus || !cells || isLogicalHost(node)) return [];
    const [addressCells, sizeCells] = [bus.addressCells, bus.sizeCells];
    const entry = addressCells + sizeCells;
    if (entry === 0 || cells.length % entry !== 0)
      node.fail(`"reg" holds ${cells.length} cells; ${bus.path} says ${addressCells} for an address and ${sizeCells} for a size`);
    if (sizeCells === 0 || isPciBus(bus)) return [];
    const frames: (Region | null)[] = [];
    for (let at = 0; at < cells.length; at += entry) frames.push(this.frame(node, cells, at));
    return frames;
  }

  /** True when every bus between the node and the root translates addresses. */
  reachable(node: FdtNode): boolean {
    for (let bus = node.parent; bus && bus.parent; bus = bus.parent) if (this.of(bus) === null) return false;
    return true;
  }

  private frame(node: FdtNode, cells: readonly number[], at: number): Region | null {
    const bus = node.parent;
    if (!bus) return null;
    const size = wide(cells, at + bus.addressCells, bus.sizeCells);
    let address = busAddress(cells, at, bus.addressCells);
    for (let hop: FdtNode | null = bus; hop && hop.parent && address; hop = hop.parent) {
      const windows = this.of(hop);
      if (windows === null) return null;
      address = this.step(hop, windows, address);
      if (!address) {
        this.note(`${node.path}: no "ranges" entry of ${hop.path} covers its registers`);
        return null;
      }
    }
    if (!address || size === null || address.space !== 0 || address.offset + size > Number.MAX_SAFE_INTEGER) {
      this.note(`${node.path}: a register frame lies beyond 2^53, the largest address that virq holds`);
      return null;
    }
    return { address: address.offset, size };
  }

  private step(bus: FdtNode, windows: readonly Window[], address: BusAddress): BusAddress | null {
    if (windows.length === 0) return address;
    this.tree.charge(windows.length, bus);
    for (const { child, parent, size } of windows) {
      if (child.space !== address.space || address.offset < child.offset || address.offset - child.offset >= size) continue;
      const offset = parent.offset + (address.offset - child.offset);
      return offset <= Number.MAX_SAFE_INTEGER ? { space: parent.space, offset } : null;
    }
    return null;
  }

  /** The bus's windows; empty for one-to-one, null for no translation at all. */
  private of(bus: FdtNode): readonly Window[] | null {
    const known = this.windows.get(bus);
    if (known !== undefined) return known;
    const windows = this.parse(bus);
    this.windows.set(bus, windows);
    return windows;
  }

  private parse(bus: FdtNode): readonly Window[] | null {
    const cells = bus.cells("ranges");
    const above = bus.parent;
    if (!cells || !above) return null;
    const [childCells, parentCells, sizeCells] = [bus.addressCells, above.addressCells, bus.sizeCells];
    const entry = childCells + parentCells + sizeCells;
    if (cells.length > 0 && (entry === 0 || cells.length % entry !== 0))
      bus.fail(`"ranges" holds ${cells.length} cells; an entry takes ${childCells} + ${parentCells} + ${sizeCells}`);
    const windows: Window[] = [];
    for (let at = 0; at < cells.length; at += entry) {
      const child = busAddress(cells, at, childCells);
      const parent = busAddress(cells, at + childCells, parentCells);
      const size = wide(cells, at + childCells + parentCells, sizeCells);
      if (!child || !parent || size === null) {
        this.note(`${bus.path}: a "ranges" entry lies beyond 2^53, the largest address that virq holds`);
        continue;
      }
      windows.push(isPciBus(bus) ? { child: { space: child.space & PCI_SPACE, offset: child.offset }, parent, size } : { child, parent, size });
    }
    return cells.length > 0 && windows.length === 0 ? null : windows;
  }
}

/** A bus whose children are PCI functions: their `reg` is a configuration address. */
export function isPciBus(node: FdtNode): boolean {
  const type = node.text("device_type");
  return type === "pci" || type === "pciex";
}

/** A host bridge of PAPR: its `reg` is the unit id that the firmware calls it by, of no size. */
function isLogicalHost(node: FdtNode): boolean {
  return node.compatible.includes("ibm,logical_phb");
}

function busAddress(cells: readonly number[], at: number, count: number): BusAddress | null {
  if (count <= 2) {
    const offset = wide(cells, at, count);
    return offset === null ? null : { space: 0, offset };
  }
  const offset = wide(cells, at + count - 2, 2);
  return offset === null ? null : { space: cells[at + count - 3], offset };
}
