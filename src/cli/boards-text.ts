import { type Assignment, assignmentOf, mechanismsFor } from "../board/assign.js";
import { type Board, type Controller, type Device, type Interrupt, type NumberRange, type Region, type Rtas } from "../board/board.js";
import { isolationOf, unsafeInterrupts } from "../board/isolation.js";
import { segmentText } from "../board/pci.js";
import { type ResetAbility, resetOf } from "../board/reset.js";
import { heading, table } from "./table.js";

/** A board for people: every section a table, reasons as numbered footnotes. */
export function boardText(board: Board): string {
  const parts = [`${heading(board.name)} (${board.source})${board.model === null ? "" : `: ${board.model}`}`, cpuLine(board)];
  if (board.timer) parts.push(timerLine(board));
  if (board.rtas) parts.push(rtasLine(board.rtas));
  parts.push("", ...section("CONTROLLERS", controllerRows(board)), ...section("IOMMUS", iommuRows(board)), ...section("PCI HOST BRIDGES", hostRows(board)), ...section("MESSAGES TO ITSS", messageRows(board)));
  const notes = new Footnotes();
  parts.push(...deviceSection(board, notes), ...groupSection(board, notes), "", ...notes.lines());
  if (hidden(board) > 0) parts.push("", `Not shown (--json has them): ${hidden(board)} without interrupts behind other devices' buses.`);
  if (board.notes.length > 0) parts.push("", heading("NOTES"), ...board.notes.map((note) => `  ${note}`));
  return parts.join("\n");
}

function section(title: string, rows: readonly string[][]): string[] {
  return rows.length === 0 ? [] : [heading(title), table(rows, "  "), ""];
}

function cpuLine(board: Board): string {
  const names = [...new Set(board.cpus.map((cpu) => cpu.compatible[0]))].join(" and ");
  const psci = board.psci ? `, started by PSCI (${board.psci.method ?? "no method"})` : "";
  const cores = new Set(board.cpus.map((cpu) => cpu.path)).size;
  const threads = board.cpus.length / cores;
  const count = threads > 1 ? `${cores} cores of ${threads} threads` : `${board.cpus.length} CPUs`;
  return `${count}, ${names}${nodesText(board)}${psci}`;
}

/** Machines of several nodes only. */
function nodesText(board: Board): string {
  const nodes = [...new Set(board.cpus.map((cpu) => cpu.numaNode).filter((node) => node !== null))];
  if (nodes.length < 2) return "";
  const counts = nodes.map((node) => board.cpus.filter((cpu) => cpu.numaNode === node).length);
  return `, in ${nodes.length} NUMA nodes of ${[...new Set(counts)].join(" or ")}`;
}

function rtasLine({ tokens }: Rtas): string {
  return `RTAS: ${Object.entries(tokens).map(([name, token]) => `${name} 0x${token.toString(16)}`).join(", ") || "no calls for interrupts"}`;
}

function timerLine(board: Board): string {
  const { timer } = board;
  const names = ["secure", "physical", "virtual", "hypervisor"] as const;
  return `timer PPIs by INTID: ${names.map((name) => `${name} ${timer?.[name]?.intid ?? "none"}`).join(", ")}`;
}

const hex = (region: Region): string => `0x${region.address.toString(16)}+0x${region.size.toString(16)}`;
const named = (name: string, region: Region | null): string => (region ? `${name} ${hex(region)}` : "");

/** GPIO controllers and the like are many and take part in nothing here: they are counted. */
function controllerRows(board: Board): string[][] {
  const known = board.controllers.filter((each) => each.kind !== "other");
  const rows = known.map((each) => [each.kind, each.path, `${details(each)}${each.enabled ? "" : " (disabled)"}`]);
  const others = board.controllers.length - known.length;
  if (others > 0) rows.push(["other", `${others} more, such as GPIO controllers`]);
  return rows;
}

function details(controller: Controller): string {
  const parts: string[] = [];
  if (controller.kind === "gicv2") parts.push(named("GICD", controller.gicd), named("GICC", controller.gicc));
  if (controller.kind === "gicv3") {
    parts.push(named("GICD", controller.gicd), ...controller.redistributors.map((region) => named("GICR", region)));
    if (controller.redistributorStride !== null) parts.push(`stride 0x${controller.redistributorStride.toString(16)}`);
    if (controller.virtualLpis !== null) parts.push(`virtual LPIs as GICv${controller.virtualLpis}`);
  }
  if (controller.kind === "gicv2" || controller.kind === "gicv3")
    parts.push(named("GICH", controller.gich), named("GICV", controller.gicv), controller.maintenance === null ? "no maintenance interrupt" : `maintenance INTID ${controller.maintenance}`);
  if (controller.kind === "its") parts.push(hex(controller.frame));
  if (controller.kind === "v2m") parts.push(hex(controller.frame), controller.baseSpi === null ? "INTIDs as MSI_TYPER says" : `INTIDs from ${controller.baseSpi}`, controller.spiCount === null ? "" : `${controller.spiCount} of them`);
  if (controller.kind === "mbigen") parts.push(`${controller.pinCount} pins, device 0x${controller.deviceId.toString(16)} of ${controller.its}`);
  if (controller.kind === "xics") parts.push(...numbers("server", controller.servers), ...numbers("source", controller.sources), controller.parent === null ? "" : `to ${controller.parent}`);
  if (controller.kind === "ioapic") parts.push(hex(controller.frame), `${controller.pins} pins`, `GSIs from ${controller.gsiBase}`);
  if (controller.kind === "lapic") parts.push(hex(controller.frame), controller.x2apic ? "x2APIC" : "xAPIC");
  return parts.filter((part) => part !== "").join(", ");
}

