import type { X86Args } from "./op.js";
import type { Chooser } from "./random.js";
import { EVENTFDS, PINS, RESAMPLEFDS, VECTORS } from "./random-calls.js";
import type { X86Call } from "./vector.js";

// Calls of generated sequences that belong together, for rules that single calls seldom reach; and the ports of the PIT, of
// which nothing is read that counts.

const IOAPIC = 0xfec0_0000;
const LAPIC = 0xfee0_0000;
const act = (args: X86Args<"guest">): X86Call => ({ op: "guest", args });
const write = (addr: number, value: number): X86Call => act({ do: "mmioWrite32", addr, value });
const out = (port: number, value: number): X86Call => act({ do: "out8", port, value });
const read = (port: number): X86Call => act({ do: "in8", port });
const line = (gsi: number, level: number): X86Call => ({ op: "irqLineStatus", args: { gsi, level } });
const entry = (pin: number, fields: Readonly<Record<string, number>>): X86Call => ({ op: "setIrqchip", args: { chip: "ioapic", state: { redirtbl: { [pin]: fields } } } });
const eoi = write(LAPIC + 0xb0, 0);
/** The guest writes the low half of an entry. */
const writeEntry = (pin: number, low: number): X86Call[] => [write(IOAPIC, 0x10 + 2 * pin), write(IOAPIC + 0x10, low)];

/** A vector is pending when its pin is turned to another vCPU; its EOI is told once, and the next one's no more (8.3). */
export function staleRouting(c: Chooser): X86Call[] {
  const [pin, vector] = [c.of(PINS), c.of(VECTORS)];
  const message: X86Call = { op: "signalMsi", args: { addressLo: LAPIC, data: (c.oneIn(5) ? 0 : 0x8000) | vector } };
  const take = (): X86Call => act({ do: c.of(["sti", "iret", "nop"] as const) });
  return [message, entry(pin, { vector, trigMode: 1, destId: c.oneIn(4) ? 5 : 1 }), act({ do: "sti" }), eoi, line(pin, 1), ...(c.oneIn(3) ? [] : [line(pin, 0)]), message, take(), eoi];
}

/** A resampling irqfd's pin is masked and unmasked while its line is high (5.3). */
export function unmaskBehindResampler(c: Chooser): X86Call[] {
  const [pin, vector] = [c.of(PINS), c.of(VECTORS)];
  const [fd, resamplefd] = [c.of(EVENTFDS), c.of(RESAMPLEFDS)];
  return [entry(pin, { vector, trigMode: 1, mask: c.oneIn(4) ? 0 : 1 }), { op: "irqfd", args: { fd, gsi: pin, flags: ["RESAMPLE"], resamplefd } }, { op: "writeEventfd", args: { fd } }, ...writeEntry(pin, 0x8000 | vector), { op: "readEventfd", args: { fd: resamplefd } }];
}

/** An edge that was sent is forgotten, or not, when its entry becomes level; and comes again when unmasked. */
export function levelAfterEdge(c: Chooser): X86Call[] {
  const [pin, vector] = [c.of(PINS), c.of(VECTORS)];
  return [entry(pin, { vector, mask: c.oneIn(4) ? 1 : 0 }), line(pin, 1), ...writeEntry(pin, 0x8000 | (c.oneIn(2) ? 0x1_0000 : 0) | vector), line(pin, c.below(2)), { op: "setIrqchip", args: { chip: "ioapic", state: {} } }];
}

export const picPoll = (c: Chooser): X86Call[] => {
  const port = c.of([0x20, 0xa0]);
  return [line(c.of([3, 4, 9, 14]), 1), out(port, 0x0c), read(port + c.below(2))];
};

/** The PIC's output is up behind a masked LINT0, which the guest unmasks. */
export const unmaskLint0 = (c: Chooser): X86Call[] => [
  { op: "setLapic", args: { state: { svr: 0x1ff, lvtLint0: 0x1_0700 } } },
  act({ do: c.of(["sti", "cli"] as const) }),
  line(c.of([3, 4, 5]), 1),
  write(LAPIC + 0x350, 0x700),
  ...(c.oneIn(2) ? [eoi] : []),
  act({ do: c.of(["nop", "sti"] as const) }),
];

export function rtcTicks(c: Chooser): X86Call[] {
  return [entry(8, { vector: c.of(VECTORS), destId: c.of([0, 1, 0xff]) }), line(8, 1), line(8, 0), line(8, 1), ...(c.oneIn(2) ? [eoi] : []), line(8, 0), line(8, 1)];
}

/** A period below the least that there is; it is over before another action sees it twice. */
export function shortPeriod(c: Chooser): X86Call[] {
  return [
    act({ do: "cli" }),
    { op: "setLapic", args: { state: { lvtTimer: c.of([0x41, 0x61]) | 0x2_0000, timerInitial: c.of([1, 5, 100, 50_000]) } } },
    { op: "sleep", args: { ms: 1 } },
    act({ do: "nop" }),
    write(LAPIC + 0x380, 0),
  ];
}

/** Modes whose output, at counts of 55 ms, does not depend on how long a call takes: rate generator and strobes; 6 is 2. */
const STEADY_MODES = [2, 4, 5, 6];
/** Channel 0's interrupt in any other comes after 55 ms. */
const NEVER = 5;

/** Every channel starts in a mode of these. */
export const pitStart: readonly X86Call[] = [0, 1, 2].flatMap((channel) => [out(0x43, (channel << 6) | 0x30 | (NEVER << 1)), out(0x40 + channel, 0), out(0x40 + channel, 0)]);

export function pitControl(c: Chooser): X86Call[] {
  const channel = c.below(3);
  const mode = channel === 0 ? NEVER : c.of(STEADY_MODES);
  const transfer = c.of([1, 2, 3]);
  const word = out(0x43, (channel << 6) | (transfer << 4) | (mode << 1) | (c.oneIn(5) ? 1 : 0));
  const byte = out(0x40 + channel, 0);
  return [word, byte, ...(transfer === 3 ? [byte] : [])];
}

/** Of some channels; what was latched and not read stays. */
export function pitStatus(c: Chooser): X86Call[] {
  const channel = c.below(3);
  return [out(0x43, 0xe0 | (2 << channel) | (c.oneIn(3) ? 2 << c.below(3) : 0)), read(0x40 + channel)];
}

export const speaker = (c: Chooser): X86Call => (c.oneIn(2) ? read(0x61) : out(0x61, c.below(4)));

/** The PIT's control port, after a read of another or of none. */
export const portWithoutRead = (c: Chooser): X86Call[] => [...(c.oneIn(4) ? [] : [out(0x21, c.below(256)), read(c.of([0x21, 0x20, 0x4d0, 0x510]))]), act({ do: c.weighted([[4, "in8"], [1, "in16"], [1, "in32"]] as const), port: 0x43 })];
