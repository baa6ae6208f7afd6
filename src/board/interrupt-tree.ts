import { type FdtNode, type FdtTree, hex } from "./fdt-node.js";
import { matches } from "./kinds.js";
import { presentationOf } from "./power.js";

/** An interrupt at the controller where its way through the tree ends: the specifier in that controller's cells. */
export interface Specifier {
  readonly controller: FdtNode;
  readonly cells: readonly number[];
  /** Nexus nodes on the way, nearest to the device first. */
  readonly via: readonly string[];
}

/** One `interrupt-map`, by masked unit address and specifier. */
interface Nexus {
  readonly mask: readonly number[];
  readonly addressCells: number;
  readonly entries: ReadonlyMap<string, MapEntry>;
}

export interface MapEntry {
  readonly key: readonly number[];
  readonly parent: FdtNode;
  readonly address: readonly number[];
  readonly cells: readonly number[];
}

const MAX_HOPS = 16;
const MAX_INTERRUPTS = 20_000;

/** Layerscape's external interrupts: their maps leave the parent's unit address out (Linux drivers/of/irq.c, of_irq_imap_abusers). */
const EXTIRQ = /^fsl,ls\w*-extirq$/;

/**
 * Follows interrupts through `interrupt-parent`, `interrupts-extended` and nexus nodes (Devicetree Specification 2.4, and where
 * it leaves room, as Linux does).
 */
export class InterruptTree {
  private readonly maps = new Map<FdtNode, Nexus>();
  private readonly parents = new Map<FdtNode, FdtNode>();
  private readonly known = new Map<FdtNode, (Specifier | null)[]>();
  private count = 0;
  /** Power: where what virtual devices and event sources hand out leads. */
  readonly presentation: FdtNode | null;

  constructor(private readonly tree: FdtTree) {
    this.presentation = presentationOf(tree);
  }

  /** The node's interrupts in order; null where `interrupts-extended` leaves a place empty. */
  of(node: FdtNode): readonly (Specifier | null)[] {
    const known = this.known.get(node) ?? this.read(node);
    this.known.set(node, known);
    return known;
  }

  private read(node: FdtNode): (Specifier | null)[] {
    if (node.has("interrupts-extended")) return this.extended(node);
    const cells = node.cells("interrupts");
    if (!cells || cells.length === 0) return [];
    const parent = this.parentOf(node, "interrupts");
    const count = this.cellsOf(parent);
    if (count === 0 || cells.length % count !== 0)
      node.fail(`"interrupts" holds ${cells.length} cells; ${parent.path} takes ${count} for each`);
    const found: Specifier[] = [];
    const address = node.cells("reg") ?? [];
    for (let at = 0; at < cells.length; at += count) found.push(this.follow(node, parent, address, cells.slice(at, at + count)));
    return found;
  }

  private extended(node: FdtNode): (Specifier | null)[] {
    const cells = node.cells("interrupts-extended") ?? [];
    const address = node.cells("reg") ?? [];
    const found: (Specifier | null)[] = [];
    for (let at = 0; at < cells.length; ) {
      const phandle = cells[at++];
      if (phandle === 0) {
        found.push(null);
        continue;
      }
      const parent = this.tree.target(phandle, node, "interrupts-extended");
      const count = this.cellsOf(parent);
      if (at + count > cells.length) node.fail(`"interrupts-extended" is cut off: ${parent.path} takes ${count} cells and ${cells.length - at} are left`);
      found.push(this.follow(node, parent, address, cells.slice(at, at + count)));
      at += count;
    }
    return found;
  }

  /** The node that the interrupts of `node` go to: the nearest with #interrupt-cells, by interrupt-parent or else upwards. */
  parentOf(node: FdtNode, property: string): FdtNode {
    const known = this.parents.get(node);
    if (known) return known;
    let at: FdtNode = node;
    for (let hops = 0; hops <= MAX_HOPS * 8; hops++) {
      const phandle = at.u32("interrupt-parent");
      const next = phandle === null ? at.parent : this.tree.target(phandle, at, "interrupt-parent");
      if (!next) node.fail(`it has "${property}", and no node above it names an interrupt parent`);
      if (next.has("#interrupt-cells")) {
        this.parents.set(node, next);
        return next;
      }
      at = next;
    }
    return node.fail('its "interrupt-parent" leads in a circle');
  }

