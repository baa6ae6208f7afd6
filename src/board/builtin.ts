import { type Board, type BoardOptions } from "./board.js";
import { d05, D05_FUNCTIONS } from "./builtin/d05.js";
import { midway } from "./builtin/midway.js";
import { overdrive } from "./builtin/overdrive.js";
import { pc } from "./builtin/pc.js";
import { pseries, PSERIES_FUNCTIONS } from "./builtin/pseries.js";
import { type NodeSource, treeOf } from "./builtin/source.js";
import { virt } from "./builtin/virt.js";
import { addPciFunction, type PciFunctionRequest } from "./pci.js";
import { describe } from "./read-board.js";

const SOURCES: Readonly<Record<string, NodeSource>> = { midway, overdrive, d05, virt, pseries };

/** Functions that the trees do not list. */
const FUNCTIONS: Readonly<Record<string, readonly PciFunctionRequest[]>> = { d05: D05_FUNCTIONS, pseries: PSERIES_FUNCTIONS };

/** What {@link builtinBoard} knows. */
export const BUILTIN_BOARD_NAMES: readonly string[] = [...Object.keys(SOURCES), "pc"];

/** A board that comes with virq, described by the same rules as one from a file; undefined for any other name. */
export function builtinBoard(name: string, options: BoardOptions = {}): Board | undefined {
  if (name === "pc") return pc(options);
  if (!Object.hasOwn(SOURCES, name)) return undefined;
  const board = describe(treeOf(SOURCES[name]), name, "built in", options);
  return Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name].reduce(addPciFunction, board) : board;
}

/** What there is to look at on a built-in board when nobody names a device: its path, and the interrupts that show the most. */
export interface Subject {
  readonly device: string;
  readonly irqs: readonly number[];
  /** The board gives it no IOMMU: one has to be assumed. */
  readonly needsIommu: boolean;
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  pc: { device: "/pci/01:00.0", irqs: [0, 1], needsIommu: false },
  d05: { device: "/soc/pcie@a00a0000/f9:10.0", irqs: [0], needsIommu: true },
  pseries: { device: "/pci@800000020000001/00:01.0", irqs: [0, 1], needsIommu: false },
};

/** Null where a board has none. */
export function subjectOf(board: Board): Subject | null {
  return board.source === "built in" && Object.hasOwn(SUBJECTS, board.name) ? SUBJECTS[board.name] : null;
}
