import { STARTUP_VECTOR } from "./command-guest.js";
import type { X86Args } from "./op.js";
import type { Chooser } from "./random.js";
import type { X86Call } from "./vector.js";

// What a guest does in generated sequences. Only in start-ups does a vCPU with a guest get an INIT.

const LAPIC = 0xfee0_0000;
const IOAPIC = 0xfec0_0000;
const TSC_DEADLINE = 0x6e0;
const PV_EOI = 0x4b56_4d04;
const PIC = [0x20, 0x21, 0xa0, 0xa1];

const act = (args: X86Args<"guest">): X86Call => ({ op: "guest", args });
const write = (addr: number, value: number): X86Call => act({ do: "mmioWrite32", addr, value });
const read = (addr: number): X86Call => act({ do: "mmioRead32", addr });
const out = (port: number, value: number): X86Call => act({ do: "out8", port, value });

export const eoi = (): X86Call => write(LAPIC + 0xb0, 0);
export const tpr = (c: Chooser): X86Call => (c.oneIn(3) ? read(LAPIC + 0xa0) : write(LAPIC + 0x80, c.of([0, 0x20, 0x45, 0x70, 0xb0])));
export const flag = (c: Chooser): X86Call => act({ do: c.weighted([[4, "sti"], [4, "iret"], [3, "nop"], [1, "cli"]] as const) });
export const halt = (c: Chooser): X86Call => act({ do: c.weighted([[3, "stiHlt"], [1, "hlt"], [3, "run"]] as const) });

/** The IOAPIC by its two registers: select, then read or write. */
export function ioapic(c: Chooser): X86Call {
  if (c.oneIn(3)) return write(IOAPIC, c.oneIn(10) ? c.of([0, 1, 2, 3, 0x3f, 0x40, 0xff]) : 0x10 + 2 * c.of([3, 4, 5, 8, 9, 10, 14]) + (c.oneIn(4) ? 1 : 0));
  if (c.oneIn(5)) return read(IOAPIC + c.of([0, 0x10, 0x20]));
  const vector = c.of([0x31, 0x41, 0x51, 0x61, 0xa1]);
  return write(IOAPIC + 0x10, vector | (c.oneIn(3) ? 0x1_0000 : 0) | (c.oneIn(2) ? 0x8000 : 0) | (c.oneIn(8) ? 0x800 : 0) | (c.oneIn(8) ? 0x100 : 0));
}

export function picInitialisation(c: Chooser): X86Call[] {
  const end = c.oneIn(5) ? 3 : 1;
  const master = [out(0x20, 0x11), out(0x21, 0x20), out(0x21, 4), out(0x21, end)];
  return [...master, out(0xa0, 0x11), out(0xa1, 0x28), out(0xa1, 2), out(0xa1, end), out(0x21, 0), out(0xa1, 0)];
}

/** A command or a mask to either 8259, mostly EOIs; or a read. */
export function pic(c: Chooser): X86Call {
  if (c.oneIn(6)) return act({ do: "in8", port: c.of([...PIC, 0x4d0, 0x4d1]) });
  if (c.oneIn(8)) return out(c.of([0x4d0, 0x4d1]), c.below(256));
  if (c.oneIn(4)) return out(c.of([0x21, 0xa1]), c.of([0, 0x08, 0x20, 0xfb, 0xff]));
  const command = c.weighted([[8, 0x20], [3, 0x60 | c.below(8)], [2, 0xa0], [2, 0xe0 | c.below(8)], [2, 0xc0 | c.below(8)], [2, c.of([0x0a, 0x0b])], [1, 0x0c], [1, c.of([0x68, 0x48])], [1, c.of([0x80, 0])], [1, 0x11]]);
  return out(c.of([0x20, 0x20, 0xa0]), command);
}

