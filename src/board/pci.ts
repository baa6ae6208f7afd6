import { PersonError } from "../sim/person-error.js";
import { isPciBus } from "./address.js";
import { type Board, type Device, freeze, type IdMap, type Interrupt, type IntxMap, type MsiParent, type PciFunction, type PciHost } from "./board.js";
import { type FdtNode } from "./fdt-node.js";
import { Grouping } from "./groups.js";
import { decode } from "./interrupts.js";
import { takesPlainMessages } from "./kinds.js";
import { messagesOf, tableOf } from "./power.js";
import { type Reading } from "./reading.js";

/** A host bridge: a PCI bus whose own parent is none. */
export function isPciHost(node: FdtNode): boolean {
  return isPciBus(node) && node.parent !== null && !isPciBus(node.parent);
}

const DOMAIN = "linux,pci-domain";

/** The segment of each host bridge: what its node says, or the least that nobody has yet, in the order of the tree, as Linux counts. */
export function segmentsOf(hosts: readonly FdtNode[]): ReadonlyMap<FdtNode, number> {
  const said = hosts.map((node) => node.u32(DOMAIN));
  const segments = new Map<FdtNode, number>();
  let free = 0;
  for (const [i, node] of hosts.entries()) {
    while (said.includes(free)) free++;
    segments.set(node, said[i] ?? free++);
  }
  const bad = hosts.find((node) => (node.u32(DOMAIN) ?? 0) > 0xffff);
  return bad?.fail(`"${DOMAIN}" is ${bad.u32(DOMAIN)}; a segment has 16 bits`) ?? segments;
}

export function readPciHost(node: FdtNode, segment: number, dmaCoherent: boolean, reading: Reading): PciHost {
  const buses = node.cells("bus-range") ?? [0, 255];
  if (buses.length !== 2 || buses[0] > buses[1] || buses[1] > 255) node.fail(`"bus-range" is <${buses.join(" ")}>; it takes a first and a last bus up to 255`);
  return {
    path: node.path,
    segment,
    enabled: node.enabled,
    firstBus: buses[0],
    lastBus: buses[1],
    dmaCoherent,
    intx: node.has("interrupt-map") ? intxMap(node, reading) : null,
    msi: idMap(node, "msi-map", reading) ?? plainMsiParent(node, reading) ?? messagesOf(node, reading.tree),
    msiTotal: node.u32("ibm,pe-total-#msi"),
    iommu: idMap(node, "iommu-map", reading) ?? tableOf(node),
  };
}

function intxMap(node: FdtNode, reading: Reading): IntxMap {
  const { mask, addressCells, entries } = reading.interrupts.entriesOf(node);
  if (addressCells !== 3 || mask.length !== 4) node.fail(`a PCI interrupt-map has 3 address cells and 1 interrupt cell, not ${addressCells} and ${mask.length - addressCells}`);
  const found: IntxMap["entries"][number][] = [];
  for (const entry of entries) {
    const interrupt = decode(node, reading.interrupts.fromEntry(node, entry), 0, "INTx", reading);
    if (interrupt) found.push({ address: (entry.key[0] & mask[0]) >>> 0, pin: (entry.key[3] & mask[3]) >>> 0, interrupt });
  }
  return { addressMask: mask[0], pinMask: mask[3], entries: found };
}

const MAX_MAP = 1024;
const MAX_VECTORS = 2048;

/** `msi-map` and `iommu-map`: entries of requester id, phandle, id there, how many. */
function idMap(node: FdtNode, property: "msi-map" | "iommu-map", reading: Reading): IdMap | null {
  const cells = node.cells(property);
  if (!cells) return null;
  if (cells.length % 4 !== 0) node.fail(`"${property}" holds ${cells.length} cells; an entry takes 4`);
  if (cells.length > 4 * MAX_MAP) node.fail(`"${property}" holds ${cells.length / 4} entries; more than ${MAX_MAP} are not read`);
  const entries: IdMap["entries"][number][] = [];
  for (let at = 0; at < cells.length; at += 4)
    entries.push({ first: cells[at], count: cells[at + 3], target: reading.tree.target(cells[at + 1], node, property).path, output: cells[at + 2] });
  return { mask: node.u32(`${property}-mask`) ?? 0xffff, entries };
}

/** A host bridge with a plain `msi-parent`: the requester id is the device id. */
function plainMsiParent(node: FdtNode, reading: Reading): IdMap | null {
  const cells = node.cells("msi-parent");
  if (!cells || cells.length === 0) return null;
  return { mask: 0xffff, entries: [{ first: 0, count: 0x10000, target: reading.tree.target(cells[0], node, "msi-parent").path, output: 0 }] };
}

