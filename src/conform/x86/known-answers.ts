import { ApicReg, isReadable } from "../../irqchip/x86/lapic/registers.js";
import { MSR_IA32_TSC } from "../../uapi/x86.js";
import { FREE_MEMORY } from "../guest-code.js";
import { CAPABILITY } from "./names.js";
import type { KnownAnswer } from "./known.js";
import type { DiffStep } from "./diff.js";
import type { X86Call } from "./vector.js";

// The rows of the table that are recognised in an answer.

/** What a kernel that was built otherwise may answer. */
const BUILD_CAPABILITIES: Readonly<Record<string, (ret: number) => boolean>> = {
  HYPERV_SYNIC: (ret) => ret === 1,
  XEN_HVM: (ret) => ret > 0,
  MAX_VCPUS: (ret) => ret > 0,
  MAX_VCPU_ID: (ret) => ret > 0,
};
const MODELLED: ReadonlySet<number> = new Set(Object.values(CAPABILITY));
const GP = 13;
/** Divide error, invalid opcode, stack segment, general protection: what was seen to end the execution of zeros, or of interrupt vectors. */
const FAULTS_OF_NOTHING = [0, 6, 12, GP];
const NO_CODE = '[{"type":"internalError","suberror":1}]';
const SPEAKER_PORT = 0x61;
const PIT_CONTROL = 0x43;
const REFRESH_CLOCK = 0x10;
const LAPIC = 0xfee0_0000;
const LVT_TIMER = 0x320;
const LAPIC_BYTES = 0x1000;
const TWO_32 = 0x1_0000_0000;

const onlyIn = ({ differences }: DiffStep, path: string): boolean => differences.every((each) => each.path === path);

/** The bytes that a load or store of the guest reaches, null for anything else. */
function accessOf({ op, args }: X86Call): { readonly isWrite: boolean; readonly from: number; readonly size: number } | null {
  const parts = op === "guest" ? /^mmio(Read|Write)(\d+)$/.exec(args.do) : null;
  return parts === null || op !== "guest" ? null : { isWrite: parts[1] === "Write", from: args.addr ?? 0, size: Number(parts[2]) / 8 };
}

/** A load of which any byte is the guest's code or stack. Addresses wrap at 4 GiB. */
function readsOwnCode(call: X86Call): boolean {
  const access = accessOf(call);
  return access !== null && !access.isWrite && (access.from < FREE_MEMORY || access.from + access.size > TWO_32);
}

const BYTES_OF_A_VECTOR = 4;
const vectorsTaken = ({ events = [] }: DiffStep["model"]): number[] => events.flatMap((event) => (event.type === "intr" ? [event.vector] : []));

/** In the step, or one before it, the guest took a vector that it had overwritten. */
function tookOverwritten(step: DiffStep, before: readonly DiffStep[]): boolean {
  const vectors = new Set<number>();
  for (const each of [...before, step]) {
    if (vectorsTaken(each.model).some((vector) => vectors.has(vector))) return true;
    const access = accessOf(each.call);
    if (access?.isWrite) for (let at = access.from; at < access.from + access.size; at++) vectors.add(Math.floor(at / BYTES_OF_A_VECTOR));
  }
  return false;
}

/** What runs where nothing is: KVM gives up, as the model does, or zeros and interrupt vectors (an access to port 0), to a fault, a HLT, or where KVM gives up. */
function executesNothing(call: X86Call, { kernel, model, differences }: DiffStep): boolean {
  if (call.op !== "guest" || !differences.every(({ path }) => path === "events" || path === "value")) return false;
  const last = kernel.events?.at(-1);
  const isEnd = (last?.type === "intr" && FAULTS_OF_NOTHING.includes(last.vector)) || (last?.type === "blocked" && last.mpState === "halted") || (last?.type === "internalError" && last.suberror === 1);
  return JSON.stringify(model.events) === NO_CODE && isEnd && (kernel.events ?? []).slice(0, -1).every((event) => event.type === "pioOut" && event.port === 0);
}

/** A load of which some part is no register of a local APIC's that can be read, or of none alone. */
function readsNoRegister(call: X86Call): boolean {
  const access = accessOf(call);
  if (access === null || access.isWrite) return false;
  const offset = access.from - LAPIC;
  if (offset + access.size <= 0 || offset >= LAPIC_BYTES) return false;
  const isOutside = offset < 0 || offset + access.size > LAPIC_BYTES;
  return isOutside || (offset & 0xf) + access.size > 4 || !isReadable(offset & ~0xf, false) || (offset & ~0xf) === ApicReg.LVTCMCI;
}

/** A read of port 0x61, or of the PIT's control port, which gives what the vCPU's last port read gave. */
function readsSpeaker(call: X86Call, before: readonly DiffStep[]): boolean {
  if (call.op !== "guest" || call.args.do !== "in8") return false;
  if (call.args.port !== PIT_CONTROL) return call.args.port === SPEAKER_PORT;
  const last = before.findLast((each) => each.call.op === "guest" && each.call.args.do.startsWith("in") && each.call.args.port !== PIT_CONTROL);
  return last?.call.op === "guest" && last.call.args.port === SPEAKER_PORT;
}

const isMsr = (call: X86Call): boolean => call.op === "guest" && (call.args.do === "rdmsr" || call.args.do === "wrmsr");
const addressOf = (call: X86Call): number => (call.op === "guest" ? (call.args.addr ?? 0) : -1);
const isOfInterrupts = (msr: number): boolean => msr === 0x1b || msr === 0x6e0 || msr === 0x4b56_4d04 || (msr >= 0x800 && msr < 0x900);

