import { type Board, type BoardOptions } from "./board.js";
import { d05 } from "./builtin/d05.js";
import { midway } from "./builtin/midway.js";
import { overdrive } from "./builtin/overdrive.js";
import { type NodeSource, treeOf } from "./builtin/source.js";
import { virt } from "./builtin/virt.js";
import { describe } from "./read-board.js";

const SOURCES: Readonly<Record<string, NodeSource>> = { midway, overdrive, d05, virt };

export const BUILTIN_BOARD_NAMES: readonly string[] = Object.keys(SOURCES);

/** A board that comes with virq, described by the same rules as one from a file; undefined for any other name. */
export function builtinBoard(name: string, options: BoardOptions = {}): Board | undefined {
  return Object.hasOwn(SOURCES, name) ? describe(treeOf(SOURCES[name]), name, "built in", options) : undefined;
}