export const wrongSizes = (c: Chooser): X86Call =>
  c.of<() => X86Call>([
    () => act({ do: c.of(["out16", "out32"] as const), port: c.of(PIC), value: 0x1234 }),
    () => act({ do: c.of(["in16", "in32"] as const), port: c.of(PIC) }),
    () => act({ do: "out8", port: 0x510, value: c.of([1, 2, 3]) }),
    () => act({ do: c.of(["out16", "out32"] as const), port: 0x510, value: 0x101 }),
    () => act({ do: c.of(["mmioWrite8", "mmioWrite16", "mmioWrite32"] as const), addr: 0xd000_0000, value: c.of([1, 2, 0x101]) }),
    () => act({ do: c.of(["mmioRead8", "mmioRead16"] as const), addr: c.of([IOAPIC, LAPIC + 0x30, LAPIC + 0xf2, 0xd000_0000]) }),
  ])();

/** Registers that a guest writes: TPR, LDR, DFR, SVR, ESR, ICR2, the LVTs that count no time, the divider. */
const WRITABLE = [0x80, 0xd0, 0xe0, 0xf0, 0x280, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x3e0];
const READABLE = [...WRITABLE, 0x20, 0x30, 0x90, 0xa0, 0x100, 0x120, 0x180, 0x200, 0x220, 0x300, 0x380];
const VALUE_OF: Readonly<Record<number, readonly number[]>> = {
  0x80: [0, 0x30, 0x45, 0xff],
  0xd0: [0x0100_0000, 0x0200_0000, 0x1100_0000, 0],
  0xe0: [0xffff_ffff, 0x0fff_ffff, 0],
  0xf0: [0x1ff, 0xff, 0x11ff, 0x3ff],
};

export function lapic(c: Chooser): X86Call {
  if (c.oneIn(2)) return read(LAPIC + c.of(READABLE));
  const register = c.of(WRITABLE);
  const values = VALUE_OF[register] ?? [0, 0x1_00ff, 0x41, 0x700, 0x1_0400, 0xffff_ffff];
  // An LVT that delivers an SMI or an INIT is not wanted, and the timer is masked.
  const value = c.of(values.filter((each) => register !== 0x320 || each & 0x1_0000));
  return write(LAPIC + register, value);
}

/** Memory of the guest, free of code and stack, up to its end; beyond it, and over the edge of a page, nothing or a chip answers. */
export function memory(c: Chooser): X86Call {
  const addr = c.weighted([[6, 0x1_0000 + 4 * c.below(8)], [2, 0xf_fffc + c.below(4)], [1, 0x10_0000], [1, c.of([LAPIC, IOAPIC]) - 2], [1, 0xffff_fffc + c.below(4)], [1, c.of([0, 0x100, 0x3000])]]);
  const isWrapping = addr >= 0xffff_fffd || addr < 0x1_0000;
  if (c.oneIn(2) || isWrapping) return act({ do: c.of(["mmioRead8", "mmioRead16", "mmioRead32"] as const), addr });
  return act({ do: c.of(["mmioWrite8", "mmioWrite16", "mmioWrite32"] as const), addr, value: c.of([0, 0x1234_5678, 0xffff_ffff]) });
}

/** The guest overwrites its own code: an interrupt vector. */
export const ownCode = (c: Chooser): X86Call => write(c.of([0, 0x100]), 0);

/** Registers of a local APIC that cannot be read, and reads across their edges. */
export const unreadable = (c: Chooser): X86Call => act({ do: c.of(["mmioRead16", "mmioRead32"] as const), addr: LAPIC + c.of([0xb0, 0xc0, 0x2f0, 0x22, 0x33, 0xfe]) });

/** Registers of the processor that have nothing to do with interrupts, and the time. */
export const otherMsr = (c: Chooser): X86Call => act({ do: "rdmsr", addr: c.of([0x10, 0xfe, 0x174, 0x277, 0xc000_0080]) });

/** An SMI to any, by the command register: a kernel without SMM has no use for it. */
export const smi = (c: Chooser): X86Call => write(LAPIC + 0x300, c.of([0x4_0200, 0x8_0200, 0xc_0200, 0x200]));

