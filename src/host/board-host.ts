import type { EdgeSink, LevelSink } from "../arch/level.js";
import { eoiModeSplit, primaryGic } from "../board/assign.js";
import type { Board, GicV2 as GicV2Node, GicV3 as GicV3Node, Interrupt, TriggerMode, V2mFrame as V2mNode } from "../board/board.js";
import { PersonError } from "../sim/person-error.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { GicV2 } from "./gic/gicv2.js";
import { GicV3 } from "./gic/gicv3.js";
import { GicEdgeInput, GicLevelInput } from "./gic-input.js";
import { IrqType } from "./irq/types.js";
import { GicHost } from "./gic/gic-host.js";
import { connectMbigenPin } from "./its/board-mbigen.js";
import { addItses, itsesOf, type LpiParts, lpiParts, tablesRam } from "./its/board-its.js";
import { V2mDomain, V2mFrame, type V2mFrameDescription } from "./v2m.js";

export interface BoardHostOptions {
  /** List registers of each virtual CPU interface. Default: the GIC model's own. */
  listRegisters?: number;
}

/** What an interrupt of a board is on the host: the driver's number, and where the device's line ends. */
export type HostInterrupt = { readonly irq: number; readonly intid: number } & (
  | { readonly trigger: "level"; readonly sink: LevelSink }
  | { readonly trigger: "edge"; readonly sink: EdgeSink }
);

const GICV2_CPUS = 8;
const WORD = 32;
const END_INTID = 1020;
const END_V2M = 1019;
/** SPIs of a v2m frame whose number only its MSI_TYPER would tell. */
const V2M_SPIS = 64;

/** CPUs that run; each has a clock, and the hardware has one more. */
function enabledCpus(board: Board): number {
  return Math.max(1, board.cpus.filter((cpu) => cpu.enabled).length);
}

/** Clocks that a {@link Sim} needs for this board's {@link hostFromBoard}: the CPUs' and the hardware's. */
export function clocksOf(board: Board): number {
  return enabledCpus(board) + 1;
}

/**
 * The host kernel on a board: its GIC as Linux boots it, its CPUs, its ITSs and its v2m frames. `sim` has {@link clocksOf} clocks.
 * @throws {PersonError} for a board without a GIC, or with more CPUs than its GIC serves
 */
export function hostFromBoard(sim: Sim, board: Board, options: BoardHostOptions = {}): GicHost {
  const node = primaryGic(board);
  if (node === null) throw new PersonError(`${board.name} has no GIC, and its host is none of Arm's`);
  const cpus = enabledCpus(board);
  if (node.kind === "gicv2" && cpus > GICV2_CPUS)
    throw new PersonError(`${board.name} has ${cpus} CPUs and a GICv2 (${node.path}), which serves ${GICV2_CPUS}; disable the others in its tree`);
  const frames = board.controllers.filter((each): each is V2mNode => each.kind === "v2m" && each.enabled && each.parent === node.path);
  const described = describeFrames(board, frames);
  const itses = node.kind === "gicv3" ? itsesOf(board, node.path) : [];
  const lpis = node.kind === "gicv3" && itses.length > 0 ? lpiParts(board, node) : null;
  const gic = physicalGic(node, cpus, interruptsOf(board, described), options, lpis);
  gic.boot();
  const host = new GicHost(sim, gic);
  if (lpis !== null && gic instanceof GicV3) addItses(host, gic, board, itses, lpis.its);
  const usable = described.map((each) => V2mFrame.create(gic, each)).filter((each) => typeof each !== "number");
  if (usable.length > 0) host.msi = new V2mDomain(host.irqs, host.domain, usable);
  return host;
}

function physicalGic(node: GicV2Node | GicV3Node, cpus: number, interrupts: number, options: BoardHostOptions, lpis: LpiParts | null): GicV2 | GicV3 {
  const common = { cpus, interrupts, eoiMode: eoiModeSplit(node) ? 1 : 0, ...options } as const;
  if (node.kind === "gicv2") return new GicV2(common);
  if (lpis === null) return new GicV3(common);
  const { gic: implementation, redistributors } = lpis;
  const isComplete = redistributors.reduce((total, { count }) => total + count, 0) >= cpus;
  return new GicV3({ ...common, implementation, ram: tablesRam(), ...(isComplete ? { redistributors } : {}) });
}