export function mapId(map: IdMap | null, requesterId: number): { target: string; id: number } | null {
  if (!map) return null;
  const id = (requesterId & map.mask) >>> 0;
  for (const entry of map.entries) if (id >= entry.first && id - entry.first < entry.count) return { target: entry.target, id: entry.output + (id - entry.first) };
  return null;
}

/** Where the function's messages go; an ITS is told its device id, a v2m frame is told nothing. */
export function msiParentsOf(host: PciHost, requesterId: number, frames: ReadonlySet<string>): MsiParent[] {
  const msi = mapId(host.msi, requesterId);
  return msi ? [{ controller: msi.target, deviceId: frames.has(msi.target) ? null : msi.id }] : [];
}

/** A function that the tree itself lists, as a child of a host bridge or of a bridge below one. */
export function pciOf(node: FdtNode, host: PciHost): PciFunction {
  const reg = node.cells("reg") ?? node.fail('a PCI function needs "reg" with its bus, device and function');
  const requesterId = ((reg[0] ?? 0) >>> 8) & 0xffff;
  return {
    bdf: bdfText(requesterId),
    requesterId,
    segment: host.segment,
    host: host.path,
    vendor: node.u32("vendor-id"),
    device: node.u32("device-id"),
    bridge: isPciBus(node),
    isolated: false,
    msiVectors: vectorsOf(node),
  };
}

/** What firmware of Power read from the function's capabilities; trees say it nowhere else. */
function vectorsOf(node: FdtNode): number {
  const vectors = node.u32("ibm,req#msi-x") ?? node.u32("ibm,req#msi") ?? 0;
  return vectors <= MAX_VECTORS ? vectors : node.fail(`it asks for ${vectors} MSI vectors; a function has at most ${MAX_VECTORS}`);
}

/** A listed function's pins, and behind them the vectors that the tree says it has. */
export function withMessages(pins: Interrupt[], pci: PciFunction | null, host: PciHost | null): Interrupt[] {
  const msi = pci && host ? mapId(host.msi, pci.requesterId) : null;
  const messages = msi && pci ? Array.from({ length: pci.msiVectors }, (_, i) => vector(pins.length + i, i, msi.target)) : [];
  return [...pins, ...messages];
}

/** A PCI function that the tree does not list, to be put on a board: ids of 16 bits, a pin, vectors. */
export interface PciFunctionRequest {
  /** "bus:device.function" in hexadecimal, where several host bridges have the bus with the segment before it: "01:00.0", "0001:01:00.0". */
  readonly bdf: string;
  readonly vendor?: number;
  readonly device?: number;
  /** Interrupt pin: 1 for INTA# to 4 for INTD#; 0 or absent for none. */
  readonly intxPin?: number;
  readonly msiVectors?: number;
  /** Path of the host bridge; needed where several take the bus. */
  readonly host?: string;
  /** The root port that it is plugged into, where the interrupt-map tells ports apart: its pin is swizzled by its device number. */
  readonly under?: string;
  /** Access control services separate it from the other functions of its device; without them they share a group. */
  readonly isolated?: boolean;
}

/**
 * The board with one more PCI function. INTx goes through the host bridge's interrupt-map; ids through its msi-map and
 * iommu-map. Bridges on the way are taken to isolate (host-irq.md 5.2). Throws PersonError when it does not fit the board.
 */
export function addPciFunction(board: Board, request: PciFunctionRequest): Board {
  const { segment, requesterId } = parseBdf(request.bdf);
  const host = hostFor(board, request, segment, requesterId);
  const bdf = bdfText(requesterId);
  if (board.devices.some((device) => device.pci?.host === host.path && device.pci.requesterId === requesterId))
    throw new PersonError(`PCI function ${bdf}: ${host.path} already has one there`);
  const interrupts: Interrupt[] = [];
  const pin = request.intxPin ?? 0;
  if (!Number.isInteger(pin) || pin < 0 || pin > 4) throw new PersonError(`PCI function ${bdf}: interrupt pin ${pin} does not exist; give 1 (INTA#) to 4 (INTD#), or 0 for none`);
  if (pin > 0) interrupts.push(intxOf(host, bdf, requesterId, pin, request.under));
  const msi = mapId(host.msi, requesterId);
  const msiVectors = request.msiVectors ?? 0;
  if (!Number.isInteger(msiVectors) || msiVectors < 0 || msiVectors > MAX_VECTORS) throw new PersonError(`PCI function ${bdf}: ${msiVectors} MSI vectors do not exist; give 0 to ${MAX_VECTORS}`);
  if (msiVectors > 0 && !msi) throw new PersonError(`PCI function ${bdf}: ${host.path} names no MSI controller for it, so it can have no MSI vectors`);
  if (msi) for (let i = 0; i < msiVectors; i++) interrupts.push(vector(interrupts.length, i, msi.target));
  const stream = mapId(host.iommu, requesterId);
  const frames = new Set(board.controllers.filter((each) => takesPlainMessages(each.kind)).map((each) => each.path));
  const draft = {
    path: `${host.path}/${bdf}`,
    compatible: request.vendor === undefined ? [] : [`pci${request.vendor.toString(16)},${(request.device ?? 0).toString(16)}`],
    bus: "pci" as const,
    enabled: host.enabled,
    registers: [],
    interrupts,
    msiParents: msiParentsOf(host, requesterId, frames),
    iommu: stream ? { path: stream.target, streams: [{ id: stream.id, mask: 0 }], second: null } : null,
    dmaCoherent: host.dmaCoherent,
    hostBridge: false,
    pci: { bdf, requesterId, segment: host.segment, host: host.path, vendor: request.vendor ?? null, device: request.device ?? null, bridge: false, isolated: request.isolated ?? false, msiVectors },
  };
  const grouping = new Grouping(board.iommus, board.assumeIommu);
  grouping.resume(board.groups, board.devices);
  const device: Device = { ...draft, ...grouping.place(draft) };
  return freeze({ ...board, devices: [...board.devices, device], groups: grouping.groups });
}

