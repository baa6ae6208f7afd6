import { AddressMap, isPciBus } from "./address.js";
import { type Board, type BoardOptions, type BusKind, type Cpu, type Device, freeze, type Iommu, type MsiParent, type PciHost, type Psci, type Region, type Stream } from "./board.js";
import { isController, isTimer, readController, readTimer } from "./controllers.js";
import { parseFdt } from "./fdt.js";
import { FdtNode, type FdtTree, wide } from "./fdt-node.js";
import { Grouping } from "./groups.js";
import { InterruptTree } from "./interrupt-tree.js";
import { interruptsOf } from "./interrupts.js";
import { iommuKind, kindOf, matches, takesPlainMessages } from "./kinds.js";
import { isPciHost, mapId, msiParentsOf, pciOf, readPciHost, segmentsOf, withMessages } from "./pci.js";
import { readRtas, readTce, serversOf } from "./power.js";
import { type Reading } from "./reading.js";

/**
 * Reads a flattened device tree (format 17 or 16) as a board.
 * Throws PersonError, one sentence with the node's path, for a tree that is broken.
 */
export function readBoard(bytes: Uint8Array, name: string, options: BoardOptions = {}): Board {
  return describe(parseFdt(bytes), name, "device tree", options);
}

/** The meaning of a tree. */
export function describe(tree: FdtTree, name: string, source: Board["source"], options: BoardOptions): Board {
  const notes = new Set<string>();
  const note = (sentence: string): void => void notes.add(sentence);
  const reading: Reading = { tree, note, addresses: new AddressMap(tree, note), interrupts: new InterruptTree(tree), options };
  const parts = new Parts(reading);
  for (const node of tree.nodes) parts.take(node);
  const tables = parts.hostNodes.map((node) => readTce(node)).filter((table) => table !== null);
  const iommus = [...parts.iommuNodes.map((node) => readIommu(node, reading)), ...tables];
  const hosts = new Map<FdtNode, PciHost>();
  for (const [node, segment] of segmentsOf(parts.hostNodes)) hosts.set(node, readPciHost(node, segment, isDmaCoherent(node, reading), reading));
  const frames = new Set(parts.controllerNodes.filter((node) => takesPlainMessages(kindOf(node))).map((node) => node.path));
  const grouping = new Grouping(iommus, options.assumeIommu ?? false);
  const devices = parts.deviceNodes.map((node) => {
    const draft = readDevice(node, hosts, frames, reading);
    return { ...draft, ...grouping.place(draft) };
  });
  return freeze({
    name,
    source,
    model: tree.root.text("model"),
    compatible: tree.root.strings("compatible"),
    cpus: readCpus(parts.cpuNodes),
    psci: parts.psciNode ? readPsci(parts.psciNode) : null,
    rtas: readRtas(tree),
    memory: parts.memory,
    controllers: parts.controllerNodes.map((node) => readController(node, reading)),
    timer: parts.timerNode ? readTimer(parts.timerNode, reading) : null,
    iommus,
    pciHosts: [...hosts.values()],
    devices,
    groups: grouping.groups,
    assumeIommu: options.assumeIommu ?? false,
    notes: [...notes],
  });
}

/** Sorts the nodes of a tree by what they are. */
class Parts {
  readonly cpuNodes: FdtNode[] = [];
  readonly controllerNodes: FdtNode[] = [];
  readonly iommuNodes: FdtNode[] = [];
  readonly hostNodes: FdtNode[] = [];
  readonly deviceNodes: FdtNode[] = [];
  readonly memory: Region[] = [];
  psciNode: FdtNode | null = null;
  timerNode: FdtNode | null = null;

  constructor(private readonly reading: Reading) {}

  take(node: FdtNode): void {
    const type = node.text("device_type");
    if (type === "memory" && node.depth === 1) this.memory.push(...this.reading.addresses.registers(node));
    else if (node.parent?.name === "cpus") {
      if (type === "cpu") this.cpuNodes.push(node);
    } else if (matches(node, (name) => /^arm,psci(-[\d.]+)?$/.test(name))) this.psciNode ??= node;
    else if (isTimer(node)) this.timerNode ??= node;
    else if (node.has("#iommu-cells")) this.iommuNodes.push(node);
    else this.takeRest(node);
  }

  private takeRest(node: FdtNode): void {
    if (isPciHost(node)) this.hostNodes.push(node);
    const controller = isController(node);
    if (controller) this.controllerNodes.push(node);
    if (controller && kindOf(node) !== "other") return;
    const interrupts = node.has("interrupts") || node.has("interrupts-extended");
    if (interrupts && node.parent?.baseName === "event-sources") this.deviceNodes.push(node);
    else if (node.has("reg") ? node.has("compatible") || isPciChild(node) : node.has("compatible") && interrupts) this.deviceNodes.push(node);
  }
}

/** A node is a processor; on Power it is a core, with a processor for each of its threads. */
function readCpus(nodes: readonly FdtNode[]): Cpu[] {
  const cpus: Cpu[] = [];
  for (const node of nodes) {
    const servers = serversOf(node);
    if (servers.length === 0) cpus.push(readCpu(node, cpus.length));
    for (const hwId of servers) cpus.push({ ...readCpu(node, cpus.length), hwId });
  }
  return cpus;
}

function readCpu(node: FdtNode, index: number): Cpu {
  const reg = node.cells("reg") ?? node.fail('a CPU needs "reg" with its hardware number');
  const hwId = reg.length > 0 && reg.length <= 2 ? wide(reg, 0, reg.length) : null;
  if (hwId === null) node.fail(`a CPU's "reg" takes one or two cells, not ${reg.length}`);
  const compatible = node.strings("compatible");
  return { path: node.path, index, hwId, compatible: compatible.length > 0 ? compatible : [node.baseName], numaNode: node.u32("numa-node-id"), enableMethod: node.text("enable-method"), enabled: node.enabled };
}

