import { isPower, powerInterruptObstacle, powerObstacle } from "./power.js";
import { type Board, type Controller, type Device, type GicV2, type GicV3, type Interrupt, type Its, type MbigenGroup } from "./board.js";
import { BoardIndex, lineKey } from "./board-index.js";
import { isolationOf, unsafeInterrupts } from "./isolation.js";
import { resetOf } from "./reset.js";

/** How an interrupt gets from the host into the guest; `virq compare` runs one column of each that its board's architecture has. */
export const MECHANISMS = ["userspace", "userspace+eoi", "irqfd", "irqfd+resample", "forward", "direct", "direct:runnable", "direct:blocked", "split", "posted"] as const;
/** The name of a way of delivery, as {@link MECHANISMS} lists them. */
export type MechanismName = (typeof MECHANISMS)[number];

const ARM_MECHANISMS: readonly MechanismName[] = ["userspace", "userspace+eoi", "irqfd", "irqfd+resample", "forward"];
const POWER_MECHANISMS: readonly MechanismName[] = ["userspace", "irqfd", "irqfd+resample"];
/** Messages that become virtual LPIs: to a vCPU as the workload has it, to one that has to wait for its CPU, to one that is blocked. */
const DIRECT_MECHANISMS: readonly MechanismName[] = ["direct", "direct:runnable", "direct:blocked"];
const X86_MECHANISMS: readonly MechanismName[] = ["userspace", "irqfd", "irqfd+resample", "split", "posted"];

/** A machine with local APICs. */
export function isX86(board: Board): boolean {
  return board.controllers.some((each) => each.kind === "lapic");
}

/** The mechanisms that a board's architecture has, in the order of a comparison; direct ones where it has an ITS. */
export function mechanismsOf(board: Board): readonly MechanismName[] {
  if (isPower(board)) return POWER_MECHANISMS;
  if (isX86(board)) return X86_MECHANISMS;
  return board.controllers.some((each) => each.kind === "its") ? [...ARM_MECHANISMS, ...DIRECT_MECHANISMS] : ARM_MECHANISMS;
}

/** Does a device's message become a virtual LPI by it? */
export function isDirect(mechanism: MechanismName): boolean {
  return DIRECT_MECHANISMS.includes(mechanism);
}

/** Whether a device can be given to a guest, and by which driver of VFIO (vfio.md 2). */
export interface Assignment {
  /** `vfio-platform` stands for AMBA devices too: there it is called vfio-amba. */
  readonly driver: "vfio-platform" | "vfio-pci" | "none";
  /** Why it cannot be assigned; null when it can. */
  readonly why: string | null;
  /** What the person has to do or to know, one sentence each. */
  readonly conditions: readonly string[];
}

/** One way of delivery for one interrupt: `why` is null where it fits, else the sentence that says what is missing. */
export interface Mechanism {
  readonly mechanism: MechanismName;
  readonly applicable: boolean;
  readonly why: string | null;
}

/** Pins of an mbigen (host-irq.md 2.8). */
const FIRST_PIN = 64;
const LAST_PIN = 1407;

/** What has been judged of a board. */
const judged = new WeakMap<Board, Map<Device, Assignment>>();

/** Which VFIO driver can take the device, and under which conditions (vfio.md 2.3, 16, 20.1; host-irq.md 5.2, 5.5). */
export function assignmentOf(board: Board, device: Device): Assignment {
  const assignments = judged.get(board) ?? new Map<Device, Assignment>();
  judged.set(board, assignments);
  const assignment = assignments.get(device) ?? judge(board, device);
  assignments.set(device, assignment);
  return assignment;
}

function judge(board: Board, device: Device): Assignment {
  const why = obstacle(board, device);
  if (why !== null) return { driver: "none", why, conditions: [] };
  const conditions = [...messageConditions(board, device), ...groupConditions(board, device), ...sharedLines(board, device)];
  if (device.bus === "pci") return { driver: "vfio-pci", why: null, conditions };
  const reset = resetOf(board, device);
  if (device.bus === "platform" && reset.by === "none") conditions.unshift(`${reset.how}: load it with reset_required=0`);
  return { driver: "vfio-platform", why: null, conditions };
}

function obstacle(board: Board, device: Device): string | null {
  if (device.pci?.bridge) return "it is a PCI bridge, and VFIO assigns none";
  if (device.group === null) return device.whyNoGroup ?? "it has no IOMMU group";
  const group = board.groups[device.group];
  const iommu = board.iommus.find((each) => each.path === group.iommu);
  const coherent = group.assumed || device.dmaCoherent || (iommu !== undefined && iommu.coherent);
  return coherent ? null : `neither it nor its IOMMU, ${group.iommu}, is cache-coherent, and VFIO takes no such device`;
}

