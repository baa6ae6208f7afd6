import { type Controller, type GicV2, type GicV3, type Interrupt, type MbigenGroup, type Region, type Timer, type TimerPpi, type V2mFrame } from "./board.js";
import { type FdtNode, wide } from "./fdt-node.js";
import { interruptsOf } from "./interrupts.js";
import { kindOf, matches } from "./kinds.js";
import { isPresentation, presentationOf, rangesOf } from "./power.js";
import { type Reading } from "./reading.js";

export const HIP07 = "hisilicon,hip07-d05";
const HIP07_DEVICE_BITS = 19;
const DEVICE_BITS = 16;

/** True for nodes that take interrupts or messages. */
export function isController(node: FdtNode): boolean {
  return node.has("interrupt-controller") || node.has("msi-controller") || kindOf(node) !== "other";
}

export function readController(node: FdtNode, reading: Reading): Controller {
  const kind = kindOf(node);
  const common = { path: node.path, compatible: node.strings("compatible"), enabled: node.enabled, parent: reading.interrupts.parentController(node)?.path ?? null };
  if (kind === "gicv2") return { ...common, kind, ...gicv2(node, reading) };
  if (kind === "gicv3") return { ...common, kind, ...gicv3(node, reading) };
  if (kind === "its") return { ...common, parent: node.parent?.path ?? null, kind, frame: frame(node, 0, "its frame", reading), deviceBits: isHip07(reading) ? HIP07_DEVICE_BITS : DEVICE_BITS };
  if (kind === "v2m") return { ...common, parent: node.parent?.path ?? null, kind, ...v2m(node, reading) };
  if (kind === "mbigen" && node.has("interrupt-controller")) return mbigen(node, common, reading);
  const regions = reading.addresses.registers(node);
  if (kind !== "xics") return { ...common, kind: "other", regions };
  const parent = isPresentation(node) ? common.parent : (presentationOf(reading.tree)?.path ?? null);
  return { ...common, parent, kind, regions, servers: rangesOf(node, "ibm,interrupt-server-ranges"), sources: rangesOf(node, "interrupt-ranges") };
}

function frame(node: FdtNode, index: number, what: string, reading: Reading): Region {
  return reading.addresses.frames(node)[index] ?? node.fail(`"reg" gives no usable frame ${index}, the ${what}`);
}

function gicv2(node: FdtNode, reading: Reading): Pick<GicV2, "gicd" | "gicc" | "gich" | "gicv" | "maintenance"> {
  const frames = reading.addresses.frames(node);
  return {
    gicd: frame(node, 0, "distributor", reading),
    gicc: frame(node, 1, "CPU interface", reading),
    gich: frames[2] ?? null,
    gicv: frames[3] ?? null,
    maintenance: maintenance(node, reading),
  };
}

/** Frames in order: distributor, redistributor regions, then the memory-mapped GICC, GICH and GICV where they exist. */
function gicv3(node: FdtNode, reading: Reading): Omit<GicV3, "path" | "compatible" | "enabled" | "parent" | "kind"> {
  const frames = reading.addresses.frames(node);
  const count = node.u32("#redistributor-regions") ?? 1;
  if (count < 1 || count >= frames.length) node.fail(`"#redistributor-regions" is ${count}, and "reg" has ${frames.length} frames, the first of them the distributor`);
  const redistributors: Region[] = [];
  for (let i = 1; i <= count; i++) redistributors.push(frame(node, i, "redistributor region", reading));
  const stride = node.cells("redistributor-stride");
  return {
    gicd: frame(node, 0, "distributor", reading),
    redistributors,
    redistributorStride: stride ? checkStride(node, wide(stride, 0, stride.length)) : null,
    gicc: frames[count + 1] ?? null,
    gich: frames[count + 2] ?? null,
    gicv: frames[count + 3] ?? null,
    maintenance: maintenance(node, reading),
    virtualLpis: reading.options.gicv4 ?? (isHip07(reading) ? "4.0" : null),
  };
}

/** The machine on which GICv4 was brought up (gic-v4.md C8.1); its ITSs take ids of 19 bits, as Linux prints when it boots there. */
function isHip07(reading: Reading): boolean {
  return reading.tree.root.strings("compatible").includes(HIP07);
}

function checkStride(node: FdtNode, stride: number | null): number | null {
  if (stride === 0) return null;
  if (stride === null || stride % 0x10000 !== 0 || stride < 0x20000) node.fail(`"redistributor-stride" is ${stride}; it takes a multiple of 64 KiB from 128 KiB on`);
  return stride;
}

function maintenance(node: FdtNode, reading: Reading): number | null {
  const own = interruptsOf(node, reading)[0];
  return own && own.kind === "ppi" ? own.intid : null;
}

/** host-irq.md 2.7: base from 32, the last usable INTID is 1018. */
function v2m(node: FdtNode, reading: Reading): Pick<V2mFrame, "frame" | "baseSpi" | "spiCount"> {
  const baseSpi = node.u32("arm,msi-base-spi");
  const spiCount = node.u32("arm,msi-num-spis");
  if (baseSpi !== null && (baseSpi < 32 || baseSpi + (spiCount ?? 1) > 1019)) node.fail(`"arm,msi-base-spi" is ${baseSpi}; a frame's INTIDs lie between 32 and 1018`);
  if (spiCount === 0) node.fail('"arm,msi-num-spis" is 0');
  return { frame: frame(node, 0, "message frame", reading), baseSpi, spiCount };
}

function mbigen(node: FdtNode, common: Omit<MbigenGroup, "kind" | "frame" | "pinCount" | "its" | "deviceId">, reading: Reading): MbigenGroup {
  const pinCount = node.u32("num-pins");
  if (pinCount === null) node.fail('a pin group of an mbigen needs "num-pins"');
  const parent = node.cells("msi-parent");
  if (!parent || parent.length !== 2) node.fail('a pin group of an mbigen needs "msi-parent" with an ITS and a device id');
  const its = reading.tree.target(parent[0], node, "msi-parent").path;
  const chip = node.parent ?? node;
  return { ...common, parent: its, kind: "mbigen", frame: frame(chip, 0, "mbigen's registers", reading), pinCount, its, deviceId: parent[1] };
}

const TIMERS = new Set(["arm,armv8-timer", "arm,armv7-timer", "arm,cortex-a15-timer"]);

export function isTimer(node: FdtNode): boolean {
  return matches(node, (name) => TIMERS.has(name));
}

/** Arch timer binding: by `interrupt-names`, else in the order secure, physical, virtual, hypervisor, hypervisor virtual. */
export function readTimer(node: FdtNode, reading: Reading): Timer {
  const own = interruptsOf(node, reading);
  const named = own.some((interrupt) => interrupt.name !== null);
  const pick = (name: string, place: number): TimerPpi | null => {
    const found = own.find((interrupt) => (named ? interrupt.name === name : interrupt.index === place));
    return found ? ppi(node, found) : null;
  };
  return {
    path: node.path,
    secure: pick("sec-phys", 0),
    physical: pick("phys", 1),
    virtual: pick("virt", 2),
    hypervisor: pick("hyp-phys", 3),
    hypervisorVirtual: pick("hyp-virt", 4),
  };
}

function ppi(node: FdtNode, interrupt: Interrupt): TimerPpi | null {
  if (interrupt.kind === "ppi" && interrupt.intid !== null) return { intid: interrupt.intid, trigger: interrupt.trigger };
  return interrupt.kind === "pin" ? null : node.fail(`timer interrupt ${interrupt.index} is an ${interrupt.kind.toUpperCase()}; timers use per-CPU interrupts`);
}

