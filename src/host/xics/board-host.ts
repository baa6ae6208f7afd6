import type { LevelSink } from "../../arch/level.js";
import type { Board, Interrupt } from "../../board/board.js";
import { isPower } from "../../board/power.js";
import { PersonError } from "../../sim/person-error.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { IrqType } from "../irq/types.js";
import { PhysicalXics } from "./physical-xics.js";
import { XicsHost } from "./xics-host.js";

/** Messages begin at a multiple of it. */
const MESSAGES_ALIGN = 0x100;

/**
 * The host kernel on a Power machine: a XICS with the board's sources, firmware with its messages. `sim` has `clocksOf`
 * clocks.
 * @throws {PersonError} for a board without a XICS, or whose threads are not servers 0, 1, 2 and so on
 */
export function xicsHostFromBoard(sim: Sim, board: Board): XicsHost {
  if (!isPower(board)) throw new PersonError(`${board.name} has no XICS, so its host is none of Power's`);
  const threads = board.cpus.filter((cpu) => cpu.enabled);
  const gap = threads.find((cpu, i) => cpu.hwId !== i);
  if (gap !== undefined) throw new PersonError(`${gap.path}: its interrupt server is ${gap.hwId}, and the hosts modelled number their threads from 0 without a gap`);
  const xics = new PhysicalXics(threads.length);
  const wired = wiredSources(board);
  for (const { first, count, isLsi } of rowsOf(wired)) xics.addSources(first, count, isLsi);
  const first = Math.ceil((Math.max(0, ...wired.keys()) + 1) / MESSAGES_ALIGN) * MESSAGES_ALIGN;
  const count = Math.max(0, ...board.pciHosts.map((host) => (host.msi === null ? 0 : (host.msiTotal ?? 0))));
  if (count > 0) xics.addSources(first, count, false);
  return new XicsHost(sim, xics, { first, count });
}

/** Of devices and of pins: the number, and whether it is a level. */
function wiredSources(board: Board): Map<number, boolean> {
  const found = new Map<number, boolean>();
  const see = ({ kind, number, trigger }: Interrupt): void => {
    if (kind === "xics" && number !== null) found.set(number, trigger === "level-low");
  };
  for (const device of board.devices) device.interrupts.forEach(see);
  for (const host of board.pciHosts) host.intx?.entries.forEach((entry) => see(entry.interrupt));
  return found;
}

/** Sources of one kind whose numbers follow each other. */
function rowsOf(sources: ReadonlyMap<number, boolean>): { first: number; count: number; isLsi: boolean }[] {
  const rows: { first: number; count: number; isLsi: boolean }[] = [];
  for (const [irq, isLsi] of [...sources].sort(([a], [b]) => a - b)) {
    const row = rows.at(-1);
    if (row !== undefined && row.isLsi === isLsi && row.first + row.count === irq) row.count++;
    else rows.push({ first: irq, count: 1, isLsi });
  }
  return rows;
}

/** A pin of a host bridge: its line ends at a level source. */
class SourceInput implements LevelSink {
  readonly trigger = "level";

  constructor(
    private readonly xics: PhysicalXics,
    private readonly irq: number,
  ) {}

  *setLevel(isHigh: boolean): Step<void> {
    yield* this.xics.input(this.irq, isHigh);
  }
}

/** A device's pin on the host: the driver's number, its source, and where its line ends. Null for anything but a level source. */
export function* connectPin(host: XicsHost, interrupt: Interrupt): Step<{ irq: number; intid: number; sink: LevelSink } | null> {
  const { kind, number, trigger } = interrupt;
  if (kind !== "xics" || number === null || trigger !== "level-low") return null;
  const irq = yield* host.mapSource(number, IrqType.LEVEL_LOW);
  return irq === 0 ? null : { irq, intid: number, sink: new SourceInput(host.xics, number) };
}
