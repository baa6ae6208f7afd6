import { FdtNode, FdtTree } from "../fdt-node.js";

/** A reference to a node by its label. */
export interface Label {
  readonly label: string;
}

export type Cell = number | Label;
export type Value = true | string | readonly string[] | readonly Cell[];

/** A node of a built-in board: properties as a device tree source has them, with labels in the place of phandles. */
export interface NodeSource {
  readonly name: string;
  readonly label?: string;
  readonly properties: Readonly<Record<string, Value>>;
  readonly children?: readonly NodeSource[];
}

export function ref(label: string): Label {
  return { label };
}

export function node(name: string, properties: NodeSource["properties"], children: readonly NodeSource[] = []): NodeSource {
  return { name, properties, children };
}

export function labelled(label: string, source: NodeSource): NodeSource {
  return { ...source, label };
}

/** A 64-bit value as two cells. */
export function two(value: number): [number, number] {
  return [Math.floor(value / 0x1_0000_0000), value % 0x1_0000_0000];
}

/** Address and size, two cells each. */
export function frame(address: number, size: number): number[] {
  return [...two(address), ...two(size)];
}

/** GIC specifiers: shared and per-CPU, level and edge. */
export const spi = (number: number): number[] => [0, number, 4];
export const spiEdge = (number: number): number[] => [0, number, 1];
export const ppi = (number: number, flags = 4): number[] => [1, number, flags];

export function treeOf(root: NodeSource): FdtTree {
  return new FdtTree(nodesOf(root));
}

/** The nodes with their properties as bytes and phandles given out; not yet checked. */
export function nodesOf(root: NodeSource): FdtNode {
  const phandles = new Map<string, number>();
  collect(root, phandles);
  return build(root, null, phandles);
}

function collect(source: NodeSource, phandles: Map<string, number>): void {
  if (source.label !== undefined) phandles.set(source.label, phandles.size + 1);
  for (const child of source.children ?? []) collect(child, phandles);
}

function build(source: NodeSource, parent: FdtNode | null, phandles: ReadonlyMap<string, number>): FdtNode {
  const built = new FdtNode(source.name, parent, parent ? parent.depth + 1 : 0);
  for (const [name, value] of Object.entries(source.properties)) built.properties.set(name, encode(value, phandles));
  if (source.label !== undefined) built.properties.set("phandle", encode([{ label: source.label }], phandles));
  for (const child of source.children ?? []) built.children.push(build(child, built, phandles));
  return built;
}

function encode(value: Value, phandles: ReadonlyMap<string, number>): Uint8Array {
  if (value === true) return new Uint8Array(0);
  if (typeof value === "string") return text([value]);
  if (typeof value[0] === "string") return text(value as readonly string[]);
  const cells = value as readonly Cell[];
  const bytes = new Uint8Array(cells.length * 4);
  const view = new DataView(bytes.buffer);
  cells.forEach((cell, i) => view.setUint32(4 * i, typeof cell === "number" ? cell : (phandles.get(cell.label) ?? 0)));
  return bytes;
}

function text(strings: readonly string[]): Uint8Array {
  const all = `${strings.join("\0")}\0`;
  return Uint8Array.from(all, (letter) => letter.charCodeAt(0));
}
