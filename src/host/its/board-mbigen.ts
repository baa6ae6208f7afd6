import type { EdgeSink, LevelSink } from "../../arch/level.js";
import type { Board, Interrupt, MbigenGroup } from "../../board/board.js";
import type { Step } from "../../sim/step.js";
import type { GicHost } from "../gic/gic-host.js";
import { IrqType } from "../irq/types.js";
import { isMbigenPin, Mbigen, MbigenDomain, MbigenEdgePin, MbigenLevelPin } from "../mbigen.js";
import { ItsMsiDomain, MbigenPort } from "./its-msi.js";

/** A pin of an mbigen: the host's number, the LPI that it becomes, and the wire. */
export interface MbigenPin {
  readonly irq: number;
  readonly intid: number;
  readonly level: LevelSink;
  readonly edge: EdgeSink;
}

/** Maps a board's pin behind an mbigen, whose messages go to one of the host's ITSs. Null where that is none, or has no LPI left. */
export function* connectMbigenPin(host: GicHost, board: Board, interrupt: Interrupt): Step<MbigenPin | null> {
  const { number } = interrupt;
  const domain = domainOf(host, board, interrupt.controller);
  if (domain === null || number === null || !isMbigenPin(number)) return null;
  const irq = yield* domain.map([number, interrupt.trigger === "level-high" ? IrqType.LEVEL_HIGH : IrqType.EDGE_RISING]);
  const intid = host.desc(irq)?.data.parent?.hwirq ?? -1;
  if (irq < 0 || intid < 0) return null;
  return { irq, intid, level: new MbigenLevelPin(domain.mbigen, number), edge: new MbigenEdgePin(domain.mbigen, number) };
}

/** The pins of one group, made when the first is connected. */
function domainOf(host: GicHost, board: Board, path: string): MbigenDomain | null {
  const known = host.pinDomains.get(path);
  if (known !== undefined) return known;
  const group = board.controllers.find((each): each is MbigenGroup => each.kind === "mbigen" && each.path === path);
  const its = board.controllers.find((each) => each.kind === "its" && each.path === group?.its);
  const node = host.its?.nodes.findIndex(({ base }) => its?.kind === "its" && base === its.frame.address) ?? -1;
  if (group === undefined || host.its === null || node < 0) return null;
  const mbigen = new Mbigen(new MbigenPort(host.its.nodes[node]), group.deviceId);
  const domain = new MbigenDomain(host.irqs, host.domain, new ItsMsiDomain(host.its, () => node), mbigen);
  host.pinDomains.set(path, domain);
  return domain;
}
