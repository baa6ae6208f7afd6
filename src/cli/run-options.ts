import { dirname } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { MECHANISMS } from "../board/assign.js";
import { builtinBoard, type Subject, subjectOf } from "../board/builtin.js";
import type { DeliveryRequest } from "../delivery/request.js";
import { boardRequestOf, requestOf, type RunOptions } from "../node/delivery-request.js";
import { VGIC_COMPATS } from "../irqchip/gic/vgic-dist.js";
import { readText } from "../node/read-text.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { readScenario, type Scenario, scenarioSchema } from "../scenario/scenario.js";
import { PersonError } from "../sim/person-error.js";
import { addGicv4Option } from "./gicv4-option.js";
import { addPciOption } from "./pci-option.js";

export type { RunOptions } from "../node/delivery-request.js";

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
    .option("--dma-address <n>", "the device writes there by DMA before each condition; what its IOMMU ends is counted", number)
    .option("--handler-ns <n>", "the handler's own work, nanoseconds", number)
    .option("--eoi <how>", "x86: how the guest ends an interrupt: xapic, x2apic, pv or pic")
    .option("--apicv", "x86: the processor delivers virtual interrupts in every mechanism")
    .option("--real-mode", "Power: KVM serves the interrupt controller's hypercalls in real mode, without an exit where it can")
    .option("--compat <kernel>", `Arm: whose rules KVM's virtual GIC follows: ${VGIC_COMPATS.join(", ")} (the GICv4 series)`)
    .option("--eoi-mode <n>", "1: the guest drops priority and deactivates separately", number)
    .option("--json", "print JSON");
}

/** A scenario file, the options on top of it, and everything they name. */
export function deliveryRequest(file: string | undefined, options: RunOptions): DeliveryRequest {
  const scenario = file === undefined ? scenarioOfOptions(options) : readScenario(readText(file), file);
  const isOnOptions = file === undefined && options.device === undefined;
  return requestOf(scenario, file === undefined ? "." : dirname(file), options, isOnOptions);
}

/** A board with a workload, and a device where one is named. */
export function boardRequest(file: string | undefined, options: RunOptions): ReturnType<typeof boardRequestOf> {
  const scenario = file === undefined ? scenarioSchema.parse({ board: options.board ?? "", device: options.device ?? "" }) : readScenario(readText(file), file);
  return boardRequestOf(scenario, file === undefined ? "." : dirname(file), options);
}

function scenarioOfOptions(options: RunOptions): Scenario {
  if (options.board === undefined) throw new PersonError("name a scenario file, or a board with --board and a device with --device");
  const { board } = options;
  const subject = options.device === undefined ? subjectNamed(board) : { device: options.device, needsIommu: false };
  if (subject === null) throw new PersonError(`--board ${board}: name a device with --device (virq boards ${board} lists them)`);
  return scenarioSchema.parse({ board, device: subject.device, assumeIommu: subject.needsIommu });
}

/** Null for a board that is not built in, or that shows nothing by itself. */
function subjectNamed(name: string): Subject | null {
  const board = builtinBoard(name);
  return board === undefined ? null : subjectOf(board);
}