function numbers(what: string, ranges: readonly NumberRange[]): string[] {
  return ranges.map((range) => `${what}${range.count === 1 ? "" : "s"} ${ids(range.first, range.count)}`);
}

function iommuRows(board: Board): string[][] {
  return board.iommus.map((each) => [each.kind, each.path, each.frame ? hex(each.frame) : each.window ? `DMA window ${hex(each.window)}` : "", each.enabled ? (each.coherent ? "coherent" : "not coherent") : "disabled", each.messages === "untouched" ? "" : `messages ${each.messages}`]);
}

function hostRows(board: Board): string[][] {
  return board.pciHosts.map((each) => [
    each.path,
    ...(board.pciHosts.length > 1 ? [`segment ${segmentText(each.segment)}`] : []),
    `buses ${each.firstBus} to ${each.lastBus}`,
    each.intx ? "INTx" : "no INTx",
    each.msi?.entries[0] ? `${each.msiTotal === null ? "" : `${each.msiTotal} `}MSI to ${each.msi.entries[0].target}` : "no MSI",
    each.iommu?.entries[0] ? `IOMMU ${each.iommu.entries[0].target}` : "no IOMMU",
    each.enabled ? "" : "disabled",
  ]);
}

/** Who reaches which ITS, and as which devices there: ranges of requester ids, groups of wired pins, devices of their own. */
function messageRows(board: Board): string[][] {
  const rows: [string, string, string][] = [];
  for (const its of board.controllers.filter((each) => each.kind === "its")) {
    for (const host of board.pciHosts)
      for (const { first, count, target, output } of host.msi?.entries ?? [])
        if (target === its.path) rows.push([its.path, ids(output, count), `requesters ${ids(first, count)} of ${host.path}`]);
    for (const each of board.controllers) if (each.kind === "mbigen" && each.its === its.path) rows.push([its.path, ids(each.deviceId, 1), `${each.pinCount} pins of ${each.path}`]);
    for (const device of board.devices) for (const { controller, deviceId } of device.msiParents) if (controller === its.path && deviceId !== null) rows.push([its.path, ids(deviceId, 1), device.path]);
  }
  return rows.map(([its, devices, who], i) => [i > 0 && rows[i - 1][0] === its ? "" : its, `device ${devices}`, who]);
}

const ids = (first: number, count: number): string => (count === 1 ? `0x${first.toString(16)}` : `0x${first.toString(16)} to 0x${(first + count - 1).toString(16)}`);

/** Numbered reasons, in the order in which they are needed. */
class Footnotes {
  private readonly numbers = new Map<string, number>();

  mark(reason: string): string {
    const number = this.numbers.get(reason) ?? this.numbers.size + 1;
    this.numbers.set(reason, number);
    return `[${number}]`;
  }

  lines(): string[] {
    return [...this.numbers].map(([reason, number]) => `[${number}] ${reason}`);
  }
}

const isShown = (device: Device): boolean => device.bus !== "other" || device.interrupts.length > 0;
const hidden = (board: Board): number => board.devices.filter((device) => !isShown(device)).length;

/** A line for each device, and under it one for each of its interrupts. */
function deviceSection(board: Board, notes: Footnotes): string[] {
  const shown = board.devices.filter(isShown);
  const heads = table(shown.map((device) => deviceRow(board, device, notes)), "  ").split("\n");
  const interrupts = table(
    shown.flatMap((device) => device.interrupts.map((interrupt) => [String(interrupt.index), source(interrupt), interrupt.trigger, mechanismText(board, device, interrupt, notes)])),
    "      ",
  ).split("\n");
  const parts = [heading("DEVICES"), "  path, bus, IOMMU group, VFIO driver, reset; under it: interrupt, source, trigger, mechanisms that could serve it"];
  let next = 0;
  shown.forEach((device, i) => {
    parts.push(heads[i], ...interrupts.slice(next, next + device.interrupts.length));
    next += device.interrupts.length;
  });
  return parts;
}

function deviceRow(board: Board, device: Device, notes: Footnotes): string[] {
  const assignment = assignmentOf(board, device);
  const row = [device.path, device.bus, groupText(board, device), assigned(assignment, notes)];
  return assignment.why === null ? [...row, resetText(resetOf(board, device))] : row;
}