function groupConditions(board: Board, device: Device): string[] {
  const group = device.group === null ? undefined : board.groups[device.group];
  if (!group) return [];
  const others = group.members.filter((path) => path !== device.path);
  const conditions: string[] = [];
  if (group.assumed) conditions.push("its IOMMU is assumed: the tree names none");
  if (others.length > 0) conditions.push(`it shares group ${group.id} with ${others.slice(0, 4).join(", ")}${others.length > 4 ? ` and ${others.length - 4} more` : ""}, which no host driver may hold`);
  return conditions;
}

/** vfio-platform asks for each line alone. */
function sharedLines(board: Board, device: Device): string[] {
  if (device.bus === "pci") return [];
  const { lines } = BoardIndex.of(board);
  const conditions: string[] = [];
  for (const own of device.interrupts) {
    const other = lines.get(lineKey(own))?.find((each) => each !== device);
    if (other) conditions.push(`it shares the line of interrupt ${own.index} with ${other.path}, and vfio-platform asks for it alone`);
  }
  return conditions;
}

/** vfio.md 20.1: a group whose members could forge messages is attached only if the person says so. */
function messageConditions(board: Board, device: Device): string[] {
  const group = device.group === null ? undefined : board.groups[device.group];
  if (!group) return [];
  const isolation = isolationOf(board, group);
  return isolation.isIsolated ? [] : [unsafeInterrupts(isolation)];
}

/** Each mechanism, and why it cannot serve this interrupt of the device. */
export function mechanismsFor(board: Board, device: Device, interrupt: Interrupt): Mechanism[] {
  const common = interruptObstacle(board, device, interrupt);
  return mechanismsOf(board).map((mechanism) => {
    const why = common ?? (isPower(board) ? powerObstacle(interrupt, mechanism) : isX86(board) ? x86Obstacle(board, device, interrupt, mechanism) : mechanismObstacle(board, device, interrupt, mechanism));
    return { mechanism, applicable: why === null, why };
  });
}

/** Why a mechanism cannot serve an interrupt of the device; null: it can. Of another architecture's mechanism, that. */
export function whyNot(board: Board, device: Device, interrupt: Interrupt, mechanism: MechanismName): string | null {
  const judged = mechanismsFor(board, device, interrupt).find((each) => each.mechanism === mechanism);
  if (judged !== undefined) return judged.why;
  if (isDirect(mechanism) && primaryGic(board) !== null) return "the board has no ITS, and only its messages are injected directly";
  return `it is a mechanism of ${X86_MECHANISMS.includes(mechanism) ? "x86" : "Arm"}, and the board is none`;
}

function interruptObstacle(board: Board, device: Device, interrupt: Interrupt): string | null {
  const { driver, why } = assignmentOf(board, device);
  if (driver === "none") return `the device cannot be assigned: ${why}`;
  const controller = BoardIndex.of(board).controllers.get(interrupt.controller);
  if (controller?.kind === "mbigen") return mbigenObstacle(board, interrupt, controller);
  if (controller?.kind === "its") return itsObstacle(board, device, controller);
  if (isPower(board)) return powerInterruptObstacle(board, device, interrupt);
  if (interrupt.kind === "pin") return `it ends at ${interrupt.controller}, a controller that is not modelled`;
  if (interrupt.kind === "ppi" || interrupt.kind === "eppi") return "it is a per-CPU interrupt, which VFIO cannot request";
  if (interrupt.trigger === "unspecified") return "the tree gives it no trigger";
  if (isX86(board)) return driver === "vfio-pci" ? null : "only PCI functions of a PC are assigned";
  if (interrupt.trigger !== "level-high" && interrupt.trigger !== "edge-rising") return `a shared interrupt of a GIC is level-high or edge-rising, never ${interrupt.trigger}`;
  const gic = primaryGic(board);
  if (!gic) return "the board has no GIC";
  if (interrupt.kind !== "msi" && interrupt.controller !== gic.path) return `it ends at ${interrupt.controller}, and only the primary GIC, ${gic.path}, is modelled`;
  if (gic.kind === "gicv2" && (!gic.gich || !gic.gicv)) return `${gic.path} has no virtual interface (GICH and GICV), so KVM has no interrupt controller for a guest`;
  return null;
}

/** A pin that becomes a message of its group's device id. */
function mbigenObstacle(board: Board, interrupt: Interrupt, { path, its: itsPath, deviceId, enabled }: MbigenGroup): string | null {
  const its = BoardIndex.of(board).controllers.get(itsPath);
  if (!enabled || its?.kind !== "its") return `${path} is disabled, or no ITS takes its messages`;
  if (interrupt.trigger !== "level-high" && interrupt.trigger !== "edge-rising") return `a pin of an mbigen is level-high or edge-rising, never ${interrupt.trigger}`;
  const { number } = interrupt;
  if (number === null || number < FIRST_PIN || number > LAST_PIN) return `pins of an mbigen are ${FIRST_PIN} to ${LAST_PIN}, and the tree gives it ${number ?? "none"}`;
  return deviceObstacle(board, its, deviceId);
}

