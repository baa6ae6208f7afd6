import type { Command } from "commander";
import type { Board } from "../board/board.js";
import { addPciFunction, type PciFunctionRequest } from "../board/pci.js";
import { PersonError } from "../sim/person-error.js";

const KEYS = "pin=1 to 4, msi=vectors, under=root port, host=bridge, id=vendor:device, isolated";

/** `--pci`: functions that the tree does not list. */
export function addPciOption(command: Command): Command {
  return command.option("--pci <function>", `a PCI function besides those that the tree lists, as 01:00.0,pin=1,msi=8 (${KEYS}); repeat for several`, pciFunctions);
}

/** Each use of the option adds one. */
function pciFunctions(text: string, before: PciFunctionRequest[] = []): PciFunctionRequest[] {
  return [...before, pciFunction(text)];
}

/** @throws PersonError for what is no function */
export function pciFunction(text: string): PciFunctionRequest {
  const [bdf, ...parts] = text.split(",");
  let request: PciFunctionRequest = { bdf };
  for (const part of parts) {
    const at = part.indexOf("=");
    const [key, value] = at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    request = { ...request, ...setting(text, key, value) };
  }
  return request;
}

function setting(text: string, key: string, value: string): Partial<PciFunctionRequest> {
  if (key === "pin") return { intxPin: whole(text, key, value) };
  if (key === "msi") return { msiVectors: whole(text, key, value) };
  if (key === "under") return { under: value };
  if (key === "host") return { host: value };
  if (key === "isolated") return { isolated: true };
  const id = key === "id" ? /^([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(value) : null;
  if (id === null) throw new PersonError(`--pci ${text}: "${key}${value === "" ? "" : `=${value}`}" is none of ${KEYS}`);
  return { vendor: parseInt(id[1], 16), device: parseInt(id[2], 16) };
}

function whole(text: string, key: string, value: string): number {
  if (!/^\d{1,5}$/.test(value)) throw new PersonError(`--pci ${text}: ${key} takes a number, not "${value}"`);
  return Number(value);
}

/** The board with these functions. @throws PersonError for one that does not fit */
export function withPciFunctions(board: Board, functions: readonly PciFunctionRequest[]): Board {
  return functions.reduce((known, request) => addPciFunction(known, request), board);
}
