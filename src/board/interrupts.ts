import { type Interrupt, type InterruptKind, type TriggerMode } from "./board.js";
import { type FdtNode } from "./fdt-node.js";
import { type Specifier } from "./interrupt-tree.js";
import { kindOf, passesOn } from "./kinds.js";
import { isPresentation } from "./power.js";
import { type Reading } from "./reading.js";

/** GIC specifier type cell: kind, lowest INTID, how many (Arm GIC bindings; IHI 0069 2.2.1). */
const GIC_TYPES: readonly { readonly kind: InterruptKind; readonly base: number; readonly count: number }[] = [
  { kind: "spi", base: 32, count: 988 },
  { kind: "ppi", base: 16, count: 16 },
  { kind: "espi", base: 4096, count: 1024 },
  { kind: "eppi", base: 1056, count: 64 },
];

const TRIGGERS = new Map<number, TriggerMode>([
  [1, "edge-rising"],
  [2, "edge-falling"],
  [3, "edge-both"],
  [4, "level-high"],
  [8, "level-low"],
]);

/** A node's interrupts with numbers and triggers; one that its controller cannot have is noted and left out. */
export function interruptsOf(node: FdtNode, reading: Reading): Interrupt[] {
  const names = node.strings("interrupt-names");
  const found: Interrupt[] = [];
  const specifiers = reading.interrupts.of(node);
  for (let index = 0; index < specifiers.length; index++) {
    const specifier = specifiers[index];
    const interrupt = specifier ? decode(node, specifier, index, names[index] ?? null, reading) : null;
    if (interrupt) found.push(interrupt);
  }
  return found;
}

export function decode(node: FdtNode, specifier: Specifier, index: number, name: string | null, reading: Reading): Interrupt | null {
  let { controller, via } = specifier;
  const { cells } = specifier;
  while (cells.length === 3 && via.length < 16 && passesOn(controller)) {
    via = [...via, controller.path];
    controller = reading.interrupts.parentOf(controller, "interrupt-controller");
  }
  if (kindOf(controller) === "xics" && !isPresentation(controller)) {
    via = [...via, controller.path];
    controller = reading.interrupts.presentation ?? controller;
  }
  const numbers = numbersOf(node, controller, cells);
  if (typeof numbers !== "string") return { index, name, controller: controller.path, via, ...numbers };
  reading.note(`${node.path}: interrupt ${index} <${cells.join(" ")}> is left out: ${numbers}`);
  return null;
}

type Numbers = Pick<Interrupt, "kind" | "number" | "intid" | "trigger">;

/** The numbers, or why the controller has no such interrupt. */
function numbersOf(node: FdtNode, controller: FdtNode, cells: readonly number[]): Numbers | string {
  const kind = kindOf(controller);
  if (kind === "gicv2" || kind === "gicv3") return gic(node, controller, cells, kind === "gicv3");
  if (kind === "mbigen") return mbigen(node, controller, cells);
  if (kind === "xics") return { kind: "xics", number: cells[0] ?? 0, intid: null, trigger: ((cells[1] ?? 0) & 1) === 1 ? "level-low" : "edge-rising" };
  return { kind: "pin", number: cells[0] ?? 0, intid: null, trigger: cells.length > 1 ? trigger(cells[cells.length - 1]) : "unspecified" };
}

function gic(node: FdtNode, controller: FdtNode, cells: readonly number[], v3: boolean): Numbers | string {
  if (cells.length < 3) node.fail(`an interrupt at ${controller.path} takes 3 cells (type, number, flags), not ${cells.length}`);
  const type = GIC_TYPES[cells[0]];
  if (!type || (!v3 && cells[0] > 1)) return `${controller.path} knows no type ${cells[0]}`;
  const number = cells[1];
  if (number >= type.count) return `${controller.path} has ${type.kind.toUpperCase()}s 0 to ${type.count - 1}`;
  return { kind: type.kind, number, intid: type.base + number, trigger: trigger(cells[2]) };
}

/** host-irq.md 2.8: two cells, pin (64 to 1407) and type. */
function mbigen(node: FdtNode, controller: FdtNode, cells: readonly number[]): Numbers | string {
  if (cells.length !== 2) node.fail(`an interrupt at ${controller.path} takes 2 cells (pin, type), not ${cells.length}`);
  if (cells[0] < 64 || cells[0] > 1407) return `${controller.path} has pins 64 to 1407`;
  return { kind: "mbigen pin", number: cells[0], intid: null, trigger: trigger(cells[1]) };
}

function trigger(flags: number): TriggerMode {
  return TRIGGERS.get(flags & 15) ?? "unspecified";
}