/** Only PCI functions are given messages of their own. */
function itsObstacle(board: Board, device: Device, its: Its): string | null {
  const parent = device.msiParents.find((each) => each.controller === its.path);
  if (device.bus !== "pci" || parent === undefined) return `it is a message to ${its.path}, and only PCI functions send messages here`;
  return deviceObstacle(board, its, parent.deviceId ?? 0);
}

/** Messages go to ITSs of the GIC that the CPUs are wired to, which take so many device ids. */
function deviceObstacle(board: Board, its: Its, deviceId: number): string | null {
  const gic = primaryGic(board);
  if (!its.enabled || gic?.kind !== "gicv3" || its.parent !== gic.path) return `the message goes to ${its.path}, and only enabled ITSs of the primary GIC are modelled`;
  return deviceId >= 2 ** its.deviceBits ? `it is device 0x${deviceId.toString(16)} of ${its.path}, which takes ids of ${its.deviceBits} bits` : null;
}

/** A PCI function of a PC signals by a level pin at the IOAPIC, or by messages to the local APICs. */
function x86Obstacle(board: Board, device: Device, interrupt: Interrupt, mechanism: MechanismName): string | null {
  if (interrupt.kind === "msi") {
    if (mechanism === "irqfd+resample") return "the interrupt is a message, an edge: there is no line to lower and no end to wait for";
    if (mechanism === "split") return "the interrupt is a message, an edge: no end of interrupt is told to user space";
    const iommu = board.iommus.find((each) => each.path === device.iommu?.path);
    return mechanism === "posted" && iommu?.messages !== "posted" ? "no IOMMU in front of the device posts messages" : null;
  }
  if (mechanism === "irqfd") return "the line is level: a plain irqfd does not lower it, and nobody unmasks it when the guest is done";
  return mechanism === "posted" ? "the interrupt is a line, and only messages are posted" : null;
}

function mechanismObstacle(board: Board, device: Device, interrupt: Interrupt, mechanism: MechanismName): string | null {
  const level = isLevel(device, interrupt);
  const isLpi = BoardIndex.of(board).controllers.get(interrupt.controller)?.kind === "its";
  if (isDirect(mechanism)) return isLpi ? directObstacle(board) : "only a message of a PCI function to an ITS is injected directly";
  if (isLpi && mechanism === "userspace") return null;
  if (mechanism === "irqfd") return level ? "the line is level: a plain irqfd does not lower it, and nobody unmasks it when the guest is done" : null;
  if (!level) return EDGE[mechanism] ?? null;
  return mechanism === "forward" ? forwardObstacle(board, device, interrupt) : null;
}

/** gic-v4.md C2.1. */
function directObstacle(board: Board): string | null {
  const gic = primaryGic(board);
  if (gic?.kind === "gicv3" && gic.virtualLpis !== null) return null;
  return `no tree says whether a GIC has virtual LPIs, and of this one virq does not know: --gicv4 4.0 (or 4.1) takes it for such a GICv4`;
}

/** A level interrupt; VFIO masks INTx at each interrupt, whatever trigger the tree gives it: PCI's pins are level. */
export function isLevel(device: Device, interrupt: Interrupt): boolean {
  return interrupt.trigger === "level-high" || (device.bus === "pci" && interrupt.kind !== "msi");
}

const EDGE: Readonly<Partial<Record<MechanismName, string>>> = {
  userspace: "the interrupt is an edge: it has no line whose end the VMM would have to find",
  "userspace+eoi": "the interrupt is an edge: no end of interrupt is notified",
  "irqfd+resample": "the interrupt is an edge: no end of interrupt is notified",
  forward: "the interrupt is an edge: only a level line is forwarded",
};

/** kvm-irq-core.md 8.3: a shared interrupt of the primary GIC, on the platform bus, priority drop split from deactivation. */
function forwardObstacle(board: Board, device: Device, interrupt: Interrupt): string | null {
  if (device.bus !== "platform") return `the device is on the ${device.bus.toUpperCase()} bus, and only interrupts of platform devices are forwarded`;
  const gic = primaryGic(board);
  if (!gic || interrupt.intid === null || interrupt.intid < 32) return "only shared interrupts of the primary GIC are forwarded";
  return eoiModeSplit(gic) ? null : `the CPU interface of ${gic.path} is ${gic.kind === "gicv2" ? gic.gicc.size : 0} bytes; forwarding needs EOImode 1, so 8 KiB with GICC_DIR`;
}

/** The GIC that the CPUs are wired to: enabled, and no other controller above it. */
export function primaryGic(board: Board): GicV2 | GicV3 | null {
  const isGic = (each: Controller): each is GicV2 | GicV3 => each.kind === "gicv2" || each.kind === "gicv3";
  const gics = board.controllers.filter(isGic).filter((each) => each.enabled);
  return gics.find((each) => each.parent === null) ?? null;
}

/** host-irq.md 1.5: a GICv2 reaches GICC_DIR only with a CPU interface of 8 KiB. */
export function eoiModeSplit(gic: GicV2 | GicV3): boolean {
  return gic.kind === "gicv3" || gic.gicc.size >= 0x2000;
}
