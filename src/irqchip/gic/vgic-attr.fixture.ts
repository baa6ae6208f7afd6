import type { VirtualInterface } from "../../arch/gic/contract.js";
import { Process } from "../../host/process.js";
import { Context, setCurrent } from "../../sim/context.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { createVgic, type Vgic } from "./vgic.js";
import type { VgicCompat, VgicDist } from "./vgic-dist.js";
import { FakeVm, hostGicV2, hostGicV3 } from "../../explore/stages/vgic-stage.js";

export const GICD = 0x08000000;
export const GICR = 0x080a0000;
export const GICC = 0x08010000;
export const ALL_ONES = 0xffffffff_ffffffffn;

class Runner extends Context {
  constructor() {
    super("vCPU thread", "vcpu", 0);
  }
  override *body(): Step<void> {}
}

const PAGE = 0x1000;
const PAYLOAD = 0x10000;
/** An address that nothing maps. */
export const UNMAPPED = 0x900000;

const low = (value: bigint): number => Number(BigInt.asIntN(32, value));
const high = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));

export interface AttrOptions {
  /** Ids of the vCPUs in the order of their creation. Default 0 to 3. */
  ids?: readonly number[];
  model?: 2 | 3;
  compat?: VgicCompat;
}

/** A vGIC reached by its device attributes and by the guest's loads and stores, as a VMM and a guest do. */
export class AttrMachine {
  readonly sim: Sim;
  readonly vm: FakeVm;
  readonly vgic: Vgic;
  readonly process: Process;
  private readonly runner = new Runner();

  constructor(options: AttrOptions = {}) {
    const ids = options.ids ?? [0, 1, 2, 3];
    const model = options.model ?? 3;
    const cpus = Math.max(1, ids.length);
    this.sim = new Sim({ cpus });
    this.vm = new FakeVm(this.sim, model === 3 ? hostGicV3(cpus) : hostGicV2(cpus));
    for (const id of ids) this.vm.addVcpu(id);
    const vgic = run(createVgic(this.vm, model, null, { compat: options.compat ?? "newest" }));
    if (typeof vgic === "number") throw new Error(`KVM_CREATE_DEVICE: ${vgic}`);
    this.vgic = vgic;
    this.vm.vgic = vgic;
    this.process = new Process(this.sim, "vmm");
    this.process.memory.map(PAYLOAD, PAGE);
  }

  /** Fixture F0 of gic.md D3, set up by attributes alone; a GICv2 has GICC at 0x08010000 instead of redistributors. */
  static f0(options: AttrOptions = {}): AttrMachine {
    const machine = new AttrMachine(options);
    const isV2 = machine.vgic.model === 2;
    machine.must(machine.setAddr(isV2 ? A.KVM_VGIC_V2_ADDR_TYPE_DIST : A.KVM_VGIC_V3_ADDR_TYPE_DIST, BigInt(GICD)));
    machine.must(isV2 ? machine.setAddr(A.KVM_VGIC_V2_ADDR_TYPE_CPU, BigInt(GICC)) : machine.setAddr(A.KVM_VGIC_V3_ADDR_TYPE_REDIST, BigInt(GICR)));
    machine.must(machine.init());
    machine.must(run(machine.vgic.mapResources()));
    return machine;
  }

  /** KVM_RUN of a vCPU begins or ends, in a thread of its own. */
  running(vcpu: number, isRunning: boolean): void {
    const before = setCurrent(this.runner.task);
    const { mutex } = this.vm.vcpus[vcpu];
    run(isRunning ? mutex.lock() : mutex.unlock());
    setCurrent(before);
  }

  get dist(): VgicDist {
    return this.vgic.dist;
  }

  must(error: number): void {
    if (error !== 0) throw new Error(`errno ${error}`);
  }

  set(group: number, attr: bigint, value: bigint, address = PAYLOAD): number {
    this.process.memory.setU32(PAYLOAD, Number(value & 0xffffffffn));
    this.process.memory.setU32(PAYLOAD + 4, Number((value >> 32n) & 0xffffffffn));
    return run(this.vgic.setAttr(this.process, group, low(attr), high(attr), address));
  }

