import { PersonError } from "../sim/person-error.js";
import { functionName } from "./pci.js";
import { type Board, type Device, type Interrupt } from "./board.js";

/** The device with this path, or a PCI function by bus:device.function, with its segment before it or without. Throws PersonError with near matches. */
export function findDevice(board: Board, path: string): Device {
  const found = board.devices.find((device) => device.path === path) ?? functionOf(board, path);
  if (found) return found;
  const near = nearMatches(board, path);
  const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `"virq boards" lists its ${board.devices.length} devices`;
  throw new PersonError(`${board.name} has no device "${path}"; ${hint}`);
}

/** Its interrupt `index`, as `--irq` counts. Throws PersonError with what there is. */
export function findInterrupt(device: Device, index: number): Interrupt {
  const found = device.interrupts.find((interrupt) => interrupt.index === index);
  if (found) return found;
  const all = device.interrupts.map((interrupt) => interrupt.index).join(", ");
  throw new PersonError(`${device.path} has no interrupt ${index}; ${all ? `it has ${all}` : "it has none"}`);
}

function functionOf(board: Board, text: string): Device | undefined {
  const name = text.toLowerCase();
  const functions = board.devices.filter(({ pci }) => pci !== null && (pci.bdf === name || functionName(pci) === name));
  return functions.length === 1 ? functions[0] : undefined;
}

/** Up to three paths that are close: same last part, or few letters apart. */
function nearMatches(board: Board, path: string): string[] {
  const wanted = last(path).slice(0, 64);
  return board.devices
    .slice(0, 5000)
    .map((device) => ({ path: device.path, distance: wanted === "" ? 99 : closeness(wanted, last(device.path).slice(0, 64)) }))
    .filter((each) => each.distance <= 0.4)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map((each) => each.path);
}

function last(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Letters to change, as a share of the longer word; the same name at another address counts as near. */
function closeness(a: string, b: string): number {
  if (a.split("@")[0] === b.split("@")[0]) return 0.3 * (edits(a, b) / Math.max(a.length, b.length));
  return edits(a, b) / Math.max(a.length, b.length);
}

function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
