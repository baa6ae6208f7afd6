import type { LevelSink } from "../../arch/level.js";
import type { Board, Interrupt, IoApic } from "../../board/board.js";
import { PersonError } from "../../sim/person-error.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { IrqType } from "../irq/types.js";
import { IoApicLevelInput } from "./ioapic.js";
import { X86Host } from "./x86-host.js";

function ioapicOf(board: Board): IoApic | null {
  return board.controllers.find((each): each is IoApic => each.kind === "ioapic" && each.enabled) ?? null;
}

/**
 * The host kernel on a PC: its local APICs, its IOAPIC, VT-d. `sim` has `clocksOf` clocks.
 * @throws {PersonError} for a board without an IOAPIC
 */
export function x86HostFromBoard(sim: Sim, board: Board): X86Host {
  if (ioapicOf(board) === null) throw new PersonError(`${board.name} has no IOAPIC, so its host is none of x86's`);
  return new X86Host(
    sim,
    board.cpus.filter((cpu) => cpu.enabled).map((cpu) => cpu.hwId),
  );
}

/** A device's pin on the host: the driver's number, and where its line ends. */
export interface HostPin {
  readonly irq: number;
  /** The global system interrupt. */
  readonly intid: number;
  readonly sink: LevelSink;
}

/** Maps a pin as the kernel does when a driver enables the function. Null for anything but a level GSI of the IOAPIC. */
export function* connectPin(host: X86Host, board: Board, interrupt: Interrupt): Step<HostPin | null> {
  const ioapic = ioapicOf(board);
  const { kind, number, trigger } = interrupt;
  const isLevel = trigger === "level-low" || trigger === "level-high";
  if (ioapic === null || kind !== "gsi" || number === null || !isLevel || interrupt.controller !== ioapic.path) return null;
  const irq = yield* host.mapGsi(number, trigger === "level-low" ? IrqType.LEVEL_LOW : IrqType.LEVEL_HIGH);
  return irq === 0 ? null : { irq, intid: number, sink: new IoApicLevelInput(host.ioapic, number - ioapic.gsiBase) };
}
