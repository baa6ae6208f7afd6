import { dirname, resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { isX86, MECHANISMS, mechanismsOf } from "../board/assign.js";
import type { Board, Device } from "../board/board.js";
import { builtinBoard, type Subject, subjectOf } from "../board/builtin.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { isPower } from "../board/power.js";
import type { PciFunctionRequest } from "../board/pci.js";
import type { DeliveryRequest } from "../delivery/request.js";
import { loadBoard } from "../node/load-board.js";
import { readText } from "../node/read-text.js";
import { type CostProfile, readProfile } from "../scenario/profile.js";
import { COST_PROFILES, DEFAULT_POWER_PROFILE, DEFAULT_PROFILE, DEFAULT_X86_PROFILE } from "../scenario/profiles.js";
import { readScenario, type Scenario, scenarioSchema, type Workload, workloadSchema } from "../scenario/scenario.js";
import { PersonError } from "../sim/person-error.js";
import { given } from "./given.js";
import { addGicv4Option } from "./gicv4-option.js";
import { addPciOption, withPciFunctions } from "./pci-option.js";

/** What a person can say instead of, or on top of, a scenario file. */
export interface RunOptions {
  board?: string;
  device?: string;
  irq?: number[];
  assumeIommu?: boolean;
  gicv4?: "4.0" | "4.1";
  pci?: PciFunctionRequest[];
  profile?: string;
  mechanism?: string[];
  interrupts?: number;
  rate?: number;
  burst?: number;
  duration?: number;
  seed?: number;
  vcpus?: number;
  targets?: number;
  cpus?: number;
  sliceNs?: number;
  others?: string;
  wait?: string;
  accesses?: number;
  handlerNs?: number;
  eoi?: string;
  apicv?: boolean;
  realMode?: boolean;
  eoiMode?: number;
  json?: boolean;
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("not a number.");
  return value;
}

const numbers = (text: string, before: number[] = []): number[] => [...before, ...text.split(",").map(number)];
const names = (text: string, before: string[] = []): string[] => [...before, ...text.split(",")];

export function addRunOptions(command: Command): Command {
  return addGicv4Option(addPciOption(command))
    .argument("[scenario]", "a scenario file (YAML; schema/scenario.schema.json)")
    .option("--board <file|name>", "a device tree blob, or a built-in board")
    .option("--device <path>", "the device's path in the tree")
    .option("--irq <n>", "index of its interrupt; several with commas or by repeating", numbers)
    .option("--assume-iommu", "assign the device although the tree gives it no IOMMU, and say so")
    .option("--mechanism <name>", `only this one: ${MECHANISMS.join(", ")}`, names)
    .option("--profile <name|file>", `cost profile: ${COST_PROFILES.map((p) => p.name).join(", ")}, or a file of your own`)
    .option("--interrupts <n>", "conditions that the device raises", number)
    .option("--rate <n>", "bursts per second of virtual time", number)
    .option("--burst <n>", "conditions raised together", number)
    .option("--duration <ms>", "ends the run earlier, in virtual time", number)
    .option("--seed <n>", "seed of everything random", number)
    .option("--vcpus <n>", "vCPUs of the guest", number)
    .option("--targets <n>", "vCPUs that take the interrupts, the first of them the first and so on", number)
    .option("--cpus <n>", "physical CPUs that the vCPUs share by turns", number)
    .option("--slice-ns <n>", "how long one keeps a shared CPU while others wait, nanoseconds", number)
    .option("--others <how>", "what the other vCPUs do: halt, or spin")
    .option("--wait <how>", "what the guest does between interrupts: spin, or wfi (x86: hlt, Power: cede)")
    .option("--accesses <n>", "device register accesses in the guest's handler", number)
    .option("--handler-ns <n>", "the handler's own work, nanoseconds", number)
    .option("--eoi <how>", "x86: how the guest ends an interrupt: xapic, x2apic, pv or pic")
    .option("--apicv", "x86: the processor delivers virtual interrupts in every mechanism")
    .option("--real-mode", "Power: KVM serves the interrupt controller's hypercalls in real mode, without an exit where it can")
    .option("--eoi-mode <n>", "1: the guest drops priority and deactivates separately", number)
    .option("--json", "print JSON");
}

/** A scenario file, the options on top of it, and everything they name. */
export function deliveryRequest(file: string | undefined, options: RunOptions): DeliveryRequest {
  const scenario = file === undefined ? scenarioOfOptions(options) : readScenario(readText(file), file);
  const isOnOptions = file === undefined && options.device === undefined;
  return requestOf(scenario, file === undefined ? "." : dirname(file), options, isOnOptions);
}

/** What a scenario asks for. Options win over it; paths in it are relative to `base`. */
export function requestOf(scenario: Scenario, base: string, options: RunOptions = {}, takesSubject = false): DeliveryRequest {
  const board = boardOf(scenario, options, base);
  const subject = takesSubject ? subjectOf(board) : null;
  const device = findDevice(board, options.device ?? subject?.device ?? scenario.device);
  return {
    board,
    device,
    interrupts: (options.irq ?? subject?.irqs ?? scenario.irqs).map((index) => findInterrupt(device, index)),
    workload: workloadOf(scenario.workload, options),
    profile: profileOf(options.profile ?? scenario.profile ?? defaultProfile(board), base),
    mechanisms: mechanismsNamed(options.mechanism) ?? scenario.mechanisms ?? mechanismsOf(board),
  };
}

/** A board with a workload, and a device where one is named. */
export function boardRequest(file: string | undefined, options: RunOptions): Pick<DeliveryRequest, "board" | "workload" | "profile"> & { readonly device: Device | null } {
  const scenario = file === undefined ? scenarioSchema.parse({ board: options.board ?? "", device: options.device ?? "" }) : readScenario(readText(file), file);
  const base = file === undefined ? "." : dirname(file);
  const board = boardOf(scenario, options, base);
  const named = options.device ?? scenario.device;
  const device = named === "" ? null : findDevice(board, named);
  return { board, device, workload: workloadOf(scenario.workload, options), profile: profileOf(options.profile ?? scenario.profile ?? defaultProfile(board), base) };
}

function scenarioOfOptions(options: RunOptions): Scenario {
  if (options.board === undefined) throw new PersonError("name a scenario file, or a board with --board and a device with --device");
  const { board } = options;
  const subject = options.device === undefined ? subjectNamed(board) : { device: options.device, needsIommu: false };
  if (subject === null) throw new PersonError(`--board ${board}: name a device with --device (virq boards ${board} lists them)`);
  return scenarioSchema.parse({ board, device: subject.device, assumeIommu: subject.needsIommu });
}

function boardOf(scenario: Scenario, options: RunOptions, base: string): Board {
  const assumeIommu = options.assumeIommu ?? scenario.assumeIommu;
  const named = options.board ?? scenario.board;
  const isFile = options.board === undefined && /[./]/.test(named);
  const board = loadBoard(isFile ? resolve(base, named) : named, { assumeIommu, ...given({ gicv4: options.gicv4 ?? scenario.gicv4 }) });
  const functions = scenario.pciFunctions.map(({ pin, ...rest }) => ({ intxPin: pin, ...given(rest) }));
  return withPciFunctions(board, [...functions, ...(options.pci ?? [])]);
}

/** The option that says each part of a workload. */
const WORKLOAD_OPTIONS = {
  interrupts: "interrupts",
  ratePerSecond: "rate",
  burst: "burst",
  durationMs: "duration",
  seed: "seed",
  vcpus: "vcpus",
  targets: "targets",
  cpus: "cpus",
  sliceNs: "sliceNs",
  others: "others",
  wait: "wait",
  accessesPerService: "accesses",
  handlerNs: "handlerNs",
  eoi: "eoi",
  apicv: "apicv",
  realMode: "realMode",
  eoiMode: "eoiMode",
} as const satisfies Record<keyof Workload, keyof RunOptions>;

/** Options win over the scenario; the schema says what is out of range. */
function workloadOf(workload: Workload, options: RunOptions): Workload {
  const said = Object.entries(WORKLOAD_OPTIONS).map(([part, option]) => [part, options[option]]);
  const result = workloadSchema.safeParse({ ...workload, ...Object.fromEntries(said.filter(([, value]) => value !== undefined)) });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const option = Object.entries(WORKLOAD_OPTIONS).find(([part]) => part === issue.path[0])?.[1] ?? "";
  throw new PersonError(`--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}: ${issue.message}`);
}

/** Null for a board that is not built in, or that shows nothing by itself. */
function subjectNamed(name: string): Subject | null {
  const board = builtinBoard(name);
  return board === undefined ? null : subjectOf(board);
}

function defaultProfile(board: Board): string {
  if (isPower(board)) return DEFAULT_POWER_PROFILE;
  return isX86(board) ? DEFAULT_X86_PROFILE : DEFAULT_PROFILE;
}

function profileOf(name: string, base: string): CostProfile {
  const known = COST_PROFILES.find((profile) => profile.name === name);
  if (known) return known;
  if (/[./]/.test(name)) return readProfile(readText(resolve(base, name)), name);
  throw new PersonError(`no cost profile ${name}: name one of ${COST_PROFILES.map((p) => p.name).join(", ")}, or a file`);
}

function mechanismsNamed(named: readonly string[] | undefined): DeliveryRequest["mechanisms"] | undefined {
  return named?.map((name, i) => {
    const known = MECHANISMS.find((mechanism) => mechanism === name);
    if (known === undefined) throw new PersonError(`no mechanism ${name}: name one of ${MECHANISMS.join(", ")}`);
    if (named.indexOf(name) < i) throw new PersonError(`--mechanism ${name} is named twice: name each once`);
    return known;
  });
}
