import { type Command } from "commander";
import { assignmentOf, mechanismsFor } from "../board/assign.js";
import type { Board, Device } from "../board/board.js";
import { BUILTIN_BOARD_NAMES, builtinBoard } from "../board/builtin.js";
import { findDevice } from "../board/find-device.js";
import { isolationOf } from "../board/isolation.js";
import type { PciFunctionRequest } from "../board/pci.js";
import { resetOf } from "../board/reset.js";
import { loadBoard } from "../node/load-board.js";
import { boardText, deviceText } from "./boards-text.js";
import { type BoardList, type BoardOutput } from "./boards-schema.js";
import { addGicv4Option } from "./gicv4-option.js";
import { given } from "../node/given.js";
import { addPciOption, withPciFunctions } from "./pci-option.js";
import { table } from "./table.js";

interface Options {
  readonly json?: boolean;
  readonly assumeIommu?: boolean;
  readonly gicv4?: "4.0" | "4.1";
  readonly device?: string;
  readonly pci?: readonly PciFunctionRequest[];
}

/** `virq boards [FILE|NAME]`: what is on a machine, and how each device could be assigned and served. */
export function addBoardsCommand(program: Command): void {
  const command = program
    .command("boards")
    .description("what is on a machine: controllers, CPUs, devices with interrupts and IOMMU groups, and which mechanisms could serve them")
    .argument("[board]", `a device tree (.dtb), or one of ${BUILTIN_BOARD_NAMES.join(", ")}; without it, the built-in boards are listed`)
    .option("--json", "print JSON (schema/boards.schema.json)")
    .option("--assume-iommu", "give each device without an IOMMU a group of its own, and say so")
    .option("--device <path>", "only this device, with every reason in full");
  addGicv4Option(addPciOption(command)).action((name: string | undefined, options: Options) => {
    process.stdout.write(`${name === undefined ? list(options) : show(name, options)}\n`);
  });
}

function list(options: Options): string {
  const boards = BUILTIN_BOARD_NAMES.map((name) => builtinBoard(name, { assumeIommu: options.assumeIommu ?? false })).filter((board) => board !== undefined);
  const output: BoardList = {
    boards: boards.map((board) => ({
      name: board.name,
      model: board.model,
      cpus: board.cpus.length,
      controllers: [...new Set(board.controllers.map((each) => each.kind))],
      devices: board.devices.length,
      groups: board.groups.length,
      isolatedGroups: board.groups.filter((group) => isolationOf(board, group).isIsolated).length,
      assignable: assignable(board).length,
      resettable: assignable(board).filter((device) => resetOf(board, device).by !== "none").length,
    })),
  };
  if (options.json) return JSON.stringify(output, null, 2);
  const rows = output.boards.map((each) => [each.name, String(each.cpus), each.controllers.join(" + "), `${each.groups}, ${each.isolatedGroups} isolated`, `${each.assignable} of ${each.devices}`, String(each.resettable), each.model ?? ""]);
  return table([["BOARD", "CPUS", "CONTROLLERS", "IOMMU GROUPS", "ASSIGNABLE", "RESETTABLE", "MODEL"], ...rows]);
}

const assignable = (board: Board): Device[] => board.devices.filter((device) => assignmentOf(board, device).why === null);

function show(name: string, options: Options): string {
  const board = withPciFunctions(loadBoard(name, { assumeIommu: options.assumeIommu ?? false, ...given({ gicv4: options.gicv4 }) }), options.pci ?? []);
  const device = options.device === undefined ? null : findDevice(board, options.device);
  if (options.json) return JSON.stringify(boardJson(device ? { ...board, devices: [device] } : board, board), null, 2);
  return device ? deviceText(board, device) : boardText(board);
}

/** The board with, for each device, its assignment and reset, for each interrupt, the mechanisms, and for each group its isolation; `whole` is what they are judged by. */
export function boardJson(board: Board, whole: Board = board): BoardOutput {
  const devices = board.devices.map((device) => ({
    ...device,
    assignment: assignmentOf(whole, device),
    reset: resetOf(whole, device),
    interrupts: device.interrupts.map((interrupt) => ({ ...interrupt, mechanisms: mechanismsFor(whole, device, interrupt) })),
  }));
  const groups = whole.groups.map((group) => ({ ...group, isolation: isolationOf(whole, group) }));
  return JSON.parse(JSON.stringify({ ...board, devices, groups })) as BoardOutput;
}
