import { assignmentOf, isDirect, isLevel, isX86, type MechanismName, primaryGic, whyNot } from "../board/assign.js";
import type { Interrupt } from "../board/board.js";
import { isPower } from "../board/power.js";
import type { EventSink } from "../sim/event.js";
import { PersonError } from "../sim/person-error.js";
import { costTable } from "../scenario/profile.js";
import { partsSaid, refuseForeign, refuseForeignWait } from "./foreign-parts.js";
import type { DeliveryRequest } from "./request.js";
import { type Comparison, type MechanismResult, notApplicable } from "./result.js";
import { whyNoGuestSources } from "./power-stage.js";
import { runMechanism } from "./run.js";
import { whyNoNeighbour } from "./sharing.js";
import { HOST_CPUS } from "./stage.js";
import { whyNoGuestNumbers } from "./x86-stage.js";

const GICV2_VCPUS = 8;
/** The virtual clock counts nanoseconds exactly up to here: 104 days. */
const CLOCK_NS = Number.MAX_SAFE_INTEGER;
/** Host interrupts, the VMM, the vCPU under study, and one for all other vCPUs. */
const CPUS_FOR_SEVERAL = 4;

/** Runs every mechanism that was asked for; one that does not fit stays, with the reason. */
export function compare(request: DeliveryRequest, progress: (mechanism: MechanismName, done: number) => void = () => {}): Comparison {
  checkWorkload(request);
  const mechanisms = request.mechanisms.map((mechanism): MechanismResult => {
    const fit = fitting(request, mechanism);
    if (typeof fit === "string") return notApplicable(mechanism, fit);
    return runMechanism(request, mechanism, fit, null, (done) => progress(mechanism, done));
  });
  return comparisonOf(request, mechanisms);
}

/** Runs the first mechanism asked for that fits; `recorder` gets its events. @throws PersonError when none fits */
export function runOne(request: DeliveryRequest, recorder: EventSink | null = null): Comparison {
  const { mechanism, interrupts } = firstFitting(request);
  return comparisonOf(request, [runMechanism(request, mechanism, interrupts, recorder)]);
}

/** The first mechanism asked for that fits, and the interrupts that it serves. @throws PersonError when none fits */
export function firstFitting(request: DeliveryRequest): { readonly mechanism: MechanismName; readonly interrupts: readonly Interrupt[] } {
  checkWorkload(request);
  const reasons: string[] = [];
  for (const mechanism of request.mechanisms) {
    const interrupts = fitting(request, mechanism);
    if (typeof interrupts !== "string") return { mechanism, interrupts };
    reasons.push(`${mechanism}: ${interrupts}`);
  }
  throw new PersonError(`${request.device.path}: no mechanism fits (${reasons.join("; ")})`);
}

/** The interrupts that a mechanism can serve, or why it can serve none. */
function fitting(request: DeliveryRequest, mechanism: MechanismName): Interrupt[] | string {
  const { board, device, workload } = request;
  const assignment = assignmentOf(board, device);
  if (assignment.driver === "none") {
    const why = assignment.why ?? "it cannot be assigned";
    const isOnBus = device.bus !== "vio" && device.bus !== "other" && !device.hostBridge && device.enabled;
    return device.group === null && device.iommu === null && isOnBus ? `${why}, so VFIO has no group to assign it by (--assume-iommu assigns it all the same)` : why;
  }
  let why = "it has no such interrupt";
  const fit = request.interrupts.filter((interrupt) => {
    const reason = whyNot(board, device, interrupt, mechanism);
    why = reason ?? why;
    return reason === null;
  });
  if (fit.length === 0) return why;
  const noNeighbour = whyNoNeighbour(mechanism, request.workload, costTable(request.profile), board.cpus.length);
  if (noNeighbour !== null) return noNeighbour;
  const gic = primaryGic(board);
  if (isDirect(mechanism) && workload.compat === "v5-2017" && gic?.kind === "gicv3" && gic.virtualLpis === "4.1") return "the series of 2017 (--compat v5-2017) knows GICv4.0 alone, and the board has a GICv4.1";
  if (isPower(board)) return fittingOnPower(request, fit);
  return isX86(board) ? fittingOnX86(request, fit, mechanism) : fit;
}

