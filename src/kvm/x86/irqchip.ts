import { Process } from "../../host/process.js";
import { X86Host } from "../../host/x86/x86-host.js";
import type { X86Compat } from "../../irqchip/x86/chip-rules.js";
import { getIoApicState, setIoApicState } from "../../irqchip/x86/ioapic/record.js";
import type { IoApic } from "../../irqchip/x86/ioapic/ioapic.js";
import { IrqSource } from "../../irqchip/x86/line-sources.js";
import type { LocalApicSet } from "../../irqchip/x86/local-apics.js";
import type { PicPair } from "../../irqchip/x86/pic.js";
import type { EventSink } from "../../sim/event.js";
import { PersonError } from "../../sim/person-error.js";
import { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENXIO } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { KVM_IOAPIC_NUM_PINS, KVM_IRQCHIP_IOAPIC, kvm_ioapic_state, kvm_pic_state } from "../../uapi/x86.js";
import { Route } from "../route.js";
import { RoutingTable } from "../routing-table.js";
import { setIrq, swapRouting } from "../routing.js";
import { Vm } from "../vm.js";
import { EmbeddedVcpu, X86Cpu, type X86CpuListener } from "./cpu.js";
import { inspectIrqchip, type X86Inspection } from "./inspection.js";
import { X86Module } from "./module.js";
import { archOf, createIrqchip } from "./vm-ioctls.js";
import { X86, type X86Vm } from "./x86.js";

/** KVM_MAX_VCPUS: what the RTC pin's record of who has its tick has room for (5.7). */
const MAX_CPUS = 1024;

const isChip = (id: number): boolean => id >= 0 && id <= KVM_IRQCHIP_IOAPIC && Number.isInteger(id);

/** What an embedder decides (x86-irqchip.md 14.3); the defaults are what KVM 6.18 does on an Intel processor. */
export interface X86IrqchipOptions {
  readonly quirks?: {
    /** A message to 0xff reaches every x2APIC (6.2). Default true. */
    readonly x2apicBroadcast?: boolean;
    /** The boot CPU begins with LINT0 as ExtINT (7.1). Default true. */
    readonly lint0?: boolean;
    /** AMD without AVIC: the low nibble of TPR does not survive a guest entry (7.3). Default false. */
    readonly tprLowNibble?: boolean;
    /** The window of a local APIC that is disabled or in x2APIC mode reads ones; off: it is nobody's (7.1). Default true. */
    readonly disabledApicWindow?: boolean;
  };
  /** Lowest priority picks by the vector (6.3); false: by arbitration counters. Default true. */
  readonly vectorHashing?: boolean;
  /** False: every message looks at every local APIC (6.2). Default true. */
  readonly optimizedMap?: boolean;
  /** A seventh LVT entry. Default false. */
  readonly cmci?: boolean;
  /** CPUID has the TSC-deadline timer; the TSC counts nanoseconds. Default true. */
  readonly tscDeadline?: boolean;
  /** CPUID has x2APIC mode. Default true. */
  readonly x2apic?: boolean;
  /** Messages carry 32-bit destinations (KVM_X2APIC_API_USE_32BIT_IDS). Default false. */
  readonly use32BitIds?: boolean;
  /** 0x20: the IOAPIC has an EOI register (5.1). Default 0x11. */
  readonly ioapicVersion?: 0x11 | 0x20;
  /** Which version of Linux: "linux-6.1" (15). Default "newest". */
  readonly userVersion?: X86Compat;
  /** Split mode: GSIs below it are pins of the embedder's IOAPIC (8.3). Default 24. */
  readonly reservedPins?: number;
  /** Takes every hop of every interrupt. */
  readonly trace?: EventSink;
}

/** An entry of the routing table: a GSI to a pin of a chip (0, 1: PIC; 2: IOAPIC), or to a message. u32 each. */
export type X86Route =
  | { readonly gsi: number; readonly chip: 0 | 1 | 2; readonly pin: number }
  | { readonly gsi: number; readonly addressHi?: number; readonly addressLo: number; readonly data: number };

const PHYSICAL_BITS = 46;

