import { assignmentOf, isLevel, whyNot } from "../../board/assign.js";
import type { Board, Device, Interrupt } from "../../board/board.js";
import { isPower } from "../../board/power.js";
import type { CostProfile } from "../../scenario/profile.js";
import type { Workload } from "../../scenario/scenario.js";
import { partsSaid, refuseForeign } from "../foreign-parts.js";
import type { StageRequest } from "../stage.js";
import { type Assembled, measure } from "./measured.js";
import { assembleOnKvm, mechanismFor } from "./on-kvm.js";
import { type BackendColumn, type BackendComparison, type BackendName, type BackendResult, notFitting, type SignalKind } from "./result.js";
import { assembleOnXen } from "./xen-stage.js";

/** What to compare: backends on a board, with a device of the person's choice or the first that fits each. */
export interface BackendRequest {
  readonly board: Board;
  readonly device: Device | null;
  readonly workload: Workload;
  readonly profile: CostProfile;
  readonly backends: readonly BackendName[];
}

const COLUMNS: readonly BackendColumn[] = [
  { backend: "platform", signal: "level line", notification: "eventfd" },
  { backend: "platform", signal: "edge line", notification: "eventfd" },
  { backend: "pci", signal: "level line", notification: "eventfd" },
  { backend: "pci", signal: "message", notification: "eventfd" },
  { backend: "xen", signal: "level line", notification: "event channel" },
  { backend: "xen", signal: "message", notification: "event channel" },
  { backend: "xen", signal: "message", notification: "guest vector" },
];

/** The same guest over each device backend: who masks, who ends, who is told (issue of VFIO, 5). One that does not fit stays, with the reason. */
export function compareBackends(request: BackendRequest): BackendComparison {
  const columns = request.backends.flatMap((backend) => COLUMNS.filter((column) => column.backend === backend));
  const { board, workload, profile } = request;
  refuseForeign(board, partsSaid(workload));
  return { board: board.name, workload, profile: profile.name, backends: columns.map((column) => resultOf(request, column)) };
}

function resultOf(request: BackendRequest, column: BackendColumn): BackendResult {
  const subject = subjectOf(request, column);
  if (typeof subject === "string") return notFitting(column, subject);
  const { device, interrupt } = subject;
  const counts = measure(assemble(request, column, subject), request.workload);
  return { ...column, device: device.path, irq: interrupt.index, applicable: true, why: null, ...counts };
}

function assemble(request: BackendRequest, { backend, notification }: BackendColumn, { device, interrupt }: Subject): Assembled {
  const mechanism = mechanismFor(isLevel(device, interrupt));
  const asked: StageRequest = { request: { ...request, device, interrupts: [interrupt], mechanisms: [mechanism] }, mechanism, interrupts: [interrupt] };
  return backend === "xen" ? assembleOnXen(asked, notification) : assembleOnKvm(asked);
}

interface Subject {
  readonly device: Device;
  readonly interrupt: Interrupt;
}

/** The device that was asked for, where it is of the backend's bus, or the first that has such an interrupt; else why there is none. */
function subjectOf({ board, device: asked }: BackendRequest, { backend, signal }: BackendColumn): Subject | string {
  if (backend === "xen" && isPower(board)) return "there is no Xen for Power";
  const isOnBus = (device: Device): boolean => (device.bus === "pci") === (backend !== "platform") && !device.hostBridge;
  const candidates = asked !== null && isOnBus(asked) ? [asked] : board.devices.filter(isOnBus);
  let why = backend === "platform" ? "the board has no platform device" : "the board lists no PCI function: put one on it with --pci";
  for (const device of candidates) {
    const assignment = assignmentOf(board, device);
    if (assignment.why !== null) {
      why = `${device.path}: ${assignment.why}`;
      continue;
    }
    for (const interrupt of device.interrupts) {
      if (signalOf(device, interrupt) !== signal) continue;
      const reason = whyNot(board, device, interrupt, mechanismFor(isLevel(device, interrupt)));
      if (reason === null) return { device, interrupt };
      why = `${device.path} interrupt ${interrupt.index}: ${reason}`;
    }
    if (!device.interrupts.some((each) => signalOf(device, each) === signal)) why = `${device.path} has no interrupt that is a ${signal}`;
  }
  return why;
}

function signalOf(device: Device, interrupt: Interrupt): SignalKind {
  if (interrupt.kind === "msi") return "message";
  return isLevel(device, interrupt) ? "level line" : "edge line";
}