/** A function signals by its pin or by messages, not by both at once: by what the first interrupt asked for is. */
function fittingOnX86({ device, workload }: DeliveryRequest, fit: Interrupt[], mechanism: MechanismName): Interrupt[] | string {
  const alike = fit.filter((interrupt) => isLevel(device, interrupt) === isLevel(device, fit[0]));
  return whyNoGuestNumbers(device, alike, workload, mechanism) ?? alike;
}

/** The same of a Power machine's. */
function fittingOnPower({ device }: DeliveryRequest, fit: Interrupt[]): Interrupt[] | string {
  const alike = fit.filter((interrupt) => isLevel(device, interrupt) === isLevel(device, fit[0]));
  return whyNoGuestSources(device, alike) ?? alike;
}

function checkWorkload(request: DeliveryRequest): void {
  const { device, interrupts, workload } = request;
  const twice = interrupts.find((each, i) => interrupts.indexOf(each) !== i);
  if (twice) throw new PersonError(`${device.path}: interrupt ${twice.index} is named twice: name it once`);
  const raisingNs = (workload.interrupts / workload.burst / workload.ratePerSecond) * 1e9;
  if (raisingNs + workload.interrupts * workload.handlerNs > CLOCK_NS)
    throw new PersonError(`${workload.interrupts} interrupts at ${workload.ratePerSecond}/s outlast virq's clock (104 days): ask for fewer, or faster ones`);
  checkSharing(request);
  refuseForeign(request.board, partsSaid(workload));
  refuseForeignWait(request.board, workload);
  const cpus = request.board.cpus.length;
  if (request.workload.vcpus > 1 && cpus < CPUS_FOR_SEVERAL)
    throw new PersonError(`${request.board.name} has ${cpus} CPU${cpus === 1 ? "" : "s"}, and several vCPUs need ${CPUS_FOR_SEVERAL}: ask for 1`);
  if (isX86(request.board) || isPower(request.board)) return;
  const isV2 = !request.board.controllers.some((each) => each.kind === "gicv3");
  if (isV2 && request.workload.vcpus > GICV2_VCPUS)
    throw new PersonError(`${request.board.name} has a GICv2, whose guests have at most ${GICV2_VCPUS} vCPUs: ask for fewer than ${request.workload.vcpus}`);
}

function checkSharing({ board, workload }: DeliveryRequest): void {
  const { cpus, others, targets, vcpus } = workload;
  if (primaryGic(board) === null && (cpus !== undefined || others === "spin" || targets > 1))
    throw new PersonError(`${board.name} has no GIC: --cpus, --others and --targets are for guests of Arm boards`);
  if (targets > vcpus) throw new PersonError(`--targets ${targets}: the guest has ${vcpus} vCPU${vcpus === 1 ? "" : "s"} (--vcpus)`);
  const free = board.cpus.filter((cpu) => cpu.enabled).length - HOST_CPUS;
  if (cpus === undefined && others === "spin" && vcpus > Math.max(free, 1))
    throw new PersonError(`${board.name} has ${Math.max(free, 0)} CPUs beside those that take host interrupts and the VMM, and ${vcpus} vCPUs that keep theirs busy: have them share these by turns with --cpus`);
  if (cpus !== undefined && cpus > free)
    throw new PersonError(`${board.name} has ${Math.max(free, 0)} CPUs beside those that take host interrupts and the VMM: ask for fewer than ${cpus} with --cpus`);
}

function comparisonOf(request: DeliveryRequest, mechanisms: MechanismResult[]): Comparison {
  const { board, device } = request;
  const group = board.groups.find((each) => each.id === device.group);
  return {
    board: board.name,
    device: device.path,
    interrupts: request.interrupts.map(({ index, controller, number, intid, trigger }) => ({ index, controller, number, intid, trigger })),
    assumedIommu: group?.assumed ?? false,
    workload: request.workload,
    profile: request.profile.name,
    mechanisms,
  };
}
