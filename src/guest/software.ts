import { armSysReg } from "../uapi/arm.js";
import { Bindings, type DeviceBinding } from "./bindings.js";
import { DriverGuest } from "./driver-guest.js";
import { GICV2_GUEST, GICV3_GUEST } from "./guest-gic.js";
import { type LpiSetup, writeLpis } from "./lpi-setup.js";
import { Assembler, GicField, Label, Op } from "./op.js";

/** An SPI as the guest's driver sets it up. */
export interface SpiSetup {
  readonly intid: number;
  readonly trigger: "level" | "edge";
  /** 0 (most urgent) to 0xf8; default 0xa0. */
  readonly priority?: number;
  /** Index of the vCPU that takes it; default 0. */
  readonly target?: number;
}

/** Where the VM's interrupt controller is, as the guest's firmware would describe it. */
export interface GuestGicMap {
  readonly version: 2 | 3;
  readonly distributor: number;
  /** GICv3: the redistributor frames, one after the other from here. */
  readonly redistributors?: number;
}

/** What the guest's kernel and drivers do; the rest of an Arm guest is fixed. */
export interface GuestSoftwareOptions {
  readonly gic: GuestGicMap;
  /** Guest physical address of the program; default 0x4000_0000. */
  readonly base?: number;
  readonly spis?: readonly SpiSetup[];
  /** GICv3 with an ITS: the events of a device. */
  readonly lpis?: LpiSetup;
  /** PPIs that every vCPU enables. */
  readonly ppis?: readonly number[];
  readonly devices?: readonly DeviceBinding[];
  /** 1: priority drop and deactivation are split. Default 0. */
  readonly eoiMode?: 0 | 1;
  /** What a vCPU does between interrupts. Default "spin". */
  readonly idle?: "spin" | "wfi";
  /** vCPUs that idle as `idle` says, the first ones; default 1. */
  readonly takers?: number;
  /** What every other vCPU does; default as `idle`. Several spinning on one CPU would fight for it. */
  readonly othersIdle?: "spin" | "wfi";
  /** The handler's own work, nanoseconds; by default the profile's. */
  readonly handlerNs?: number;
  /** Written between set-up and idling, for the vCPU with this index; x9 to x12 are the handler's. */
  readonly main?: (code: Assembler, vcpu: number) => void;
  /** Written into the handler after the device was served. */
  readonly onInterrupt?: (code: Assembler) => void;
  /** Number of vCPUs that get an entry; default 1. */
  readonly vcpus?: number;
}

const IAR = 9;
const BINDING = 10;
const ACCESSES = 11;

const PRIORITY = 0xa0;
const GICD_CTLR = 0x000;
const GICD_ISENABLER = 0x100;
const GICD_IPRIORITYR = 0x400;
const GICD_ITARGETSR = 0x800;
const GICD_ICFGR = 0xc00;
const GICD_SGIR = 0xf00;
const GICD_IROUTER = 0x6000;
const GICR_SGI_FRAME = 0x10000;
const GICR_STRIDE = 0x20000;
const ICC_SGI1R = armSysReg(3, 0, 12, 11, 5);

/** A guest kernel with its drivers: the program, and where each vCPU enters it. */
export class GuestSoftware {
  readonly guest: DriverGuest;
  /** Entry address by vCPU index: the PC that user space sets. */
  readonly entries: readonly number[];

  constructor(readonly options: GuestSoftwareOptions) {
    const code = new Assembler(options.base ?? 0x4000_0000);
    const vectors = new Label();
    const entries: number[] = [];
    for (let vcpu = 0; vcpu < (options.vcpus ?? 1); vcpu++) {
      entries.push(code.here);
      writeBoot(code, options, vcpu, vectors);
    }
    writeHandler(code.vectors(vectors), options);
    this.entries = entries;
    const gic = options.gic.version === 2 ? GICV2_GUEST : GICV3_GUEST;
    this.guest = new DriverGuest(code.assemble(), gic, new Bindings(options.devices ?? []));
  }
}