export const KNOWN_ANSWERS: readonly KnownAnswer[] = [
  {
    name: "capabilities of the build",
    flavour: "build",
    where: "kernels with Hyper-V's or Xen's interfaces, or other limits of vCPUs (CONFIG_KVM_MAX_NR_VCPUS)",
    reason: "which of these a kernel has depends on its configuration",
    model: "1,024 vCPUs with ids below 4,096; neither Hyper-V nor Xen",
    isHarmless: true,
    kept: "the kernel that was compared is configured as the model is",
    explains: ({ op, args }, step) => op === "checkExtension" && onlyIn(step, "ret") && typeof step.kernel.ret === "number" && (BUILD_CAPABILITIES[args.cap]?.(step.kernel.ret) ?? false),
  },
  {
    name: "other parts of KVM",
    flavour: "build",
    where: "every kernel",
    reason: "it has capabilities of memory, of the processor and of virtual machines as such",
    model: "interrupts and device assignment alone: 0, and EINVAL",
    isHarmless: true,
    explains: ({ op, args }, step) => op === "checkExtension" && typeof args.cap === "number" && !MODELLED.has(args.cap) && step.model.ret === 0 && onlyIn(step, "ret"),
  },
  {
    name: "VM types",
    flavour: "build",
    where: "kernels with CONFIG_KVM_SW_PROTECTED_VM, SEV or TDX",
    reason: "protected VM types exist where the kernel was built for them",
    model: "EINVAL for every type but 0",
    isHarmless: false,
    kept: "the kernel that was compared has type 0 alone",
    explains: ({ op, args }, { model, kernel }) => op === "createVm" && (args.type ?? 0) !== 0 && model.errno === "EINVAL" && kernel.ret === "fd",
  },
  {
    name: "what is no register of a local APIC",
    flavour: "quirk",
    where: "every kernel",
    reason: "a load that no register takes leaves the emulator's buffer alone: the guest gets what its last load read",
    model: "zeros",
    isHarmless: true,
    explains: (call, step) => readsNoRegister(call) && onlyIn(step, "value"),
  },
  {
    name: "a timer's expiry that waited while its entry was masked",
    flavour: "pvm",
    where: "kvm-pvm",
    reason: "it emulates what follows the unmasking without leaving the guest, and KVM turns expiries into interrupts where a guest was left",
    model: "an interrupt at once: the unmasking itself leaves the guest, as on VMX",
    isHarmless: false,
    explains: (call, { differences }) => call.op === "guest" && call.args.do === "mmioWrite32" && call.args.addr === LAPIC + LVT_TIMER && differences.every(({ path }) => path === "events" || path.endsWith(".irr") || path.endsWith(".tmr")),
  },
  {
    name: "the time stamp counter",
    flavour: "quirk",
    where: "every kernel",
    reason: "it counts",
    model: "counts virtual nanoseconds",
    isHarmless: true,
    explains: (call, step) => isMsr(call) && addressOf(call) === MSR_IA32_TSC && onlyIn(step, "value"),
  },
  {
    name: "registers that have nothing to do with interrupts",
    flavour: "build",
    where: "every kernel, each with its own",
    reason: "which model specific registers a vCPU has depends on the kernel and the processor",
    model: "a general protection fault for all but those of interrupts, timers and time",
    isHarmless: false,
    explains: (call, { model, kernel }) => isMsr(call) && !isOfInterrupts(addressOf(call)) && vectorsTaken(model).includes(GP) && !vectorsTaken(kernel).includes(GP),
  },
  {
    name: "the guest's own code and stack",
    flavour: "quirk",
    where: "every kernel",
    reason: "the command guest reads its stack or its code",
    model: "the same bytes lie in its memory, but its guest does not execute them, and its stack is not there",
    isHarmless: true,
    explains: (call, step) => readsOwnCode(call) && onlyIn(step, "value"),
  },
  {
    name: "an interrupt vector that the guest overwrote",
    flavour: "quirk",
    where: "every kernel",
    reason: "it takes an interrupt whose vector in its memory points to no handler any more",
    model: "its guest's handlers are not in its memory",
    isHarmless: false,
    explains: (call, step, before) => call.op === "guest" && tookOverwritten(step, before),
  },
  {
    name: "a guest without code",
    flavour: "quirk",
    where: "every kernel",
    reason: "after an INIT or a start-up the vCPU executes what lies there: nothing, for which KVM gives up, or zeros or the interrupt vectors until they fault or halt; the command guest's code is elsewhere until user space sets its registers",
    model: "KVM_EXIT_INTERNAL_ERROR at once: its guest is no code",
    isHarmless: false,
    explains: executesNothing,
  },
  {
    name: "the PPR as it is stored",
    flavour: "quirk",
    where: "every kernel",
    reason: "it refreshes the stored register late, and computes what a guest reads",
    model: "refreshes it at another time; what a guest reads is compared",
    isHarmless: true,
    isField: true,
    explains: (_call, { differences }) => differences.every(({ path }) => path.endsWith("pprLazy")),
  },
  {
    name: "the refresh clock of port 0x61",
    flavour: "quirk",
    where: "every kernel",
    reason: "bit 4 is a bit of the host's clock",
    model: "the same bit of virtual time",
    isHarmless: true,
    explains: (call, step, before) => readsSpeaker(call, before) && onlyIn(step, "value") && (Number(step.model.value) ^ Number(step.kernel.value)) === REFRESH_CLOCK,
  },
];