/** Frames whose SPIs firmware does not name get the ones after the board's highest. */
function describeFrames(board: Board, nodes: readonly V2mNode[]): V2mFrameDescription[] {
  let next = endOfWires(board);
  return nodes.map(({ frame, baseSpi, spiCount }) => {
    const base = baseSpi ?? next;
    const count = spiCount ?? Math.min(V2M_SPIS, END_V2M - base);
    next = Math.max(next, base + count);
    return { address: frame.address, baseSpi: base, spiCount: count };
  });
}

/** One more than the highest INTID that a wire ends at, in whole registers. */
function endOfWires(board: Board): number {
  let end = 2 * WORD;
  const see = (interrupt: Interrupt): void => {
    if (interrupt.kind === "spi" && interrupt.intid !== null) end = Math.max(end, interrupt.intid + 1);
  };
  for (const device of board.devices) device.interrupts.forEach(see);
  for (const iommu of board.iommus) iommu.interrupts.forEach(see);
  for (const host of board.pciHosts) host.intx?.entries.forEach((entry) => see(entry.interrupt));
  return wholeRegisters(end);
}

function interruptsOf(board: Board, frames: readonly V2mFrameDescription[]): number {
  return wholeRegisters(Math.max(endOfWires(board), ...frames.map((frame) => frame.baseSpi + frame.spiCount)));
}

function wholeRegisters(end: number): number {
  return Math.min(END_INTID, Math.ceil(end / WORD) * WORD);
}

const TYPES: Readonly<Record<TriggerMode, number>> = {
  "level-high": IrqType.LEVEL_HIGH,
  "level-low": IrqType.LEVEL_LOW,
  "edge-rising": IrqType.EDGE_RISING,
  "edge-falling": IrqType.EDGE_FALLING,
  "edge-both": IrqType.EDGE_BOTH,
  unspecified: IrqType.NONE,
};

/**
 * A PCI pin: level, whatever trigger the tree gives its interrupt. An input that takes edges hears only the rise of the
 * line, and each unmask that finds the function quiet makes room for the next.
 */
export function* connectPin(host: GicHost, board: Board, interrupt: Interrupt): Step<{ irq: number; intid: number; sink: LevelSink } | null> {
  const connected = yield* connectInterrupt(host, board, interrupt);
  if (connected === null) return null;
  const { irq, intid } = connected;
  return { irq, intid, sink: connected.trigger === "level" ? connected.sink : new GicLevelInput(host.gic, intid) };
}

/**
 * Maps a board's shared interrupt, or its pin behind an mbigen, as the kernel does for a driver. Null where it cannot: another kind, another
 * controller, or a trigger that the GIC does not have (board/assign.ts says why in words).
 */
export function* connectInterrupt(host: GicHost, board: Board, interrupt: Interrupt): Step<HostInterrupt | null> {
  if (interrupt.kind === "mbigen pin") return yield* connectBehindMbigen(host, board, interrupt);
  const { intid } = interrupt;
  if (interrupt.kind !== "spi" || intid === null || interrupt.controller !== primaryGic(board)?.path) return null;
  const irq = yield* host.mapIrq(intid, TYPES[interrupt.trigger]);
  if (irq === 0) return null;
  if (interrupt.trigger === "level-high") return { irq, intid, trigger: "level", sink: new GicLevelInput(host.gic, intid) };
  return { irq, intid, trigger: "edge", sink: new GicEdgeInput(host.gic, intid) };
}

function* connectBehindMbigen(host: GicHost, board: Board, interrupt: Interrupt): Step<HostInterrupt | null> {
  const pin = yield* connectMbigenPin(host, board, interrupt);
  if (pin === null) return null;
  const { irq, intid } = pin;
  return interrupt.trigger === "level-high" ? { irq, intid, trigger: "level", sink: pin.level } : { irq, intid, trigger: "edge", sink: pin.edge };
}
