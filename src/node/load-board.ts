import { readFileSync, statSync } from "node:fs";
import { type Board, type BoardOptions } from "../board/board.js";
import { BUILTIN_BOARD_NAMES, builtinBoard } from "../board/builtin.js";
import { MAX_FDT_BYTES } from "../board/fdt.js";
import { readBoard } from "../board/read-board.js";
import { PersonError } from "../sim/person-error.js";

/** The board that a person names: a built-in one, or the file of a device tree. Throws PersonError, beginning with the file. */
export function loadBoard(nameOrFile: string, options: BoardOptions = {}): Board {
  const board = boardNamed(nameOrFile, options);
  const { controllers } = board;
  const canBeGicv4 = controllers.some(({ kind }) => kind === "gicv3") && controllers.some(({ kind }) => kind === "its");
  if (options.gicv4 !== undefined && !canBeGicv4) throw new PersonError(`--gicv4 takes a GICv3 with ITSs for a GICv4, and ${board.name} has none: leave it away`);
  return board;
}

function boardNamed(nameOrFile: string, options: BoardOptions): Board {
  const known = builtinBoard(nameOrFile, options);
  if (known) return known;
  try {
    return readBoard(bytesOf(nameOrFile), nameOrFile, options);
  } catch (error) {
    throw error instanceof PersonError ? new PersonError(`${nameOrFile}: ${error.message}`) : error;
  }
}

function bytesOf(file: string): Uint8Array {
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found) throw new PersonError(`there is no such file, and no built-in board of this name (there are ${BUILTIN_BOARD_NAMES.join(", ")})`);
  if (!found.isFile()) throw new PersonError("it is not a file; give a device tree (.dtb)");
  if (found.size > MAX_FDT_BYTES) throw new PersonError(`the file is ${found.size} bytes long; a device tree of more than ${MAX_FDT_BYTES} is not read`);
  try {
    return readFileSync(file);
  } catch (error) {
    throw new PersonError(`the file cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
}