function resetText({ by, hotReset }: ResetAbility): string {
  if (by === "none") return "no reset";
  if (by === "driver") return "reset by its driver's module";
  if (hotReset === null) return "its own reset only";
  return hotReset.length === 1 ? "its own reset, or its bus's" : `its own reset, or its bus's with ${hotReset.length - 1} more`;
}

/** Who is assigned together, and whether a member could forge the messages of others. */
function groupSection(board: Board, notes: Footnotes): string[] {
  if (board.groups.length === 0) return [];
  const rows = board.groups.map((group) => {
    const isolation = isolationOf(board, group);
    return [String(group.id), group.iommu ?? "assumed", isolation.isIsolated ? "isolated" : `not isolated ${notes.mark(unsafeInterrupts(isolation))}`, group.members.join(", ")];
  });
  return ["", heading("IOMMU GROUPS"), "  number, IOMMU, messages, members", table(rows, "  ")];
}

function groupText(board: Board, device: Device): string {
  if (device.group === null) return "no group";
  return `group ${device.group}${board.groups[device.group].assumed ? " (assumed)" : ""}`;
}

function assigned(assignment: Assignment, notes: Footnotes): string {
  const marks = [...(assignment.why === null ? [] : [assignment.why]), ...assignment.conditions].map((reason) => notes.mark(reason));
  return [assignment.driver, ...marks].join(" ");
}

function source(interrupt: Interrupt): string {
  if (interrupt.kind === "msi") return `${interrupt.name} at ${interrupt.controller}`;
  if (interrupt.kind === "gsi") return `GSI ${interrupt.number} at ${interrupt.controller}`;
  if (interrupt.kind === "xics") return `source 0x${(interrupt.number ?? 0).toString(16)} at ${interrupt.controller}`;
  if (interrupt.intid !== null) return `${interrupt.kind.toUpperCase()} ${interrupt.number} (INTID ${interrupt.intid})`;
  return `${interrupt.kind} ${interrupt.number} of ${interrupt.controller}`;
}

function mechanismText(board: Board, device: Device, interrupt: Interrupt, notes: Footnotes): string {
  const { driver, why: unassigned } = assignmentOf(board, device);
  if (driver === "none") return `none ${notes.mark(unassigned ?? "")}`;
  const all = mechanismsFor(board, device, interrupt);
  const fit = all.filter((each) => each.applicable).map((each) => each.mechanism);
  const others = new Map<string, string[]>();
  for (const { why, mechanism } of all) if (why !== null) others.set(why, [...(others.get(why) ?? []), mechanism]);
  const not = [...others].map(([why, names]) => (names.length === all.length ? notes.mark(why) : `${names.join(", ")} ${notes.mark(why)}`));
  if (fit.length === 0) return `none ${not.join("; ")}`;
  return not.length === 0 ? fit.join(", ") : `${fit.join(", ")}; not ${not.join("; ")}`;
}

function isolationText(board: Board, device: Device): string {
  if (device.group === null) return "-";
  const { isIsolated, why } = isolationOf(board, board.groups[device.group]);
  return `${isIsolated ? "isolated" : "not isolated"}: ${why}`;
}

/** One device with every reason in full. */
export function deviceText(board: Board, device: Device): string {
  const assignment = assignmentOf(board, device);
  const facts = [
    ["compatible", device.compatible.join(", ") || "none"],
    ["bus", `${device.bus}${device.enabled ? "" : " (disabled)"}`],
    ["registers", device.registers.map(hex).join(", ") || "none"],
    ["DMA", device.dmaCoherent ? "coherent" : "not coherent"],
    ["IOMMU", device.iommu ? `${device.iommu.path}, streams ${device.iommu.streams.map((each) => (each.mask === 0 ? `0x${each.id.toString(16)}` : `0x${each.id.toString(16)} mask 0x${each.mask.toString(16)}`)).join(", ")}` : "none"],
    ["messages", device.msiParents.map(({ controller, deviceId }) => `to ${controller}${deviceId === null ? "" : `, as device ${ids(deviceId, 1)}`}`).join(", ") || "none"],
    ["IOMMU group", device.group === null ? `none: ${device.whyNoGroup}` : groupText(board, device).replace("group ", "")],
    ["messages are", isolationText(board, device)],
    ["reset", resetOf(board, device).how],
    ["assigned by", assignment.why === null ? assignment.driver : `none: ${assignment.why}`],
    ...assignment.conditions.map((condition) => ["", condition]),
  ];
  const parts = [`${heading(device.path)} of ${board.name}`, table(facts, "  ")];
  for (const interrupt of device.interrupts) {
    const via = interrupt.via.length > 0 ? `, through ${interrupt.via.join(", ")}` : "";
    const rows = mechanismsFor(board, device, interrupt).map((each) => [each.mechanism, each.applicable ? "yes" : "no", each.why ?? ""]);
    parts.push("", `interrupt ${interrupt.index}${interrupt.name === null ? "" : ` "${interrupt.name}"`}: ${source(interrupt)}, ${interrupt.trigger}${via}`, table(rows, "  "));
  }
  return parts.join("\n");
}
