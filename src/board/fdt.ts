import { PersonError } from "../sim/person-error.js";
import { FdtNode, FdtTree, hex, MAX_DEPTH, MAX_NODES, MAX_PATH, printable } from "./fdt-node.js";

const MAGIC = 0xd00dfeed;
const BEGIN_NODE = 1;
const END_NODE = 2;
const PROP = 3;
const NOP = 4;
const END = 9;

/** As Linux on arm64: more is no device tree to boot with. */
export const MAX_FDT_BYTES = 2 * 1024 * 1024;
const MAX_NAME = 255;

interface Block {
  readonly what: string;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a flattened device tree, format 17 or 16 (Devicetree Specification 5).
 * Throws PersonError, one sentence with the node's path, for anything that is not one.
 */
export function parseFdt(bytes: Uint8Array): FdtTree {
  return new FdtTree(new FdtReader(bytes).read());
}

class FdtReader {
  private readonly view: DataView;
  private readonly struct: Block;
  private readonly strings: Block;
  private readonly names = new Map<number, string>();
  private position: number;
  private node: FdtNode | null = null;
  private count = 0;
  private readonly siblings = new Map<FdtNode, Set<string>>();

  constructor(private readonly bytes: Uint8Array) {
    if (bytes.length < 40) throw new PersonError(`the file is ${bytes.length} bytes long, too short for a device tree: its header alone takes 40`);
    if (bytes.length > MAX_FDT_BYTES) throw new PersonError(`the file is ${bytes.length} bytes long; a device tree of more than ${MAX_FDT_BYTES} is not read`);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const blocks = this.header();
    this.struct = blocks.struct;
    this.strings = blocks.strings;
    this.position = blocks.struct.start;
  }

  private header(): { struct: Block; strings: Block } {
    const view = this.view;
    const magic = view.getUint32(0);
    if (magic !== MAGIC) throw new PersonError(`the file begins with ${hex(magic)} and not with ${hex(MAGIC)}: it is no flattened device tree (compile a .dts with dtc first)`);
    const total = view.getUint32(4);
    if (total > this.bytes.length) throw new PersonError(`the header says ${total} bytes and the file has ${this.bytes.length}: it is truncated`);
    const version = view.getUint32(20);
    const compatible = view.getUint32(24);
    if (version < 16 || compatible > 17) throw new PersonError(`the format is version ${version} (readable as ${compatible}); versions 16 and 17 are read`);
    const head: Block = { what: "header", start: 0, end: version >= 17 ? 40 : 36 };
    const reserve = this.reserveBlock(view.getUint32(16), total);
    const structStart = view.getUint32(8);
    const stringsStart = view.getUint32(12);
    const strings = this.block("strings block", stringsStart, view.getUint32(32), total);
    const structSize = version >= 17 ? view.getUint32(36) : (stringsStart > structStart ? stringsStart : total) - structStart;
    const struct = this.block("structure block", structStart, structSize, total);
    if (structStart % 4 !== 0) throw new PersonError(`the header puts the structure block at ${hex(structStart)}, which is not a multiple of 4`);
    checkApart([head, reserve, struct, strings]);
    return { struct, strings };
  }

  private block(what: string, start: number, size: number, total: number): Block {
    if (start > total || size < 0 || start + size > total)
      throw new PersonError(`the header puts the ${what} at ${hex(start)} with ${size} bytes, outside of the file's ${total}`);
    return { what, start, end: start + size };
  }

  /** Pairs of 64-bit address and size up to a pair of zeroes (Devicetree Specification 5.3). */
  private reserveBlock(start: number, total: number): Block {
    const what = "memory reservation block";
    if (start % 8 !== 0) throw new PersonError(`the header puts the ${what} at ${hex(start)}, which is not a multiple of 8`);
    let at = start;
    for (let last = false; !last; at += 16) {
      if (at + 16 > total) throw new PersonError(`the ${what} at ${hex(start)} runs past the end of the file without its closing pair of zeroes`);
      last = this.view.getUint32(at) === 0 && this.view.getUint32(at + 4) === 0 && this.view.getUint32(at + 8) === 0 && this.view.getUint32(at + 12) === 0;
    }
    return { what, start, end: at };
  }

