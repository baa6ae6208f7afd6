import { type Board, type Device, type IdMap, type Interrupt, type Iommu, type RtasTokens, type Xics } from "./board.js";
import { type FdtNode, type FdtTree, wide } from "./fdt-node.js";
import { matches } from "./kinds.js";

// What PAPR adds to the reading of a tree: presentation controller, firmware calls (RTAS), and DMA windows of host bridges.

/** The functions of RTAS that interrupts need; a tree gives each a token, a number of its own. */
export const RTAS_INTERRUPT_CALLS = ["ibm,set-xive", "ibm,get-xive", "ibm,int-on", "ibm,int-off", "ibm,change-msi", "ibm,query-interrupt-source-number"] as const;

/** Calls that the host makes for each interrupt, and those that it makes for messages. */
const SOURCE_CALLS: readonly string[] = RTAS_INTERRUPT_CALLS.slice(0, 4);
const MESSAGE_CALLS: readonly string[] = RTAS_INTERRUPT_CALLS.slice(4);

/** A machine whose interrupts a XICS presents. */
export function isPower(board: Board): boolean {
  return board.controllers.some((each) => each.kind === "xics");
}

/** The controller that presents interrupts, or hands out what every source of the machine is a part of. */
export function isPresentation(node: FdtNode): boolean {
  return matches(node, (name) => name === "ibm,ppc-xicp" || name === "ibm,ppc-xics");
}

/** Where the interrupts of virtual devices and of event sources lead, whose own nodes only hand them out (Linux xics_host_match). */
export function presentationOf(tree: FdtTree): FdtNode | null {
  return tree.nodes.find((node) => isPresentation(node) && node.has("interrupt-controller")) ?? null;
}

/** `interrupt-ranges` and `ibm,interrupt-server-ranges`: pairs of a first number and a count. */
export function rangesOf(node: FdtNode, property: string): Xics["sources"] {
  const cells = node.cells(property) ?? [];
  if (cells.length % 2 !== 0) node.fail(`"${property}" holds ${cells.length} cells; a range takes 2`);
  const ranges: { first: number; count: number }[] = [];
  for (let at = 0; at < cells.length; at += 2) ranges.push({ first: cells[at], count: cells[at + 1] });
  return ranges;
}

/** The firmware's node, null where the tree has none. */
export function readRtas(tree: FdtTree): Board["rtas"] {
  const node = tree.root.children.find((each) => each.name === "rtas");
  if (node === undefined) return null;
  const tokens: { -readonly [name in keyof RtasTokens]: number } = {};
  for (const name of RTAS_INTERRUPT_CALLS) {
    const token = node.u32(name);
    if (token !== null) tokens[name] = token;
  }
  return { path: node.path, tokens };
}

/** Hardware threads of a core by the numbers that interrupts are sent to; empty elsewhere. */
export function serversOf(node: FdtNode): readonly number[] {
  return node.cells("ibm,ppc-interrupt-server#s") ?? [];
}

/** The messages that firmware has for the functions of a host bridge (`ibm,pe-total-#msi`); null where it hands none out. */
export function messagesOf(node: FdtNode, tree: FdtTree): IdMap | null {
  const presentation = presentationOf(tree);
  const total = node.u32("ibm,pe-total-#msi") ?? 0;
  const tokens: Readonly<Record<string, number>> = readRtas(tree)?.tokens ?? {};
  if (presentation === null || total === 0 || MESSAGE_CALLS.some((name) => tokens[name] === undefined)) return null;
  return { mask: 0xffff, entries: [{ first: 0, count: 0x1_0000, target: presentation.path, output: 0 }] };
}

/** The default DMA window of a host bridge: the number of its table (LIOBN), where it begins, how long it is. */
export interface DmaWindow {
  readonly liobn: number;
  readonly start: number;
  readonly size: number;
}

const WINDOW_CELLS = 5;

/** `ibm,dma-window`; null where there is none, or one that no number here can hold. */
export function dmaWindowOf(node: FdtNode): DmaWindow | null {
  const cells = node.cells("ibm,dma-window");
  if (cells === null) return null;
  if (cells.length < WINDOW_CELLS) node.fail(`"ibm,dma-window" holds ${cells.length} cells; a table's number, an address and a size take ${WINDOW_CELLS}`);
  const start = wide(cells, 1, 2);
  const size = wide(cells, 3, 2);
  return start === null || size === null ? null : { liobn: cells[0], start, size };
}

/** A host bridge translates for its functions, all by the one table. */
export function tableOf(node: FdtNode): IdMap | null {
  const window = dmaWindowOf(node);
  return window === null ? null : { mask: 0, entries: [{ first: 0, count: 1, target: node.path, output: window.liobn }] };
}

/** The same as an IOMMU of the board. */
export function readTce(node: FdtNode): Iommu | null {
  const window = dmaWindowOf(node);
  if (window === null) return null;
  return {
    path: node.path,
    kind: "tce",
    messages: "untouched",
    compatible: node.strings("compatible"),
    enabled: node.enabled,
    frame: null,
    window: { address: window.start, size: window.size },
    coherent: true,
    interrupts: [],
  };
}

/** Why no host could serve an interrupt of the device by anything; null: it can. */
export function powerInterruptObstacle(board: Board, device: Device, interrupt: Interrupt): string | null {
  const missing = SOURCE_CALLS.filter((name) => !Object.hasOwn(board.rtas?.tokens ?? {}, name));
  if (missing.length > 0) return `firmware has no ${missing[0]}, by which the host would switch its interrupts`;
  if (device.bus !== "pci") return "only PCI functions are assigned on Power";
  const controller = board.controllers.find((each) => each.path === interrupt.controller);
  return controller?.kind === "xics" ? null : `it ends at ${interrupt.controller}, a controller that is not modelled`;
}

/** A pin is level, a message is an edge; each has its own way past the VMM. */
export function powerObstacle(interrupt: Interrupt, mechanism: string): string | null {
  const isMessage = interrupt.kind === "msi";
  if (mechanism === "irqfd+resample" && isMessage) return "the interrupt is a message, an edge: there is no line to lower and no end to wait for";
  if (mechanism === "irqfd" && !isMessage) return "the line is level: a plain irqfd does not lower it, and nobody unmasks it when the guest is done";
  return null;
}