function readPsci(node: FdtNode): Psci {
  const method = node.text("method");
  return { path: node.path, compatible: node.strings("compatible"), method: method === "smc" || method === "hvc" ? method : null };
}

function readIommu(node: FdtNode, reading: Reading): Iommu {
  return {
    path: node.path,
    kind: iommuKind(node),
    compatible: node.strings("compatible"),
    enabled: node.enabled,
    frame: reading.addresses.registers(node)[0] ?? null,
    messages: "untouched",
    window: null,
    coherent: isCoherent(node),
    interrupts: interruptsOf(node, reading),
  };
}

function readDevice(node: FdtNode, hosts: ReadonlyMap<FdtNode, PciHost>, frames: ReadonlySet<string>, reading: Reading): Omit<Device, "group" | "whyNoGroup"> {
  const bus = busOf(node, reading);
  const host = bus === "pci" ? hostOf(node, hosts) : null;
  const pci = host ? pciOf(node, host) : null;
  const stream = pci && host ? mapId(host.iommu, pci.requesterId) : null;
  return {
    path: node.path,
    compatible: node.strings("compatible"),
    bus,
    enabled: isUsable(node),
    registers: reading.addresses.registers(node),
    interrupts: withMessages(interruptsOf(node, reading), pci, host),
    msiParents: pci && host ? msiParentsOf(host, pci.requesterId, frames) : msiParents(node, reading.tree),
    iommu: stream ? { path: stream.target, streams: [{ id: stream.id, mask: 0 }], second: null } : streams(node, reading),
    dmaCoherent: isDmaCoherent(node, reading),
    pci,
    hostBridge: isPciHost(node),
  };
}

function hostOf(node: FdtNode, hosts: ReadonlyMap<FdtNode, PciHost>): PciHost | null {
  for (let above = node.parent; above; above = above.parent) {
    const host = hosts.get(above);
    if (host) return host;
  }
  return null;
}

const BUSES = new Set(["simple-bus", "simple-mfd", "isa", "arm,amba-bus", "simple-pm-bus"]);

/** The bus that the kernel finds the device on: memory-mapped ones are platform or AMBA devices, whoever creates them. */
function busOf(node: FdtNode, reading: Reading): BusKind {
  const parent = node.parent;
  if (isPciChild(node)) return "pci";
  if (parent && matches(parent, (name) => name === "ibm,vdevice")) return "vio";
  if (!parent || isPciBus(parent)) return "other";
  const populated = parent.parent === null || matches(parent, (name) => BUSES.has(name));
  const mapped = node.has("reg") && parent.sizeCells > 0 && reading.addresses.reachable(node);
  if (!populated && !mapped) return "other";
  return matches(node, (name) => name === "arm,primecell") ? "amba" : "platform";
}

/** A function on a PCI bus: its `reg` begins with bus, device and function. */
function isPciChild(node: FdtNode): boolean {
  return node.parent !== null && isPciBus(node.parent) && node.has("reg");
}

/** Usable only when every node above it is. */
function isUsable(node: FdtNode): boolean {
  for (let at: FdtNode | null = node; at; at = at.parent) if (!at.enabled) return false;
  return true;
}

/** Power has no other; elsewhere the tree says so. */
function isDmaCoherent(node: FdtNode, reading: Reading): boolean {
  return reading.interrupts.presentation !== null || isCoherent(node);
}

/** `dma-coherent` holds for everything below, until `dma-noncoherent` ends it. */
function isCoherent(node: FdtNode): boolean {
  for (let at: FdtNode | null = node; at; at = at.parent) {
    if (at.has("dma-coherent")) return true;
    if (at.has("dma-noncoherent")) return false;
  }
  return false;
}

function msiParents(node: FdtNode, tree: FdtTree): MsiParent[] {
  const cells = node.cells("msi-parent") ?? [];
  const found: MsiParent[] = [];
  for (let at = 0; at < cells.length; ) {
    const target = tree.target(cells[at++], node, "msi-parent");
    const count = at < cells.length ? (target.cellCount("#msi-cells") ?? 0) : 0;
    if (at + count > cells.length) node.fail(`"msi-parent" is cut off: ${target.path} takes ${count} cells and ${cells.length - at} are left`);
    found.push({ controller: target.path, deviceId: count > 0 ? cells[at] : null });
    at += count;
  }
  return found;
}

/** `iommus`: one cell is a stream id, two are id and mask (SMMU bindings); all streams must be of one IOMMU. */
function streams(node: FdtNode, reading: Reading): Device["iommu"] {
  const cells = node.cells("iommus") ?? [];
  const found: Stream[] = [];
  let path: string | null = null;
  let second: string | null = null;
  for (let at = 0; at < cells.length; ) {
    const target = reading.tree.target(cells[at++], node, "iommus");
    const count = target.cellCount("#iommu-cells");
    if (count === null) node.fail(`"iommus" refers to ${target.path}, which has no "#iommu-cells"`);
    if (at + count > cells.length) node.fail(`"iommus" is cut off: ${target.path} takes ${count} cells and ${cells.length - at} are left`);
    path ??= target.path;
    if (path !== target.path) second = target.path;
    else if (count > 0) found.push({ id: cells[at], mask: count > 1 ? cells[at + 1] : (target.u32("stream-match-mask") ?? 0) });
    at += count;
  }
  return path === null ? null : { path, streams: found, second };
}
