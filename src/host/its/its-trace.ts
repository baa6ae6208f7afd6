import { deviceIdOf, eventIdOf, ItsOp, ItsVOp, opcodeOf, vpeidOf } from "../../arch/gic/its-command.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { ItsListener, PhysicalIts } from "../gic/its/physical-its.js";
import { Outcome } from "../gic/its/translation.js";

const NAMES: Readonly<Record<number, string>> = {
  [ItsOp.MOVI]: "MOVI",
  [ItsOp.INT]: "INT",
  [ItsOp.CLEAR]: "CLEAR",
  [ItsOp.SYNC]: "SYNC",
  [ItsOp.MAPD]: "MAPD",
  [ItsOp.MAPC]: "MAPC",
  [ItsOp.MAPTI]: "MAPTI",
  [ItsOp.MAPI]: "MAPI",
  [ItsOp.INV]: "INV",
  [ItsOp.INVALL]: "INVALL",
  [ItsOp.MOVALL]: "MOVALL",
  [ItsOp.DISCARD]: "DISCARD",
  [ItsVOp.VMOVI]: "VMOVI",
  [ItsVOp.VMOVP]: "VMOVP",
  [ItsVOp.VSGI]: "VSGI",
  [ItsVOp.VSYNC]: "VSYNC",
  [ItsVOp.VMAPP]: "VMAPP",
  [ItsVOp.VMAPTI]: "VMAPTI",
  [ItsVOp.VMAPI]: "VMAPI",
  [ItsVOp.VINVALL]: "VINVALL",
  [ItsVOp.INVDB]: "INVDB",
};
const OF_EVENT: readonly number[] = [ItsOp.MOVI, ItsOp.INT, ItsOp.CLEAR, ItsOp.MAPTI, ItsOp.MAPI, ItsOp.INV, ItsOp.DISCARD, ItsVOp.VMOVI, ItsVOp.VMAPTI, ItsVOp.VMAPI];
const OUTCOMES = ["done", "skipped", "stalled"];

/** "INT", "VMAPP"; a number where nobody knows the command. */
export const commandName = (opcode: number): string => NAMES[opcode] ?? `0x${opcode.toString(16)}`;

class CommandTrace implements ItsListener {
  constructor(private readonly sim: Sim) {}

  command(its: PhysicalIts, words: Int32Array, outcome: Outcome): void {
    if (!this.sim.tracing) return;
    const opcode = opcodeOf(words);
    const hasEvent = OF_EVENT.includes(opcode);
    const device = hasEvent || opcode === (ItsOp.MAPD as number) ? deviceIdOf(words) : -1;
    const event = hasEvent ? eventIdOf(words) : -1;
    const vpe = opcode >= 0x20 ? vpeidOf(words) : -1;
    this.sim.emit(Ev.its_hw_command, `${its.number}:${commandName(opcode)}`, device, event, vpe, its.translation.isUnpredictable ? "unpredictable" : OUTCOMES[outcome]);
  }
}

/** Every command that an ITS executes becomes an event; -1 where it has no such field. */
export function traceCommands(sim: Sim, its: PhysicalIts): void {
  its.listener = new CommandTrace(sim);
}
