import { expect, it } from "vitest";
import { builtinBoard } from "../../board/builtin.js";
import type { Board, PciHost } from "../../board/board.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { clocksOf, hostFromBoard } from "../board-host.js";
import type { MsiDevice } from "../msi.js";
import { itsesOf } from "./board-its.js";

class Card implements MsiDevice {
  readonly name = "card";
  readonly maxVectors = 8;
  constructor(readonly deviceId: number) {}
  *writeMessage(): Step<void> {}
  *setMasked(): Step<void> {}
}

interface Bridge {
  readonly segment: number;
  readonly firstBus: number;
}

/** A D05 with two host bridges, whose msi-maps give both first functions the same number, at two ITSs. */
function twoBridges(bridges: readonly [Bridge, Bridge]): { board: Board; bases: readonly number[] } {
  const d05 = builtinBoard("d05");
  const gic = d05?.controllers.find((each) => each.kind === "gicv3");
  if (d05 === undefined || gic === undefined) throw new Error("d05");
  const its = itsesOf(d05, gic.path);
  const bridge = ({ segment, firstBus }: Bridge, i: number, at: number): PciHost => ({
    ...d05.pciHosts[0],
    path: `/${i}`,
    segment,
    firstBus,
    lastBus: firstBus + 7,
    msi: { ...d05.pciHosts[0].msi, mask: 0xffff, entries: [{ first: firstBus << 8, count: 0x800, target: its[at].path, output: 0x100 }] },
  });
  return { board: { ...d05, pciHosts: bridges.map((each, i) => bridge(each, i, 2 + i)) }, bases: [its[2].frame.address, its[3].frame.address] };
}

it.each([
  ["at two ITSs", { segment: 0, firstBus: 0 }, { segment: 0, firstBus: 0x10 }, 0x1000],
  ["and one requester id, of two segments", { segment: 0, firstBus: 0 }, { segment: 1, firstBus: 0 }, 0x10000],
])("two functions with one device id %s stay apart, whoever comes first", (_where, first, second, source) => {
  const { board, bases } = twoBridges([first, second]);
  const host = hostFromBoard(new Sim({ cpus: clocksOf(board) }), board);
  const { its, msi } = host;
  if (its === null || msi === null) throw new Error("no ITS");
  const cards = [new Card(0x0000), new Card(source)];
  const irqs: number[][] = [[], []];
  const behind = (card: Card, i: number, index: number): number[] => {
    const lpi = host.desc(run(msi.alloc(card, index, 1, irqs[i])))?.data.parent?.hwirq ?? 0;
    const device = its.deviceOf(lpi);
    return device === null ? [] : [device.deviceId, device.node.base];
  };
  for (let index = 0; index < 2; index++) for (const [i, card] of cards.entries()) expect(behind(card, i, index)).toEqual([0x100, bases[i]]);
});
