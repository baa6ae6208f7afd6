import { type Board, type BoardOptions } from "./board.js";
import { d05, D05_FUNCTIONS } from "./builtin/d05.js";
import { midway } from "./builtin/midway.js";
import { overdrive } from "./builtin/overdrive.js";
import { pc } from "./builtin/pc.js";
import { type NodeSource, treeOf } from "./builtin/source.js";
import { virt } from "./builtin/virt.js";
import { addPciFunction } from "./pci.js";
import { describe } from "./read-board.js";

const SOURCES: Readonly<Record<string, NodeSource>> = { midway, overdrive, d05, virt };

/** What {@link builtinBoard} knows. */
export const BUILTIN_BOARD_NAMES: readonly string[] = [...Object.keys(SOURCES), "pc"];

/** A board that comes with virq, described by the same rules as one from a file; undefined for any other name. */
export function builtinBoard(name: string, options: BoardOptions = {}): Board | undefined {
  if (name === "pc") return pc(options);
  if (name === "d05") return D05_FUNCTIONS.reduce(addPciFunction, describe(treeOf(d05), name, "built in", options));
  return Object.hasOwn(SOURCES, name) ? describe(treeOf(SOURCES[name]), name, "built in", options) : undefined;
}

/** What there is to look at on a built-in board when nobody names a device: its path, and the interrupts that show the most. */
export function subjectOf(board: Board): { readonly device: string; readonly irqs: readonly number[] } | null {
  return board.source === "built in" && board.name === "pc" ? { device: "/pci/01:00.0", irqs: [0, 1] } : null;
}