function writeBoot(code: Assembler, options: GuestSoftwareOptions, vcpu: number, vectors: Label): void {
  const { eoiMode = 0, idle: takersIdle = "spin", takers = 1, othersIdle = takersIdle } = options;
  const idle = vcpu < takers ? takersIdle : othersIdle;
  code.setVectors(vectors);
  if (vcpu === 0) writeDistributor(code, options);
  writePrivate(code, options, vcpu);
  if (vcpu === 0 && options.lpis !== undefined) writeLpis(code, options.gic.redistributors ?? 0, options.lpis);
  code.op(Op.GIC, GicField.PMR, 0xf8).op(Op.GIC, GicField.EOI_MODE, eoiMode).op(Op.GIC, GicField.GROUP_ENABLE, 1);
  code.op(Op.MASK, 0);
  options.main?.(code, vcpu);
  const loop = new Label();
  code.place(loop);
  if (idle === "wfi") code.op(Op.WFI).branch(loop);
  else code.op(Op.SPIN);
}

/** The shared interrupts: trigger, priority, target, enable; all trapped accesses that KVM serves. */
function writeDistributor(code: Assembler, options: GuestSoftwareOptions): void {
  const { gic, spis = [] } = options;
  const { distributor, version } = gic;
  code.store(distributor + GICD_CTLR, version === 2 ? 1 : 0x12);
  const words = new Map<number, number>();
  for (const { intid, trigger } of spis) {
    const word = distributor + GICD_ICFGR + 4 * (intid >> 4);
    const bit = trigger === "edge" ? 2 << (2 * (intid & 15)) : 0;
    words.set(word, (words.get(word) ?? 0) | bit);
  }
  for (const [address, value] of words) code.store(address, value);
  for (const { intid, priority = PRIORITY, target = 0 } of spis) {
    code.store(distributor + GICD_IPRIORITYR + intid, priority, 1);
    if (version === 2) code.store(distributor + GICD_ITARGETSR + intid, 1 << target, 1);
    else code.store(distributor + GICD_IROUTER + 8 * intid, affinityOf(target));
    code.store(distributor + GICD_ISENABLER + 4 * (intid >> 5), 1 << (intid & 31));
  }
}

/** SGIs and PPIs of one vCPU. */
function writePrivate(code: Assembler, options: GuestSoftwareOptions, vcpu: number): void {
  const { gic, ppis = [] } = options;
  const frame = gic.version === 2 ? gic.distributor : (gic.redistributors ?? 0) + vcpu * GICR_STRIDE + GICR_SGI_FRAME;
  let enabled = 0xffff;
  for (const ppi of ppis) enabled |= 1 << ppi;
  for (let intid = 0; intid < 32; intid += 4) code.store(frame + GICD_IPRIORITYR + intid, 0xa0a0_a0a0 | 0);
  code.store(frame + GICD_ISENABLER, enabled | 0);
}

/** Acknowledge, serve, end: one interrupt per exception, as Linux takes them; the next is taken at the return. */
function writeHandler(code: Assembler, options: GuestSoftwareOptions): void {
  const { eoiMode = 0, handlerNs = -1 } = options;
  const more = new Label();
  const served = new Label();
  const done = new Label();
  code.op(Op.ACK, IAR).branchIf(Op.SPURIOUS, IAR, done).op(Op.BIND, IAR, BINDING, ACCESSES);
  code.place(more).branchIf(Op.CBZ, ACCESSES, served).op(Op.SERVICE, BINDING).op(Op.SUB, ACCESSES, 1).branch(more);
  code.place(served).wideOp(Op.WORK, handlerNs);
  options.onInterrupt?.(code);
  code.op(Op.EOI, IAR);
  if (eoiMode === 1) code.op(Op.DIR, IAR);
  code.place(done).op(Op.ERET);
}

/** Aff2.Aff1.Aff0 of a vCPU whose id is its index. */
function affinityOf(vcpu: number): number {
  return (vcpu & 0xf) | (((vcpu >> 4) & 0xff) << 8);
}

/** Writes the generation of an SGI for one other vCPU: a trapped register on GICv3, a trapped store on GICv2. */
export function writeSgi(code: Assembler, gic: GuestGicMap, sgi: number, target: number): Assembler {
  if (gic.version === 2) return code.store(gic.distributor + GICD_SGIR, (1 << (16 + target)) | sgi);
  const low = (1 << (target & 0xf)) | (((target >> 4) & 0xff) << 16) | (sgi << 24);
  return code.op(Op.MSR, ICC_SGI1R, low, 0);
}

/** Writes a hypercall with up to three arguments. */
export function writeHvc(code: Assembler, call: number, ...parameters: number[]): Assembler {
  code.op(Op.MOV, 0, call | 0);
  parameters.forEach((value, i) => code.op(Op.MOV, i + 1, value | 0));
  return code.op(Op.HVC);
}