/**
 * The interrupt controllers of a PC for an emulator of one, in one object (x86-irqchip.md 14.3): PIC pair, IOAPIC and
 * local APICs ("full"), or local APICs before an IOAPIC of the embedder's ("split"). KVM's own behind it: what it answers
 * is what they answer. In the installed build calls are calls, and a `Step<T>` is a `T`; time is virtual and passes by
 * {@link advance} alone, for timers and the IOAPIC together. examples/x86-irqchip.js embeds one, examples/x86-emulator.js
 * goes through its parts.
 *
 * Of the objects in that section, Pic is {@link PicPair}: its ports by {@link X86Cpu.in} and {@link X86Cpu.out}, `ack`.
 * IoApic has its window by {@link X86Cpu.load} and {@link X86Cpu.store}, and `eoi`. Lapic has `mmioRead`, `mmioWrite`,
 * `msrRead`, `msrWrite`, `cr8`, `setCr8`, `base`, `accept`, `nextInterrupt`, `take`, `eoi`, `get` and `put`. What posts has
 * `postByDevice` and `bytes` in PostedDescriptor, `deliver`, `sync`, `load` and `put` in PostedInterrupts; an Irte is made by
 * `encodeIrte`, read by `decodeIrte`, and has `deliver`.
 */
export class X86Irqchip {
  readonly cpus: X86Cpu[] = [];

  private constructor(
    private readonly vm: Vm,
    private readonly arch: X86Vm,
    private readonly options: X86IrqchipOptions,
  ) {}

  /** The chips after reset, with KVM's default routing in mode "full" (3.2); no CPU yet. */
  static *create(mode: "full" | "split", options: X86IrqchipOptions = {}): Step<X86Irqchip> {
    if (mode !== "full" && mode !== "split") throw new PersonError(`an X86Irqchip is "full" or "split", not "${String(mode)}"`);
    const sim = new Sim({ trace: options.trace ?? null });
    const { quirks = {} } = options;
    const kernel = new X86(1, {
      compat: options.userVersion ?? "newest",
      losesTprLowNibble: quirks.tprLowNibble ?? false,
      ioapicVersion: options.ioapicVersion ?? 0x11,
      lapic: {
        lint0Quirk: quirks.lint0 ?? true,
        disabledWindowQuirk: quirks.disabledApicWindow ?? true,
        hasVectorHashing: options.vectorHashing ?? true,
        hasOptimizedMap: options.optimizedMap ?? true,
        hasCmci: options.cmci ?? false,
      },
    });
    const vm = new Vm(new X86Module(new X86Host(sim, [0])), new Process(sim, "embedder"), kernel, PHYSICAL_BITS);
    const arch = archOf(vm);
    const flags = (options.use32BitIds ? K.KVM_X2APIC_API_USE_32BIT_IDS : 0) | (quirks.x2apicBroadcast === false ? K.KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK : 0);
    if (flags !== 0) succeeded(arch.enableCapability(K.KVM_CAP_X2APIC_API, flags), "use32BitIds and quirks.x2apicBroadcast", options);
    if (mode === "full") succeeded(yield* createIrqchip(vm), "full mode", options);
    else succeeded(arch.enableCapability(K.KVM_CAP_SPLIT_IRQCHIP, options.reservedPins ?? KVM_IOAPIC_NUM_PINS), "split mode", options);
    return new X86Irqchip(vm, arch, options);
  }

  /**
   * One more CPU, with its local APIC after reset. The first is the boot CPU; the others wait for INIT and start-up, which
   * reach them at once, as where a VMM has called KVM_SET_LAPIC for each (6.2).
   * @param id APIC id, below 4,096; default: how many there are
   */
  *addCpu(listener: X86CpuListener = {}, id = this.cpus.length): Step<X86Cpu> {
    const { vm, arch } = this;
    const { apics } = this;
    if (this.cpus.length === MAX_CPUS) throw new PersonError(`an X86Irqchip has at most ${MAX_CPUS} CPUs`);
    if (this.cpus.length === 0) arch.setBootCpu(id);
    const vcpu = new EmbeddedVcpu(vm, arch, id, listener);
    const lapic = yield* apics.add(vcpu);
    vcpu.apic = lapic;
    vm.createdVcpus++;
    arch.vcpus.push(vcpu);
    vm.vcpus.push(vcpu);
    const { x2apic = true, tscDeadline = true } = this.options;
    yield* lapic.setCpuid({ hasX2apic: x2apic, hasTscDeadline: tscDeadline, physicalBits: PHYSICAL_BITS });
    yield* apics.map.dirty();
    yield* apics.map.rebuildIfDirty();
    const cpu = new X86Cpu(vcpu, lapic);
    this.cpus.push(cpu);
    return cpu;
  }

  /** The PIC pair; null in split mode. */
  get pic(): PicPair | null {
    return this.arch.pic;
  }

  /** Null in split mode. */
  get ioapic(): IoApic | null {
    return this.arch.ioapic;
  }

  get apics(): LocalApicSet {
    const { apics } = this.arch;
    if (apics === null) throw new Error("an irqchip without local APICs");
    return apics;
  }

