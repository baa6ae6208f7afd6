import type { ChipRule } from "../../irqchip/x86/chip-rules.js";
import type { X86Args } from "./op.js";
import type { X86Call } from "./vector.js";

// The fewest calls that tell on which side of a switch a kernel stands.

const IOAPIC = 0xfec0_0000;
const EOI = 0xfee0_00b0;
const ICR = 0x830;
const PIN = 10;
const VECTOR = 0x41;
const ENTRY_LOW = 0x10 + 2 * PIN;

const act = (args: X86Args<"guest">): X86Call => ({ op: "guest", args });
const write = (addr: number, value: number): X86Call => act({ do: "mmioWrite32", addr, value });
const out = (port: number, value: number): X86Call => act({ do: "out8", port, value });
const line = (gsi: number, level: number): X86Call => ({ op: "irqLineStatus", args: { gsi, level } });
const readIoapic: X86Call = { op: "getIrqchip", args: { chip: "ioapic" } };
const entry = (pin: number, fields: Readonly<Record<string, number>>): X86Call => ({ op: "setIrqchip", args: { chip: "ioapic", state: { redirtbl: { [pin]: { vector: VECTOR, ...fields } } } } });

/** Level triggered, to vCPU 0. */
const message: X86Call = { op: "signalMsi", args: { addressLo: 0xfee0_0000, data: 0x8000 | VECTOR } };

const VM: readonly X86Call[] = [
  { op: "createVm", args: {} },
  { op: "createIrqchip", args: {} },
];
const WITHOUT_PIC: readonly X86Call[] = (["picMaster", "picSlave"] as const).map((chip) => ({ op: "setIrqchip", args: { chip, state: { imr: 0xff } } }));
const VCPU: readonly X86Call[] = [...VM, { op: "createVcpu", args: { id: 0 } }, { op: "guestInit", args: {} }, ...WITHOUT_PIC, { op: "setLapic", args: { state: { svr: 0x1ff } } }];
const X2APIC: readonly X86Call[] = [...VM, { op: "createVcpu", args: { id: 0 } }, { op: "setCpuid", args: { x2apic: 1 } }, { op: "guestInit", args: {} }, { op: "setApicBase", args: { value: 0xfee0_0d00 } }];

const TWO_VCPUS: readonly X86Call[] = [...VCPU, { op: "createVcpu", args: { id: 1 } }, { op: "setLapic", args: { vcpu: "vcpu1", state: { svr: 0x1ff } } }];

export const PROBES: Readonly<Record<"endsAtAcceptance" | "losesTprLowNibble" | "busyByList", readonly X86Call[]>> & Readonly<Partial<Record<ChipRule, readonly X86Call[]>>> = {
  endsAtAcceptance: [...VCPU, { op: "signalMsi", args: { addressLo: 0xfee0_0000, data: 0x51 } }, act({ do: "sti" }), { op: "getLapic", args: {} }],
  losesTprLowNibble: [...VCPU, { op: "setLapic", args: { state: { tpr: 0x45 } } }, act({ do: "nop" }), { op: "getLapic", args: {} }],
  busyByList: [
    ...VM,
    { op: "createVm", args: { as: "b" } },
    { op: "createIrqchip", args: { vm: "b" } },
    { op: "eventfd", args: { as: "e" } },
    { op: "irqfd", args: { fd: "e", gsi: 9 } },
    { op: "irqfd", args: { vm: "b", fd: "e", gsi: 9 } },
  ],
  ignoresPolarity: [...VCPU, entry(PIN, { polarity: 1, trigMode: 1 }), line(PIN, 1), readIoapic],
  tracksRtcEoi: [...VCPU, entry(8, {}), line(8, 1), line(8, 0), line(8, 1)],
  exitsByBitmap: [
    ...VCPU,
    entry(PIN, { trigMode: 1, destId: 5, remoteIrr: 1 }),
    act({ do: "nop" }),
    message,
    act({ do: "sti" }),
    write(EOI, 0),
    readIoapic,
  ],
  hasSplitIrqchip: [VM[0], { op: "enableCap", args: { cap: "SPLIT_IRQCHIP", args: [24] } }],
  hasX2apicApi: [VM[0], { op: "enableCap", args: { cap: "X2APIC_API", args: [1] } }],
  unmaskAsksResampler: [
    ...VCPU,
    entry(PIN, { trigMode: 1, mask: 1 }),
    { op: "eventfd", args: { as: "e" } },
    { op: "eventfd", args: { as: "r" } },
    { op: "irqfd", args: { fd: "e", gsi: PIN, flags: ["RESAMPLE"], resamplefd: "r" } },
    { op: "writeEventfd", args: { fd: "e" } },
    write(IOAPIC, ENTRY_LOW),
    write(IOAPIC + 0x10, 0x8000 | VECTOR),
    { op: "readEventfd", args: { fd: "r" } },
  ],
  pollHasBit7: [...VM, { op: "createVcpu", args: { id: 0 } }, { op: "guestInit", args: {} }, line(4, 1), out(0x20, 0x0c), act({ do: "in8", port: 0x20 })],
  refusesReservedIcrBits: [...X2APIC, act({ do: "wrmsr", addr: ICR, value: 0x2000 | VECTOR })],
  keepsX2apicId: [...X2APIC, { op: "setLapic", args: { state: { id: 0x0500_0000 } } }, { op: "getLapic", args: {} }],
  rescansStaleRouting: [
    ...TWO_VCPUS,
    message,
    entry(PIN, { trigMode: 1, destId: 1 }),
    act({ do: "sti" }),
    write(EOI, 0),
    line(PIN, 1),
    line(PIN, 0),
    message,
    act({ do: "iret" }),
    write(EOI, 0),
    readIoapic,
  ],
  hasEoiBroadcastFlags: [{ op: "checkExtension", args: { cap: "X2APIC_API", on: "kvm" } }],
  remoteIrrOnlyWhenAccepted: [...VM, ...WITHOUT_PIC, entry(PIN, { trigMode: 1 }), line(PIN, 1), readIoapic],
  levelWriteClearsDelivered: [...VCPU, entry(PIN, {}), line(PIN, 1), write(IOAPIC, ENTRY_LOW), write(IOAPIC + 0x10, 0x1_8000 | VECTOR), readIoapic],
};

/** Why nobody is asked. */
export const NO_PROBE: Readonly<Partial<Record<ChipRule, string>>> = {
  pausesEoiStorm: "it takes 10,000 EOIs in a row, more than a sequence has",
  wakesOnlyWhenRaised: "a vCPU that looks once more finds nothing that it had not found before",
  mergesPirForRoutes: "it shows only where interrupts are posted, in a race",
};