/** An instruction that there is not; CPUID. */
export const undefined_ = (c: Chooser): X86Call => (c.oneIn(2) ? act({ do: "ud2" }) : act({ do: "cpuid", addr: c.of([0, 1, 0x4000_0001]) }));

/** KVM's paravirtual end of interrupt, off; and an address that its register refuses. */
export const pvEoi = (c: Chooser): X86Call => (c.oneIn(2) ? act({ do: "rdmsr", addr: PV_EOI }) : act({ do: "wrmsr", addr: PV_EOI, value: c.of([0, 2, 0x1_0000]) }));

/** Counts of a few nanoseconds, which are over before the next action, and of many seconds, which never are. */
const SHORT = [1, 5, 0];
const LONG = [0xffff_ffff, 0x8000_0000, 0];
const DIVIDE = [0, 1, 2, 3, 8, 9, 0xa, 0xb];
const TIMER_VECTORS = [0x41, 0x61, 0xf1];

/** One-shot: it fires in the very action, or never. */
export const shortTimer = (c: Chooser): X86Call | X86Call[] =>
  c.weighted<() => X86Call | X86Call[]>([
    [5, () => write(LAPIC + 0x380, c.of([...SHORT, ...SHORT, ...LONG]))],
    [3, () => write(LAPIC + 0x320, c.of(TIMER_VECTORS) | (c.oneIn(4) ? 0x1_0000 : 0))],
    [2, () => write(LAPIC + 0x3e0, c.of(DIVIDE))],
    [2, () => [{ op: "setLapic", args: { state: { timerInitial: c.of(SHORT), ...(c.oneIn(2) ? { lvtTimer: c.of(TIMER_VECTORS) } : {}) } } }, { op: "sleep", args: { ms: 1 } }]],
    [2, () => read(LAPIC + c.of([0x320, 0x380, 0x3e0]))],
    [1, () => ({ op: "sleep", args: { ms: 1 } })],
  ])();

/** Periodic, one-shot and, where CPUID has it, TSC-deadline; nothing is ever due but a deadline that has passed. */
export const longTimer = (c: Chooser): X86Call =>
  c.weighted<() => X86Call>([
    [4, () => write(LAPIC + 0x320, c.of(TIMER_VECTORS) | c.of([0, 0x2_0000, 0x4_0000, 0x6_0000]) | (c.oneIn(4) ? 0x1_0000 : 0))],
    [3, () => write(LAPIC + 0x380, c.of(LONG))],
    [2, () => write(LAPIC + 0x3e0, c.of(DIVIDE))],
    [3, () => act({ do: "wrmsr", addr: TSC_DEADLINE, value: c.of([0, 1, 2 ** 50]) })],
    [2, () => act({ do: "rdmsr", addr: TSC_DEADLINE })],
    [2, () => read(LAPIC + c.of([0x320, 0x380, 0x3e0]))],
    [1, () => ({ op: "setLapic", args: { state: { timerInitial: 0, lvtTimer: c.of(TIMER_VECTORS) | 0x2_0000 } } })],
  ])();

/** The same action on any of the vCPUs that have a guest. */
export const onAny =
  (make: (c: Chooser) => X86Call) =>
  (c: Chooser): X86Call => {
    const call = make(c);
    return call.op === "guest" ? { op: "guest", args: { ...call.args, vcpu: c.of(GUESTS) } } : call;
  };

/** vCPUs with a guest where there are several. */
export const GUESTS = ["vcpu0", "vcpu1", "vcpu2"];

/**
 * INIT to any vCPU, by message or by another's guest; then perhaps start-up, at the routine that does nothing. User space
 * sets its registers anew before its guest acts again, mostly: what else it would do is no business of this guest's.
 */
