import { PersonError } from "../sim/person-error.js";

/** The deepest nesting that is read; the kernel itself stops at the same depth. */
export const MAX_DEPTH = 64;

/** Bounds far beyond real trees (the largest of Debian's 577 for arm64: 997 nodes, 963 interrupts, 51 names, paths of 109 letters). */
export const MAX_NODES = 20_000;
export const MAX_PATH = 512;
const MAX_COMPATIBLE = 256;
const MAX_TEXT = 1024;

/** Steps of searching (ranges, maps) that one tree may cost: the largest real trees need some ten thousand. */
const WORK_LIMIT = 20_000_000;

/** One node of a device tree. Values of properties are views of the file's bytes: nothing is copied. */
export class FdtNode {
  readonly properties = new Map<string, Uint8Array>();
  readonly children: FdtNode[] = [];
  readonly path: string;
  private names: readonly string[] | null = null;

  constructor(
    readonly name: string,
    readonly parent: FdtNode | null,
    readonly depth: number,
  ) {
    if (!parent) this.path = "/";
    else this.path = parent.parent ? `${parent.path}/${name}` : `/${name}`;
  }

  /** The name without its unit address. */
  get baseName(): string {
    const at = this.name.indexOf("@");
    return at < 0 ? this.name : this.name.slice(0, at);
  }

  fail(what: string): never {
    throw new PersonError(`${this.path}: ${what}`);
  }

  has(property: string): boolean {
    return this.properties.has(property);
  }

  /** The property as big-endian 32-bit cells (unsigned); null where it is absent. */
  cells(property: string): number[] | null {
    const bytes = this.properties.get(property);
    if (!bytes) return null;
    if (bytes.length % 4 !== 0) this.fail(`"${property}" is ${bytes.length} bytes long, which is not a whole number of cells`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const cells = new Array<number>(bytes.length / 4);
    for (let i = 0; i < cells.length; i++) cells[i] = view.getUint32(4 * i);
    return cells;
  }

  /** The property as one cell; null where it is absent. */
  u32(property: string): number | null {
    const cells = this.cells(property);
    if (cells && cells.length !== 1) this.fail(`"${property}" holds ${cells.length} cells; it takes exactly one`);
    return cells ? cells[0] : null;
  }

  /** The property as a list of NUL-terminated strings; bytes that do not print are shown as \xNN. */
  strings(property: string): string[] {
    const bytes = this.properties.get(property);
    if (!bytes || bytes.length === 0) return [];
    if (bytes[bytes.length - 1] !== 0) this.fail(`"${property}" does not end with a NUL byte, so it is not a string`);
    const strings: string[] = [];
    for (let start = 0, i = 0; i < bytes.length; i++) {
      if (bytes[i] !== 0) continue;
      strings.push(printable(bytes.subarray(start, i)));
      start = i + 1;
    }
    return strings;
  }

  /** The first string of the property; null where it is absent or empty. */
  text(property: string): string | null {
    const bytes = this.properties.get(property);
    if (!bytes || bytes.length === 0) return null;
    const end = bytes.subarray(0, MAX_TEXT).indexOf(0);
    if (end < 0) this.fail(`"${property}" has no NUL byte within its first ${MAX_TEXT}, so it is not a string`);
    return printable(bytes.subarray(0, end));
  }

  /** The names of `compatible` in lower case: firmware of Power writes both. */
  get compatible(): readonly string[] {
    if (this.names) return this.names;
    const names = this.strings("compatible").map((name) => name.toLowerCase());
    if (names.length > MAX_COMPATIBLE) this.fail(`"compatible" holds ${names.length} names; more than ${MAX_COMPATIBLE} are not read`);
    this.names = names;
    return names;
  }

  /** Absent, "okay" and "ok" mean usable (Devicetree Specification 2.3.4). */
  get enabled(): boolean {
    if (!this.has("status")) return true;
    const status = this.text("status");
    return status === "okay" || status === "ok";
  }

  /** A count of cells that properties of other nodes are cut by: 0 to 8. */
  cellCount(property: string): number | null {
    const count = this.u32(property);
    if (count !== null && count > 8) this.fail(`"${property}" is ${count}; more than 8 cells fit nothing that virq knows`);
    return count;
  }

  /** The count that the node's children are addressed by; inherited, as the kernel does for trees that leave it out. */
  get addressCells(): number {
    return this.inheritedCount("#address-cells");
  }

  get sizeCells(): number {
    return this.inheritedCount("#size-cells");
  }

  private inheritedCount(property: string): number {
    return this.cellCount(property) ?? this.parent?.inheritedCount(property) ?? 1;
  }
}

/** A whole tree with its phandles; searches in it are charged, so that no file can keep the reader busy for long. */
export class FdtTree {
  readonly nodes: readonly FdtNode[];
  private readonly byPhandle = new Map<number, FdtNode>();
  private work = 0;

  constructor(readonly root: FdtNode) {
    const nodes: FdtNode[] = [];
    const stack = [root];
    for (let node = stack.pop(); node; node = stack.pop()) {
      nodes.push(node);
      this.enlist(node);
      for (let i = node.children.length - 1; i >= 0; i--) stack.push(node.children[i]);
    }
    this.nodes = nodes;
  }

  private enlist(node: FdtNode): void {
    const phandle = node.u32("phandle") ?? node.u32("linux,phandle");
    if (phandle === null) return;
    if (phandle === 0 || phandle === 0xffffffff) node.fail(`its phandle is ${hex(phandle)}, which the format reserves`);
    const other = this.byPhandle.get(phandle);
    if (other) node.fail(`its phandle ${hex(phandle)} is already that of ${other.path}`);
    this.byPhandle.set(phandle, node);
  }

  /** The node with this phandle; `from` and `property` name the reference in the message when there is none. */
  target(phandle: number, from: FdtNode, property: string): FdtNode {
    const node = this.byPhandle.get(phandle);
    if (!node) from.fail(`"${property}" refers to phandle ${hex(phandle)}, which no node has`);
    return node;
  }

  charge(steps: number, node: FdtNode): void {
    this.work += steps;
    if (this.work > WORK_LIMIT) node.fail("the tree is too entangled to read: its maps and ranges need more searching than any real machine's");
  }
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** Two cells, high first, as one number; null when it does not fit 2^53. */
export function wide(cells: readonly number[], at: number, count: number): number | null {
  let value = 0;
  for (let i = 0; i < count; i++) {
    value = value * 0x1_0000_0000 + cells[at + i];
    if (value > Number.MAX_SAFE_INTEGER) return null;
  }
  return value;
}

export function printable(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  return text;
}
