import { resolve } from "node:path";
import { isX86, MECHANISMS, mechanismsOf } from "../board/assign.js";
import type { Board, Device } from "../board/board.js";
import { subjectOf } from "../board/builtin.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { isPower } from "../board/power.js";
import { addPciFunction, type PciFunctionRequest } from "../board/pci.js";
import { refuseForeign } from "../delivery/foreign-parts.js";
import type { DeliveryRequest } from "../delivery/request.js";
import { type CostProfile, readProfile } from "../scenario/profile.js";
import { COST_PROFILES, DEFAULT_POWER_PROFILE, DEFAULT_PROFILE, DEFAULT_X86_PROFILE } from "../scenario/profiles.js";
import { type Scenario, type Workload, workloadSchema } from "../scenario/scenario.js";
import { PersonError } from "../sim/person-error.js";
import { given } from "./given.js";
import { loadBoard } from "./load-board.js";
import { readText } from "./read-text.js";

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
  dmaAddress?: number;
  handlerNs?: number;
  eoi?: string;
  apicv?: boolean;
  realMode?: boolean;
  compat?: string;
  eoiMode?: number;
  json?: boolean;
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
    workload: workloadOf(scenario.workload, options, board),
    profile: profileOf(options.profile ?? scenario.profile ?? defaultProfile(board), base),
    mechanisms: mechanismsNamed(options.mechanism) ?? scenario.mechanisms ?? mechanismsOf(board),
  };
}

/** A board with a workload, and a device where one is named. */
export function boardRequestOf(scenario: Scenario, base: string, options: RunOptions): Pick<DeliveryRequest, "board" | "workload" | "profile"> & { readonly device: Device | null } {
  const board = boardOf(scenario, options, base);
  const named = options.device ?? scenario.device;
  const device = named === "" ? null : findDevice(board, named);
  return { board, device, workload: workloadOf(scenario.workload, options, board), profile: profileOf(options.profile ?? scenario.profile ?? defaultProfile(board), base) };
}

function boardOf(scenario: Scenario, options: RunOptions, base: string): Board {
  const assumeIommu = options.assumeIommu ?? scenario.assumeIommu;
  const named = options.board ?? scenario.board;
  const isFile = options.board === undefined && /[./]/.test(named);
  const board = loadBoard(isFile ? resolve(base, named) : named, { assumeIommu, ...given({ gicv4: options.gicv4 ?? scenario.gicv4 }) });
  const functions = scenario.pciFunctions.map(({ pin, ...rest }) => ({ intxPin: pin, ...given(rest) }));
  return [...functions, ...(options.pci ?? [])].reduce((known, request) => addPciFunction(known, request), board);
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
  dmaAddress: "dmaAddress",
  handlerNs: "handlerNs",
  eoi: "eoi",
  apicv: "apicv",
  realMode: "realMode",
  compat: "compat",
  eoiMode: "eoiMode",
} as const satisfies Record<keyof Workload, keyof RunOptions>;

/** Options win over the scenario; the schema says what is out of range, and the board what none of its guests has. */
function workloadOf(workload: Workload, options: RunOptions, board: Board): Workload {
  const parts = Object.keys(WORKLOAD_OPTIONS) as (keyof Workload)[];
  const said = parts.filter((part) => options[WORKLOAD_OPTIONS[part]] !== undefined);
  const result = workloadSchema.safeParse({ ...workload, ...Object.fromEntries(said.map((part) => [part, options[WORKLOAD_OPTIONS[part]]])) });
  if (result.success) {
    refuseForeign(board, said);
    return result.data;
  }
  const [issue] = result.error.issues;
  const option = Object.entries(WORKLOAD_OPTIONS).find(([part]) => part === issue.path[0])?.[1] ?? "";
  throw new PersonError(`--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}: ${issue.message}`);
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