  /** The value, or a negative errno. `value` is what the payload holds before. */
  get(group: number, attr: bigint, size: 4 | 8 = 4, value = 0n): bigint | number {
    const error = this.getTo(group, attr, PAYLOAD, value);
    if (error !== 0) return error;
    const word = BigInt(this.process.memory.getU32(PAYLOAD));
    return size === 4 ? word : word | (BigInt(this.process.memory.getU32(PAYLOAD + 4)) << 32n);
  }

  getTo(group: number, attr: bigint, address: number, value = 0n): number {
    this.process.memory.setU32(PAYLOAD, Number(value & 0xffffffffn));
    this.process.memory.setU32(PAYLOAD + 4, Number((value >> 32n) & 0xffffffffn));
    return run(this.vgic.getAttr(this.process, group, low(attr), high(attr), address));
  }

  has(group: number, attr: bigint): number {
    return run(this.vgic.hasAttr(this.process, group, low(attr), high(attr)));
  }

  setAddr(type: number, address: bigint): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_ADDR, BigInt(type), address);
  }

  getAddr(type: number, value = 0n): bigint | number {
    return this.get(A.KVM_DEV_ARM_VGIC_GRP_ADDR, BigInt(type), 8, value);
  }

  setRegion(payload: bigint): number {
    return this.setAddr(A.KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, payload);
  }

  setNrIrqs(count: number): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0n, BigInt(count));
  }

  init(): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_CTRL, BigInt(A.KVM_DEV_ARM_VGIC_CTRL_INIT), 0n);
  }

  /** GICD; `cpu` is the id of a GICv2's vCPU. */
  setDist(offset: number, value: number, cpu = 0): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, attrOf(cpu, offset), BigInt(value));
  }

  dist32(offset: number, cpu = 0): number {
    return Number(this.get(A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, attrOf(cpu, offset)));
  }

  /** GICR of the vCPU with this affinity. */
  setRedist(affinity: number, offset: number, value: number): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, attrOf(affinity, offset), BigInt(value));
  }

  redist32(affinity: number, offset: number): number {
    return Number(this.get(A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, attrOf(affinity, offset)));
  }

  setSysreg(encoding: number, value: bigint, affinity = 0): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attrOf(affinity, encoding), value);
  }

  /** The value or a negative errno. */
  sysreg(encoding: number, affinity = 0): number {
    return Number(this.get(A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attrOf(affinity, encoding), 8));
  }

  /** LEVEL_INFO; `attr` is info[31:10] INTID[9:0]. */
  setLevels(attr: number, word: number, affinity = 0): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, attrOf(affinity, attr), BigInt(word));
  }

  levels(attr: number, affinity = 0): number {
    return Number(this.get(A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, attrOf(affinity, attr)));
  }

  /** The guest stores to an address; it is out of the guest meanwhile. */
  store(address: number, value: number | bigint, size = 4, vcpu = 0): void {
    const { base, device } = this.deviceAt(address);
    run(device.mmioWrite(this.vm.vcpus[vcpu], address - base, size, low(BigInt(value)), high(BigInt(value))));
  }

  load(address: number, size = 4, vcpu = 0): number {
    return Number(this.load64(address, size, vcpu) & 0xffffffffn);
  }

  load64(address: number, size = 8, vcpu = 0): bigint {
    const { base, device } = this.deviceAt(address);
    const word = run(device.mmioRead(this.vm.vcpus[vcpu], address - base, size));
    return size === 8 ? BigInt.asUintN(64, (BigInt(device.high) << 32n) | BigInt.asUintN(32, BigInt(word))) : BigInt.asUintN(32, BigInt(word));
  }

  /** A vCPU is loaded, enters the guest, does something there, and leaves. */
  inGuest<T>(vcpu: number, body: (vif: VirtualInterface) => T): T {
    run(this.vgic.load(vcpu, vcpu));
    run(this.vm.enter(this.vm.vcpus[vcpu]));
    const result = body(this.vm.hostGic.virtualInterface(vcpu));
    run(this.vm.exit(this.vm.vcpus[vcpu]));
    run(this.vgic.put(vcpu));
    return result;
  }

  private deviceAt(address: number) {
    const range = this.vm.mmioBus.ranges.find((each) => address >= each.base && address < each.base + each.size);
    if (range === undefined) throw new Error(`nothing at ${address.toString(16)}`);
    return range;
  }
}

const attrOf = (hi: number, lo: number): bigint => (BigInt(hi) << 32n) | BigInt(lo >>> 0);