function vector(index: number, number: number, controller: string): Interrupt {
  return { index, name: `MSI ${number}`, controller, kind: "msi", number: null, intid: null, trigger: "edge-rising", via: [] };
}

function hostFor(board: Board, request: PciFunctionRequest, segment: number | null, requesterId: number): PciHost {
  const bus = requesterId >> 8;
  const fits = board.pciHosts.filter((host) => bus >= host.firstBus && bus <= host.lastBus && (segment === null || segment === host.segment) && (request.host === undefined || request.host === host.path));
  if (fits.length === 1) return fits[0];
  const all = board.pciHosts.map((host) => `${host.path} (segment ${segmentText(host.segment)}, buses ${host.firstBus} to ${host.lastBus})`).join(", ");
  if (fits.length > 1) throw new PersonError(`PCI function ${request.bdf}: several host bridges of ${board.name} take this bus; write the segment before it, or give "host" as one of ${all}`);
  throw new PersonError(`PCI function ${request.bdf}: no host bridge${request.host === undefined ? "" : ` ${request.host}`} of ${board.name} takes this bus; there is ${all || "none"}`);
}

/** The pin that arrives at the host bridge, and from which device (PCI-to-PCI Bridge Architecture, 9.1). */
function intxOf(host: PciHost, bdf: string, requesterId: number, pin: number, under: string | undefined): Interrupt {
  const device = (requesterId >> 3) & 31;
  const at = under === undefined ? requesterId : parseBdf(under).requesterId;
  const arriving = under === undefined ? pin : ((pin - 1 + device) % 4) + 1;
  const map = host.intx;
  if (!map) throw new PersonError(`PCI function ${bdf}: ${host.path} has no interrupt-map, so INTx goes nowhere; give MSI vectors only`);
  const address = ((at << 8) & map.addressMask) >>> 0;
  const entry = map.entries.find((each) => each.address === address && each.pin === (arriving & map.pinMask) >>> 0);
  if (entry) return entry.interrupt;
  const ports = [...new Set(map.entries.map((each) => bdfText(each.address >>> 8)))].slice(0, 8).join(", ");
  throw new PersonError(`PCI function ${bdf}: the interrupt-map of ${host.path} has no entry for ${bdfText(at)}, pin ${arriving}; plug it in "under" one of ${ports}`);
}

function parseBdf(text: string): { segment: number | null; requesterId: number } {
  const match = /^(?:([0-9a-f]{4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i.exec(text);
  const device = match ? parseInt(match[3], 16) : 32;
  if (!match || device > 31) throw new PersonError(`"${text}" is no PCI function; write bus:device.function in hexadecimal, as in 01:00.0`);
  const segment: string | undefined = match[1];
  return { segment: segment === undefined ? null : parseInt(segment, 16), requesterId: (parseInt(match[2], 16) << 8) | (device << 3) | parseInt(match[4], 16) };
}

export const segmentText = (segment: number): string => segment.toString(16).padStart(4, "0");

/** As the kernel calls it: "0001:01:00.0". */
export const functionName = ({ segment, bdf }: PciFunction): string => `${segmentText(segment)}:${bdf}`;

export function bdfText(requesterId: number): string {
  const two = (value: number): string => value.toString(16).padStart(2, "0");
  return `${two((requesterId >> 8) & 255)}:${two((requesterId >> 3) & 31)}.${requesterId & 7}`;
}
