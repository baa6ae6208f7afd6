import { type AddressMap } from "./address.js";
import { type BoardOptions } from "./board.js";
import { type FdtTree } from "./fdt-node.js";
import { type InterruptTree } from "./interrupt-tree.js";

/** What the readers of one tree share. */
export interface Reading {
  readonly tree: FdtTree;
  readonly addresses: AddressMap;
  readonly interrupts: InterruptTree;
  readonly options: BoardOptions;
  note(sentence: string): void;
}