  read(): FdtNode {
    let root: FdtNode | null = null;
    for (;;) {
      const token = this.word();
      if (token === NOP) continue;
      if (token === END) break;
      if (token === BEGIN_NODE) {
        if (root && !this.node) throw new PersonError(`after "/": a second root node begins at offset ${hex(this.position - 4)}`);
        root = this.begin(root);
      } else if (token === END_NODE) {
        if (!this.node) throw new PersonError(`outside of any node: an end of node at offset ${hex(this.position - 4)}`);
        this.node = this.node.parent;
      } else if (token === PROP) this.property();
      else this.fail(`unknown token ${hex(token)} at offset ${hex(this.position - 4)}`);
    }
    if (this.node) this.fail("the structure block ends before the node does");
    if (!root) throw new PersonError("the structure block holds no node at all");
    return root;
  }

  private fail(what: string): never {
    throw new PersonError(`${this.node ? this.node.path : "outside of any node"}: ${what}`);
  }

  private word(): number {
    if (this.position + 4 > this.struct.end) this.fail("the structure block is cut off here");
    const word = this.view.getUint32(this.position);
    this.position += 4;
    return word;
  }

  private begin(root: FdtNode | null): FdtNode {
    const parent = this.node;
    const name = this.nodeName();
    if (!parent) {
      this.node = new FdtNode("", null, 0);
      return this.node;
    }
    if (++this.count >= MAX_NODES) this.fail(`the tree has more than ${MAX_NODES} nodes`);
    if (parent.depth + 1 >= MAX_DEPTH) this.fail(`nodes nest deeper than ${MAX_DEPTH}`);
    if (name.length === 0) this.fail("a child node has no name");
    let names = this.siblings.get(parent);
    if (!names) this.siblings.set(parent, (names = new Set()));
    if (names.has(name)) this.fail(`two child nodes are called "${name}"`);
    names.add(name);
    const node = new FdtNode(name, parent, parent.depth + 1);
    parent.children.push(node);
    this.node = node;
    if (node.path.length > MAX_PATH) throw new PersonError(`${node.path.slice(0, MAX_PATH)}...: the path is longer than ${MAX_PATH}`);
    return root ?? node;
  }

  private nodeName(): string {
    const start = this.position;
    const end = this.endOfName(start, this.struct.end);
    if (end < 0) this.fail(`a node's name at offset ${hex(start)} does not end within ${MAX_NAME} bytes`);
    this.position = (end + 4) & ~3;
    return this.name(start, end, "a node's name");
  }

  private property(): void {
    const length = this.word();
    const nameOffset = this.word();
    const node = this.node;
    if (!node) this.fail("a property outside of any node");
    const name = this.propertyName(nameOffset);
    if (length > this.struct.end - this.position) this.fail(`"${name}" says ${length} bytes, more than the structure block has left`);
    if (node.children.length > 0) this.fail(`"${name}" comes after the node's children`);
    if (node.properties.has(name)) this.fail(`"${name}" is given twice`);
    node.properties.set(name, this.bytes.subarray(this.position, this.position + length));
    this.position += (length + 3) & ~3;
  }

  private propertyName(offset: number): string {
    const known = this.names.get(offset);
    if (known !== undefined) return known;
    const start = this.strings.start + offset;
    const end = start < this.strings.end ? this.endOfName(start, this.strings.end) : -1;
    if (end <= start) this.fail(`a property's name is at offset ${hex(offset)} of the strings block, where no name is`);
    const name = this.name(start, end, "a property's name");
    this.names.set(offset, name);
    return name;
  }

  private endOfName(start: number, limit: number): number {
    const stop = Math.min(limit, start + MAX_NAME + 1);
    for (let i = start; i < stop; i++) if (this.bytes[i] === 0) return i;
    return -1;
  }

  private name(start: number, end: number, what: string): string {
    const bytes = this.bytes.subarray(start, end);
    for (const byte of bytes) if (byte <= 0x20 || byte >= 0x7f || byte === 0x2f) this.fail(`${what} is "${printable(bytes)}": not a name`);
    return printable(bytes);
  }
}

function checkApart(blocks: readonly Block[]): void {
  const sorted = blocks.filter((block) => block.end > block.start).sort((a, b) => a.start - b.start);
  for (let i = 1; i < sorted.length; i++) {
    const [before, after] = [sorted[i - 1], sorted[i]];
    if (after.start < before.end) throw new PersonError(`the ${after.what} at ${hex(after.start)} overlaps the ${before.what}, which ends at ${hex(before.end)}`);
  }
}
