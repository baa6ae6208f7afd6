import { type Command, Option } from "commander";
import { readFileSync } from "node:fs";
import { assignmentOf, isX86 } from "../board/assign.js";
import { isPower } from "../board/power.js";
import { armMachine } from "../delivery/arm-stage.js";
import type { BoardMachine } from "../delivery/machine.js";
import { powerMachine } from "../delivery/power-stage.js";
import type { DeliveryRequest } from "../delivery/request.js";
import { pcMachine } from "../delivery/x86-stage.js";
import { readText } from "../node/read-text.js";
import { PersonError } from "../sim/person-error.js";
import { BACKENDS, type BackendName } from "../delivery/backends/result.js";
import { machineOptions } from "../delivery/stage.js";
import { XenMachine } from "../delivery/xen-machine.js";
import { VFIO_PROFILES, type VfioProfileName } from "../vfio/profiles.js";
import { AnswerNo } from "./answer-no.js";
import { addPciOption } from "./pci-option.js";
import { deliveryRequest, type RunOptions } from "./run-options.js";
import { assignment, release, type Subject } from "./vfio/bring-up.js";
import { REQUESTS } from "./vfio/requests.js";
import type { VfioOutput } from "./vfio/schema.js";
import { COMPOSITES, parseScript, VERBS } from "./vfio/script.js";
import { type Answer, Session } from "./vfio/session.js";
import { fieldNames } from "./vfio/structure.js";

/** RLIMIT_MEMLOCK: what a login has, and what the whole window of a Power host bridge needs (vfio.md 18). */
const MEMLOCK = 8 << 20;
const MEMLOCK_POWER = 2 ** 31;

/** What a person would look for in vain. */
const NO_VCPUS = "  /dev/kvm has VMs, irqfds and the KVM-VFIO device (not with --backend xen); no vCPU runs here: virq run has guests that acknowledge";

interface Options extends RunOptions {
  list?: boolean;
  backend?: BackendName;
  vfioProfile?: VfioProfileName;
}

/** `virq vfio`: what an administrator and a VMM do with a device, a verb a step, or all of it by one. */
export function addVfioCommand(program: Command): void {
  const command = program
    .command("vfio")
    .description("gives a device of a board to user space, step by step: sysfs, containers, groups, devices, KVM's irqfds, ioctls by name, and what each answers")
    .argument("[script]", "lines of verbs (--list), - for standard input; without it: assign, release")
    .option("--board <file|name>", "a device tree blob, or a built-in board; default pc")
    .option("--device <path>", "the device's path in the tree")
    .option("--assume-iommu", "assign the device although the tree gives it no IOMMU, and say so")
    .addOption(new Option("--backend <name>", "the device backend; default: that of the device's bus").choices(BACKENDS))
    .addOption(new Option("--vfio-profile <name>", "VFIO as another kernel or proposal had it; default modern").choices(Object.keys(VFIO_PROFILES)))
    .option("--list", "name the verbs, and the requests with their fields")
    .option("--json", "print JSON (schema/vfio.schema.json)");
  addPciOption(command).action((file: string | undefined, options: Options) => {
    if (options.list) process.stdout.write(`${listText()}\n`);
    else show(file, options);
  });
}

function show(file: string | undefined, options: Options): void {
  const { vfioProfile: profile = "modern" } = options;
  const request = { ...deliveryRequest(undefined, { board: "pc", ...options, irq: [] }), vfioProfile: profile };
  const { why } = assignmentOf(request.board, request.device);
  if (why !== null) throw new PersonError(`${request.device.path} of ${request.board.name}: ${why}`);
  if (profile === "draft2011") refuseForDraft(request, options.backend);
  const machine = machineOf(request, backendOf(request, options.backend));
  const session = Session.start(machine, isPower(request.board) ? MEMLOCK_POWER : MEMLOCK);
  const subject: Subject = {
    bus: machine.bus.name,
    name: machine.deviceName,
    group: machine.group,
    neighbours: session.neighbours,
    driver: machine.driverName,
    iommu: options.backend === "xen" ? "XEN" : isPower(request.board) ? "SPAPR_TCE" : "TYPE1v2",
    device: request.device,
    profile,
  };
  const text = file === undefined ? COMPOSITES.join("\n") : file === "-" ? readFileSync(0, "utf8") : readText(file);
  const expansions = { assign: assignment, release };
  const lines = parseScript(text, file ?? "virq vfio", (composite) => expansions[composite](subject));
  const { answers, refusal } = session.play(lines);
  const output: VfioOutput = { board: request.board.name, device: subject.name, group: subject.group, assumedIommu: isAssumed(request), lines: answers.map((answer) => ({ ...answer })) };
  const assumed = output.assumedIommu ? ["# the tree names no IOMMU for this device: one is assumed (--assume-iommu)"] : [];
  process.stdout.write(options.json ? `${JSON.stringify(output, null, 2)}\n` : [...assumed, ...answers.map(answerText)].map((text) => `${text}\n`).join(""));
  if (refusal !== null) throw refusal;
  if (answers.some(({ result }) => result === null)) throw new AnswerNo();
}

const isAssumed = ({ board, device }: DeliveryRequest): boolean => board.groups.find((group) => group.id === device.group)?.assumed === true;

/** @throws PersonError for one that has nothing to do with the device's bus */
function backendOf({ device }: DeliveryRequest, asked?: BackendName): BackendName {
  const own = device.pci === null ? "platform" : "pci";
  const fits = asked === undefined || asked === own || (asked === "xen" && own === "pci");
  if (!fits) throw new PersonError(`--backend ${asked}: ${device.path} is ${own === "pci" ? "a PCI function" : "a platform device"}; leave --backend away, or name another with --device`);
  return asked ?? own;
}

/** What December 2011 had: PCI functions behind an IOMMU whose addresses users choose. @throws PersonError */
function refuseForDraft({ board, device }: DeliveryRequest, backend?: BackendName): void {
  if (device.pci === null || isPower(board) || backend === "xen") throw new PersonError("--vfio-profile draft2011 is for PCI functions of vfio-pci's, on boards that are not Power's: name another with --device, or leave --vfio-profile away");
}

function machineOf(request: DeliveryRequest, backend: BackendName): BoardMachine {
  if (backend === "xen") return new XenMachine(machineOptions(request));
  const asked = { request, mechanism: "irqfd", interrupts: [] } as const;
  if (isPower(request.board)) return powerMachine(asked);
  return isX86(request.board) ? pcMachine(asked) : armMachine(asked);
}

function answerText({ line, result, fields, passedBy }: Answer): string {
  const told = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  const waited = passedBy === 0 ? [] : [`(waited while ${passedBy} more ${passedBy === 1 ? "line" : "lines"} ran)`];
  return [line, "\n  =", result === null ? "waits for ever" : result, ...told.map((each) => ` ${each}`), ...waited].join(" ").replace(" \n", "\n");
}

function listText(): string {
  const verbs = Object.values(VERBS).map(({ usage }) => `  ${usage}`);
  const requests = REQUESTS.map(({ name, argument }) => {
    if (argument.kind === "structure") return `  ${name} ${fieldNames(argument.info).join(" ")}`;
    return argument.kind === "none" ? `  ${name}` : `  ${name} ${argument.kind.toUpperCase()}`;
  });
  return ["verbs, one a line; # begins a comment:", ...verbs, `  ${COMPOSITES.join(", ")}: the steps of vfio.md 2.7, and the reverse`, NO_VCPUS, "", "requests, and what each takes:", ...requests].join("\n");
}