  /** The controller that this controller's own output goes to; null for the root of the interrupt tree. */
  parentController(controller: FdtNode): FdtNode | null {
    if (!controller.has("interrupts") && !controller.has("interrupts-extended")) return null;
    const own = this.of(controller)[0];
    return own && own.controller !== controller ? own.controller : null;
  }

  private cellsOf(parent: FdtNode): number {
    const count = parent.cellCount("#interrupt-cells");
    if (count === null) parent.fail('interrupts refer to it, and it has no "#interrupt-cells"');
    return count;
  }

  private follow(device: FdtNode, start: FdtNode, unit: readonly number[], spec: readonly number[]): Specifier {
    if (++this.count > MAX_INTERRUPTS) device.fail(`the tree has more than ${MAX_INTERRUPTS} interrupts`);
    let [at, address, cells] = [start, unit, spec];
    const via: string[] = [];
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      if (at.has("interrupt-map")) {
        via.push(at.path);
        const entry = this.lookup(device, at, address, cells);
        [at, address, cells] = [entry.parent, entry.address, entry.cells];
      } else if (at.has("interrupt-controller")) {
        return { controller: at, cells, via };
      } else {
        const above = this.parentOf(at, "#interrupt-cells");
        if (this.cellsOf(above) !== cells.length) at.fail(`it passes ${cells.length} interrupt cells on to ${above.path}, which takes ${this.cellsOf(above)}`);
        at = above;
      }
    }
    return device.fail(`its interrupt passes ${MAX_HOPS} nodes without reaching a controller: they lead in a circle`);
  }

  private lookup(device: FdtNode, nexus: FdtNode, address: readonly number[], cells: readonly number[]): MapEntry {
    const map = this.nexus(nexus);
    const unit: number[] = [];
    for (let i = 0; i < map.addressCells; i++) unit.push(address[i] ?? 0);
    const key = [...unit, ...cells];
    const entry = map.entries.get(maskedKey(key, map.mask));
    if (!entry) device.fail(`the interrupt-map of ${nexus.path} has no entry for <${key.map(hex).join(" ")}>`);
    return entry;
  }

  /** The parsed interrupt-map of a nexus node, for those who look functions up that are not in the tree. */
  entriesOf(nexus: FdtNode): { mask: readonly number[]; addressCells: number; entries: Iterable<MapEntry> } {
    const { mask, addressCells, entries } = this.nexus(nexus);
    return { mask, addressCells, entries: entries.values() };
  }

  /** Follows one entry of a map to its controller. */
  fromEntry(nexus: FdtNode, entry: MapEntry): Specifier {
    const rest = this.follow(nexus, entry.parent, entry.address, entry.cells);
    return { ...rest, via: [nexus.path, ...rest.via] };
  }

  private nexus(node: FdtNode): Nexus {
    const known = this.maps.get(node);
    if (known) return known;
    const addressCells = node.addressCells;
    const width = addressCells + this.cellsOf(node);
    const given = node.cells("interrupt-map-mask");
    if (given && given.length < width) node.fail(`"interrupt-map-mask" holds ${given.length} cells; an address and a specifier take ${width}`);
    const mask = given ? given.slice(0, width) : new Array<number>(width).fill(0xffffffff);
    const cells = node.cells("interrupt-map") ?? [];
    const leavesAddressOut = matches(node, (name) => EXTIRQ.test(name));
    const entries = new Map<string, MapEntry>();
    for (let at = 0; at < cells.length; ) {
      const key = cells.slice(at, at + width);
      at += width;
      if (at >= cells.length) node.fail('"interrupt-map" is cut off inside an entry');
      const parent = this.tree.target(cells[at++], node, "interrupt-map");
      const parentAddress = leavesAddressOut ? 0 : (parent.cellCount("#address-cells") ?? 0);
      const count = this.cellsOf(parent);
      if (at + parentAddress + count > cells.length) node.fail(`"interrupt-map" is cut off: ${parent.path} takes ${parentAddress} + ${count} cells`);
      const masked = maskedKey(key, mask);
      if (!entries.has(masked))
        entries.set(masked, { key, parent, address: cells.slice(at, at + parentAddress), cells: cells.slice(at + parentAddress, at + parentAddress + count) });
      at += parentAddress + count;
    }
    const nexus = { mask, addressCells, entries };
    this.maps.set(node, nexus);
    return nexus;
  }
}

function maskedKey(key: readonly number[], mask: readonly number[]): string {
  let text = "";
  for (let i = 0; i < mask.length; i++) text += `${(key[i] & mask[i]) >>> 0} `;
  return text;
}
