import type { Board, GicV3 as GicDescription, Its as ItsDescription } from "../../board/board.js";
import { HIP07 } from "../../board/controllers.js";
import { mapId } from "../../board/pci.js";
import { PersonError } from "../../sim/person-error.js";
import { run, type Step } from "../../sim/step.js";
import { GICR_SIZE } from "../../arch/gic/gicr.js";
import { GICR_V4_SIZE } from "../../arch/gic/gicr-vlpi.js";
import { HostRam } from "../gic/its/host-ram.js";
import { HIP07_GIC, HIP07_ITS } from "../gic/hip07.js";
import type { ItsImplementation } from "../gic/its/implementation.js";
import { PhysicalIts } from "../gic/its/physical-its.js";
import { GENERIC_GICV3, type GicV3Implementation } from "../gic/implementation.js";
import type { GicV3, RedistRegion } from "../gic/gicv3.js";
import type { GicHost } from "../gic/gic-host.js";
import type { MsiDevice, MsiDomain } from "../msi.js";
import { ItsDriver } from "./its-driver.js";
import { GICS, ITSES } from "./its-host.js";
import { DEFAULT_VECTORS, ItsMsiDomain } from "./its-msi.js";

/** Where tables lie, and how much there is for them: memory that is used is made when it is. */
const TABLES = 0x40000000;
const TABLES_SIZE = 0x20000000;

/** A board's GIC with LPIs, whose INTIDs have 16 bits, and its ITSs. */
export interface LpiParts {
  readonly gic: GicV3Implementation;
  readonly its: ItsImplementation;
  readonly redistributors: readonly RedistRegion[];
}

/** {@link GENERIC_GICV3} with the LPIs that it is known to have, or what is known of a Hip07. */
export function lpiParts(board: Board, node: GicDescription): LpiParts {
  const isHip07 = node.virtualLpis === "4.0" && board.compatible.includes(HIP07);
  const hw = node.virtualLpis === null ? "v3" : (`v${node.virtualLpis}` as const);
  const { gicdTyper, gicrTyper, pidr2 } = isHip07 ? HIP07_GIC : GICS[hw];
  const stride = node.redistributorStride ?? (node.virtualLpis === null ? GICR_SIZE : GICR_V4_SIZE);
  const redistributors = node.redistributors.map(({ address, size }) => ({ address, count: Math.floor(size / stride) }));
  return { gic: { ...GENERIC_GICV3, gicdTyper, gicrTyper, pidr2 }, its: isHip07 ? HIP07_ITS : ITSES[hw], redistributors };
}

/** The enabled ITSs of the GIC at `gic`. */
export const itsesOf = (board: Board, gic: string): ItsDescription[] => board.controllers.filter((each): each is ItsDescription => each.kind === "its" && each.enabled && each.parent === gic);

/** Memory for a GIC with LPIs. */
export const tablesRam = (): HostRam => new HostRam(TABLES, TABLES_SIZE);

/** Boots a board's ITSs, and gives its PCI functions their messages. */
export function addItses(host: GicHost, gic: GicV3, board: Board, described: readonly ItsDescription[], its: ItsImplementation): void {
  const places = described.map(({ frame }) => ({ its: new PhysicalIts(gic, its), base: frame.address }));
  const driver = run(ItsDriver.create(host, gic, places));
  if (typeof driver === "number") throw new PersonError(`${board.name} has ${described.length} ITSs and ${gic.cpus} CPUs, whose tables take more memory than virq's host gives them: disable some in its tree`);
  host.its = driver;
  host.msi = new BoardMsiDomain(board, described, driver);
}

/** An ITS, and a device id there: two ITSs may have the same one. */
interface Place {
  readonly its: number;
  readonly deviceId: number;
}

/**
 * PCI functions by segment and requester id, which the msi-map of the segment's host bridge turns into an ITS and a device id
 * there. Where two end as one device, they share its events, as its_msi_prepare has it.
 */
class BoardMsiDomain implements MsiDomain {
  readonly isIsolated = true;
  readonly allocatesDynamically = true;
  readonly multiMsiLimit = 32;
  private readonly inner: ItsMsiDomain;
  /** By segment and requester id: the ITS, and the device id there. */
  private readonly places = new Map<number, Place>();

  constructor(
    private readonly board: Board,
    private readonly described: readonly ItsDescription[],
    private readonly driver: ItsDriver,
  ) {
    this.inner = new ItsMsiDomain(driver);
  }

  /** Firmware's word on a function; the requester id as it is, at the first ITS, where there is none. */
  private place(source: number): Place {
    const known = this.places.get(source);
    if (known !== undefined) return known;
    const place = this.mapped(source >>> 16, source & 0xffff) ?? { its: 0, deviceId: source & 0xffff };
    this.places.set(source, place);
    return place;
  }

  private mapped(segment: number, requesterId: number): Place | null {
    const bus = requesterId >> 8;
    const host = this.board.pciHosts.find((each) => each.segment === segment && bus >= each.firstBus && bus <= each.lastBus);
    const found = host === undefined ? null : mapId(host.msi, requesterId);
    const its = found === null ? -1 : this.described.findIndex((each) => each.path === found.target);
    return found === null || its < 0 ? null : { its, deviceId: found.id };
  }

  *alloc(device: MsiDevice, first: number, count: number, irqs: number[]): Step<number> {
    const { its, deviceId } = this.place(device.deviceId);
    const mapped = deviceId === device.deviceId ? device : new MappedDevice(device, deviceId);
    return yield* this.inner.allocBehind(this.driver.nodes[its], mapped, first, count, irqs);
  }

  *free(irqs: readonly number[]): Step<void> {
    yield* this.inner.free(irqs);
  }

  *write(source: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    return yield* this.inner.write(this.place(source).deviceId, addressHi, addressLo, data);
  }
}

/** A function under the device id that its host bridge gives it. */
class MappedDevice implements MsiDevice {
  readonly name: string;

  constructor(
    private readonly device: MsiDevice,
    readonly deviceId: number,
  ) {
    this.name = device.name;
  }

  get maxVectors(): number {
    return this.device.maxVectors ?? DEFAULT_VECTORS;
  }

  *writeMessage(index: number, address: number, data: number): Step<void> {
    yield* this.device.writeMessage(index, address, data);
  }

  *setMasked(index: number, isMasked: boolean): Step<void> {
    yield* this.device.setMasked(index, isMasked);
  }

  *prepareDoorbell(address: number): Step<number> {
    return this.device.prepareDoorbell === undefined ? address : yield* this.device.prepareDoorbell(address);
  }
}