export function startUp(c: Chooser): X86Call[] {
  const id = c.below(GUESTS.length);
  const send = (mode: number): X86Call =>
    c.oneIn(2) ? { op: "signalMsi", args: { addressLo: LAPIC + id * 0x1000, data: mode | (c.oneIn(2) ? 0x4000 : 0) } } : { op: "guest", args: { vcpu: c.of(GUESTS.filter((each) => each !== GUESTS[id])), do: "mmioWrite32", addr: LAPIC + 0x300, value: 0x4000 | mode } };
  const aim: X86Call[] = GUESTS.filter((_, other) => other !== id).map((vcpu) => ({ op: "guest", args: { vcpu, do: "mmioWrite32", addr: LAPIC + 0x310, value: id * 0x100_0000 } }));
  const calls: X86Call[] = [...aim, send(0x500)];
  if (c.oneIn(3)) calls.push(send(0x600 | STARTUP_VECTOR), send(0x500));
  if (c.oneIn(3)) calls.push({ op: "getMpState", args: { vcpu: GUESTS[id] } });
  if (c.oneIn(3)) calls.push({ op: "guest", args: { vcpu: GUESTS[id], do: "nop" } });
  if (!c.oneIn(3)) calls.push(send(0x600 | STARTUP_VECTOR));
  if (!c.oneIn(3)) calls.push({ op: "guest", args: { vcpu: GUESTS[id], do: "nop" } });
  if (!c.oneIn(8)) calls.push({ op: "guestInit", args: { vcpu: GUESTS[id] } }, { op: "setLapic", args: { vcpu: GUESTS[id], state: { svr: 0x1ff } } });
  return calls;
}

/** The command register: to itself or others fixed, NMI; INIT and start-up to the others alone. */
export function ipi(c: Chooser): X86Call {
  if (c.oneIn(3)) return write(LAPIC + 0x310, c.of([0, 1, 2, 3, 0xff, 5]) * 0x100_0000);
  const vector = c.of([0x31, 0x41, 0x61, 0xa1]);
  return write(LAPIC + 0x300, c.weighted([[6, 0x4_0000 | vector], [3, 0x8_0000 | vector], [3, 0xc_0000 | vector], [4, vector], [2, 0x100 | vector], [1, 0x800 | vector], [1, 0xc_0400], [1, 0xc_4500], [1, 0xc_0610]]));
}

/** The same without INIT and start-up, which leave another's guest without its code. */
export const ipiToGuests = (c: Chooser): X86Call => {
  for (;;) {
    const call = ipi(c);
    const value = call.op === "guest" && call.args.addr === LAPIC + 0x300 ? Number(call.args.value) : 0;
    if (((value >> 8) & 7) < 5) return call;
  }
};

export const msr = (c: Chooser): X86Call =>
  c.oneIn(2)
    ? act({ do: "rdmsr", addr: c.of([0x1b, 0x802, 0x803, 0x808, 0x80d, 0x80f, 0x828, 0x830, 0x831, 0x80b]) })
    : act({ do: "wrmsr", ...c.of([{ addr: 0x808, value: 0x20 }, { addr: 0x80b, value: 0 }, { addr: 0x80b, value: 0x1_0000_0000 }, { addr: 0x83f, value: 0x41 }, { addr: 0x83f, value: 0x141 }, { addr: 0x828, value: 1 }, { addr: 0x802, value: 0 }, { addr: 0x80f, value: 0x1ff }]) });

/** The x2APIC's command register: the destination is its high half. */
export const x2apicIcr = (c: Chooser): X86Call => {
  const low = c.weighted([[6, 0x4000 | c.of([0x31, 0x61])], [2, 0x4_0000 | 0x41], [2, 0xc_0000 | 0x51], [2, 0x800 | 0x61], [2, 0x100 | 0x71], [1, 0x2000 | 0x31], [1, 0x10_0031]]);
  return act({ do: "wrmsr", addr: 0x830, value: low + c.of([0, 1, 2, 3, 0x0f, 0xff, 0xf_ffff]) * 0x1_0000_0000 });
};

/** vCPU 0 gets x2APIC, or leaves it. */
export const x2apic = (c: Chooser): X86Call =>
  c.of<X86Call>([
    { op: "setCpuid", args: { x2apic: 1 } },
    { op: "setApicBase", args: { value: 0xfee0_0d00 } },
    { op: "setApicBase", args: { value: 0xfee0_0900 } },
  ]);