  /** Replaces the whole routing table: 0, or -EINVAL (3.1), with the old one in force. */
  *setRouting(entries: readonly X86Route[]): Step<number> {
    if (entries.length > K.KVM_MAX_IRQ_ROUTES || !entries.every(isRoute)) return -EINVAL;
    const table = RoutingTable.of(this.vm, entries.map(routeOf));
    if (typeof table === "number") return table;
    yield* swapRouting(this.vm, table);
    return 0;
  }

  /**
   * A source drives a GSI (3.3, 3.4).
   * @param level 0 or 1
   * @param wantsStatus KVM_IRQ_LINE_STATUS, which alone asks whether the last RTC tick was consumed (5.7)
   * @returns deliveries; 0: coalesced; -1: masked, or nobody there, also of a GSI that cannot be
   */
  *line(gsi: number, level: number, source: IrqSource = IrqSource.USERSPACE, wantsStatus = false): Step<number> {
    if (!Number.isInteger(gsi) || gsi < 0) return -1;
    return yield* setIrq(this.vm, source, gsi, level, wantsStatus);
  }

  /** A device writes a message (6): deliveries, 0 when nobody accepts, -1 when nobody is there, or -EINVAL. u32 each. */
  *signalMsi(addressHi: number, addressLo: number, data: number): Step<number> {
    return yield* this.apics.signalMsi(addressHi | 0, addressLo | 0, data | 0);
  }

  /** KVM_GET_IRQCHIP's record: 16 bytes of a PIC (0, 1), 216 of the IOAPIC (2); null in split mode, and of another chip. */
  *getChip(id: 0 | 1 | 2): Step<Uint8Array | null> {
    const { pic, ioapic } = this.arch;
    if (pic === null || ioapic === null || !isChip(id)) return null;
    const bytes = new Uint8Array(id === KVM_IRQCHIP_IOAPIC ? kvm_ioapic_state.size : kvm_pic_state.size);
    const view = new DataView(bytes.buffer);
    if (id === KVM_IRQCHIP_IOAPIC) yield* getIoApicState(ioapic, view);
    else yield* pic.getState(id, view);
    return bytes;
  }

  /** KVM_SET_IRQCHIP with such a record, the IOAPIC after the local APICs (13): 0, -ENXIO in split mode, -EINVAL for another chip or length. */
  *setChip(id: 0 | 1 | 2, bytes: Uint8Array): Step<number> {
    const { pic, ioapic } = this.arch;
    if (pic === null || ioapic === null) return -ENXIO;
    if (!isChip(id) || bytes.length !== (id === KVM_IRQCHIP_IOAPIC ? kvm_ioapic_state.size : kvm_pic_state.size)) return -EINVAL;
    const view = new DataView(bytes.slice().buffer);
    if (id === KVM_IRQCHIP_IOAPIC) yield* setIoApicState(ioapic, view);
    else yield* pic.setState(id, view);
    yield* pic.refresh();
    return 0;
  }

  /** Everything that the controllers hold, and nothing of it changed by the look. */
  *inspect(): Step<X86Inspection> {
    return yield* inspectIrqchip(this.vm, this.arch);
  }

  /** Nanoseconds of virtual time. */
  get nowNs(): number {
    return this.vm.sim.now();
  }

  /** Time passes: local APIC timers expire, and the IOAPIC's worker ends the pause of a storm (5.6). */
  *advance(ns: number): Step<void> {
    const { sim } = this.vm;
    yield* sim.runThrough(sim.now() + ns);
  }
}

/** Has it numbers that a record can hold? */
function isRoute(entry: X86Route): boolean {
  const numbers = "chip" in entry ? [entry.gsi, entry.chip, entry.pin] : [entry.gsi];
  return numbers.every((number) => number >>> 0 === number);
}

function routeOf(entry: X86Route): Route {
  const route = new Route();
  route.gsi = entry.gsi;
  if ("chip" in entry) {
    route.type = K.KVM_IRQ_ROUTING_IRQCHIP;
    route.chip = entry.chip;
    route.pin = entry.pin;
  } else {
    route.type = K.KVM_IRQ_ROUTING_MSI;
    route.addressHi = (entry.addressHi ?? 0) >>> 0;
    route.addressLo = entry.addressLo >>> 0;
    route.data = entry.data >>> 0;
  }
  return route;
}

/** Only a kernel that is too old refuses what an embedder can ask for. */
function succeeded(result: number, what: string, { userVersion, reservedPins }: X86IrqchipOptions): void {
  if (result === 0) return;
  throw new Error(`X86Irqchip: ${what} cannot be had with userVersion ${userVersion ?? "newest"} and reservedPins ${reservedPins ?? KVM_IOAPIC_NUM_PINS}`);
}
