import { GITS_TRANSLATER } from "../../arch/gic/gits.js";
import { ItsOp } from "../../arch/gic/its-command.js";
import { eventfdContextOf } from "../../host/eventfd.js";
import type { ItsHost, ItsHostOptions, LpiHardware } from "../../host/its/its-host.js";
import { ItsVm, type ItsVpe } from "../../host/its/its-vm.js";
import { irqActivate } from "../../host/irq/state.js";
import { type IrqAction, IrqReturn } from "../../host/irq/types.js";
import { IrqBypassProducer } from "../../host/irqbypass.js";
import type { MsiDevice } from "../../host/msi.js";
import { Thread } from "./threads.js";
import { GuestMachine, type MachineOptions, RAM } from "./guest-machine.js";
import { run, type Step } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import * as K from "../../uapi/kvm.js";
import { Its } from "../../irqchip/gic/its/its.js";
import type { VgicV4 } from "../../irqchip/gic/v4/v4.js";
import type { VgicIrq } from "../../irqchip/gic/vgic-irq.js";

export const ITS = 0x08080000;
const DEVICES = RAM + 0x100000;
const COLLECTIONS = RAM + 0x110000;
const QUEUE = RAM + 0x120000;
const PROPERTIES = RAM + 0x130000;
const PENDING = RAM + 0x140000;
const ITT = RAM + 0x1a0000;
const VALID = 0x80000000 | 0;
const ROUTES = 0x10000 + 0x200;
/** The assigned device, as the host's ITS and as the guest's know it. */
export const HOST_DEVICE = 0x100;
export const GUEST_DEVICE = 2;

/** A function of the host whose vectors VFIO has. */
class Card implements MsiDevice {
  readonly name = "vf";
  readonly maxVectors = 32;
  readonly messages: { address: number; data: number }[] = [];
  constructor(readonly deviceId: number) {}
  *writeMessage(index: number, address: number, data: number): Step<void> {
    this.messages[index] = { address, data };
  }
  *setMasked(): Step<void> {}
}

/** VFIO's handler of a vector. */
class Trigger implements IrqAction {
  runs = 0;
  constructor(private readonly signal: () => Step<void>) {}
  *handler(): Step<number> {
    this.runs++;
    yield* this.signal();
    return IrqReturn.HANDLED;
  }
}

class Producer extends IrqBypassProducer {}

/** One vector of the card, and the eventfd that carries it. */
export interface Vector {
  readonly irq: number;
  readonly gsi: number;
  readonly eventfd: number;
  readonly trigger: Trigger;
  readonly producer: Producer;
}

export interface DirectOptions extends Omit<MachineOptions, "its"> {
  readonly hw?: LpiHardware;
  readonly itses?: readonly number[];
  /** Of the physical ITSs: where they differ from QEMU's, and which one a device is behind. */
  readonly its?: ItsHostOptions["its"];
  readonly itsOf?: ItsHostOptions["itsOf"];
  /** Redistributors take their time over pending tables: Dirty is seen, and a context of theirs ends it. */
  readonly parsesLate?: boolean;
  /** GICv4.1: redistributors keep what is pending to themselves until VMAPP V=0. */
  readonly cachesPending?: boolean;
}

/**
 * Fixture F2 of gic.md D5: a GICv4 host, a VM with one ITS whose guest has mapped device 2 (32 events), collections 0 to 3 to
 * its vCPUs, and LPIs enabled; LPI 8200 is event 7 in collection 1.
 */
export class DirectMachine extends GuestMachine {
  readonly itsHost: ItsHost;
  readonly its: Its;
  readonly card = new Card(HOST_DEVICE);
  private at = 0;
  private readonly irqs: number[] = [];
  private readonly routes: { gsi: number; event: number; address: number }[] = [];
  /** KVM_MSI flags of its routes. */
  routeFlags = K.KVM_MSI_VALID_DEVID;

  constructor(options: DirectOptions = {}) {
    const { hw = "v4.0", vcpus = 2, itses, its, itsOf, vgicV4Enable = true, parsesLate = false, cachesPending = false, ...rest } = options;
    super({ ...rest, vcpus, vgicV4Enable, its: { hw, cachesPending, ...(itses && { itses }), ...(its && { its }), ...(itsOf && { itsOf }) } });
    if (this.lpis === null) throw new Error("no ITS");
    this.itsHost = this.lpis;
    if (parsesLate) this.parseLate();
    this.its = this.createIts(ITS);
    for (let i = 0; i < vcpus; i++) {
      this.gicr(i, 0x70, 8, (PROPERTIES | 0xf) >>> 0);
      this.gicr(i, 0x78, 8, PENDING + i * 0x10000);
      this.gicr(i, 0, 4, 1);
    }
    this.gits(0x100, 8, DEVICES, VALID);
    this.gits(0x108, 8, COLLECTIONS, VALID);
    this.gits(0x80, 8, QUEUE, VALID);
    this.gits(0, 4, 1, 0);
    this.command([ItsOp.MAPD, GUEST_DEVICE, 4, 0, ITT, VALID]);
    for (let i = 0; i < vcpus; i++) this.command([ItsOp.MAPC, 0, 0, 0, i | (i << 16), VALID]);
    this.config(8200, 0xa1);
    this.mapti(7, 8200, 1);
  }

  private parseLate(): void {
    const { gic } = this.itsHost;
    for (let cpu = 0; cpu < gic.cpus; cpu++) {
      const redistributor = new Thread(`redistributor ${cpu}`, "hardware", () => gic.settleVlpis(cpu));
      gic.vlpis(cpu).parseLater(() => this.sim.wake(redistributor, 0));
    }
  }

  /** KVM_CREATE_DEVICE of an ITS, with its address. */
  createIts(base: number): Its {
    const view = new DataView(new ArrayBuffer(K.kvm_create_device.size));
    K.kvm_create_device.type.set(view, K.KVM_DEV_TYPE_ARM_VGIC_ITS);
    const made = this.call(this.vmFd, K.KVM_CREATE_DEVICE, view);
    if (made < 0) throw new Error(`no ITS: ${made}`);
    const fd = this.process.memory.getU32(0x10000 + K.kvm_create_device.fd.offset);
    this.setAttr(fd, A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE, base);
    this.itsFds.push(fd);
    return this.vgic.dist.itses[this.vgic.dist.itses.length - 1];
  }
  readonly itsFds: number[] = [];

  gits(offset: number, size: number, low: number, high: number): void {
    run(this.its.mmioWrite(this.vcpus[0], offset, size, low | 0, high));
  }

  gicr(cpu: number, offset: number, size: number, low: number): void {
    const frame = this.vgic.dist.frames.redist(this.vgic.dist.cpus[cpu]);
    run(frame.mmioWrite(this.vcpus[cpu], offset, size, low | 0, 0));
  }

  /** The guest writes GICD_CTLR, or reads a register of its distributor or redistributors. */
  gicd(offset: number, low: number): void {
    run(this.vgic.dist.frames.distributor.mmioWrite(this.vcpus[0], offset, 4, low, 0));
  }
  distributor(offset: number): number {
    return run(this.vgic.dist.frames.distributor.mmioRead(this.vcpus[0], offset, 4));
  }
  redist(cpu: number, offset: number): number {
    return run(this.vgic.dist.frames.redist(this.vgic.dist.cpus[cpu]).mmioRead(this.vcpus[cpu], offset, 4));
  }
  /** A bit of a vPE's pending table. */
  vpeBit(cpu: number, intid: number): number {
    return (this.itsHost.gic.ram.u8(this.vpe(cpu).vpt + (intid >>> 3)) >>> (intid & 7)) & 1;
  }
  /** INTIDs on a vCPU's list. */
  listed(cpu: number): number[] {
    const { apList } = this.vgic.dist.cpus[cpu];
    const all: number[] = [];
    run(apList.lock.lock());
    for (let irq = apList.head; irq !== null; irq = irq.apNext) all.push(irq.intid);
    run(apList.lock.unlock());
    return all;
  }

  /** The guest queues a command. */
  command(words: readonly number[]): void {
    this.gits(0x88, 8, this.queue(words), 0);
  }
  /** Puts a command behind those that are in the queue, unannounced: where CWRITER goes then. */
  queue(words: readonly number[]): number {
    for (let i = 0; i < 8; i++) this.poke(QUEUE + this.at + 4 * i, words[i] ?? 0);
    this.at = (this.at + 32) % 0x1000;
    return this.at;
  }
  /** vCPU 0 writes CWRITER, for a context of a program. */
  *announce(cwriter: number): Step<void> {
    yield* this.its.mmioWrite(this.vcpus[0], 0x88, 8, cwriter, 0);
  }
  mapti(event: number, intid: number, icid: number): void {
    this.command([ItsOp.MAPTI, GUEST_DEVICE, event, intid, icid]);
  }
  onEvent(op: ItsOp, event: number, icid = 0): void {
    this.command([op, GUEST_DEVICE, event, 0, icid]);
  }

  /** The guest configures an LPI, without INV. */
  config(intid: number, byte: number): void {
    this.process.memory.setU8(this.hva(PROPERTIES + intid - 8192), byte);
  }
  *configStep(intid: number, byte: number): Step<void> {
    yield* this.vgic.dist.vm.ram.writeByte(PROPERTIES + intid - 8192, byte);
  }
  configOf(intid: number): number {
    return this.process.memory.getU8(this.hva(PROPERTIES + intid - 8192));
  }
  /** What the hardware has of a VLPI's configuration. */
  property(intid: number): number {
    return this.itsHost.gic.ram.u8(this.v4.vm.vprop + intid - 8192);
  }
  private poke(gpa: number, value: number): void {
    this.process.memory.setU32(this.hva(gpa), value >>> 0);
  }
  private hva(gpa: number): number {
    return 0x7f00_0000_0000 + gpa - RAM;
  }
  /** Is an LPI's bit set in the guest's pending table of a vCPU? */
  savedBit(cpu: number, intid: number): boolean {
    return (this.process.memory.getU8(this.hva(PENDING + cpu * 0x10000 + (intid >>> 3))) & (1 << (intid & 7))) !== 0;
  }

  get v4(): VgicV4 {
    const { v4 } = this.vgic.dist;
    if (v4 === null) throw new Error("no GICv4");
    return v4;
  }
  vpe(cpu: number): ItsVpe {
    return this.v4.cpus[cpu].vpe;
  }

  /** A vector of the card with its eventfd and irqfd; `event` is what the guest programmed it to. */
  vector(event: number, address = ITS + GITS_TRANSLATER): Vector {
    const index = this.routes.length;
    const gsi = 100 + index;
    const irqs: number[] = [];
    const irq = run(this.itsHost.msi.alloc(this.card, index, 1, irqs));
    const desc = this.host.desc(irq);
    if (desc === null) throw new Error(`no irq: ${irq}`);
    run(desc.lock.lock());
    run(irqActivate(desc));
    run(desc.lock.unlock());
    this.irqs.push(irq);
    this.routes.push({ gsi, event, address });
    this.route();
    run(this.setRoutes());
    const eventfd = this.irqfd(gsi);
    const context = this.context(eventfd);
    const trigger = new Trigger(() => context.signal());
    if (run(this.host.requestIrq(irq, trigger, 0, "vfio-msi", trigger)) !== 0) throw new Error("request_irq");
    return { irq, gsi, eventfd, trigger, producer: new Producer(irq) };
  }

  private context(fd: number) {
    const context = eventfdContextOf(this.process, fd);
    if (typeof context === "number") throw new Error(`no eventfd: ${context}`);
    return context;
  }

  /** The argument of KVM_SET_GSI_ROUTING, with every route that there is. */
  private route(): void {
    const { size } = K.kvm_irq_routing_entry;
    const view = new DataView(new ArrayBuffer(K.kvm_irq_routing.size + this.routes.length * size));
    K.kvm_irq_routing.nr.set(view, this.routes.length);
    this.routes.forEach((each, i) => {
      const base = K.kvm_irq_routing.size + i * size;
      const entry = K.kvm_irq_routing_entry;
      entry.gsi.set(view, each.gsi, base);
      entry.type.set(view, K.KVM_IRQ_ROUTING_MSI, base);
      entry.flags.set(view, this.routeFlags, base);
      entry.msi.address_lo.set(view, each.address, base);
      entry.msi.data.set(view, each.event, base);
      entry.msi.devid.set(view, GUEST_DEVICE, base);
    });
    this.process.memory.copyOut(ROUTES, new Uint8Array(view.buffer));
  }

  private *setRoutes(): Step<void> {
    const result = yield* this.process.ioctl(this.vmFd, K.KVM_SET_GSI_ROUTING, ROUTES);
    if (result !== 0) throw new Error(`KVM_SET_GSI_ROUTING: ${result}`);
  }

  reroute(vector: Vector, event: number, address = ITS + GITS_TRANSLATER): void {
    run(this.rerouting(vector, event, address));
    this.settle();
  }
  *rerouting(vector: Vector, event: number, address = ITS + GITS_TRANSLATER): Step<void> {
    const route = this.routes.find(({ gsi }) => gsi === vector.gsi);
    if (route === undefined) throw new Error("no route");
    Object.assign(route, { event, address });
    this.route();
    yield* this.setRoutes();
  }

  /** VFIO registers the vector's producer: 0 or a negative errno. */
  bind(vector: Vector): number {
    const result = run(this.bindStep(vector));
    this.settle();
    return result;
  }
  *bindStep(vector: Vector): Step<number> {
    return yield* this.host.irqBypass.registerProducer(vector.producer, this.context(vector.eventfd));
  }
  /** The card is another VM's from now on: no more of its events can be forwarded for this one. */
  refuseForwarding(): void {
    const { driver } = this.itsHost;
    const [first] = this.irqs;
    const device = driver.deviceOf(this.host.desc(first)?.data.parent?.hwirq ?? 0);
    if (device === null) throw new Error("no device");
    device.vm = new ItsVm(this.sim, driver.nodes.length);
  }
  unbind(vector: Vector): void {
    run(this.host.irqBypass.unregisterProducer(vector.producer));
    this.settle();
  }
  /** What a vCPU thread does on a physical CPU, to its end. */
  on(cpu: number, what: () => Step<void>): void {
    this.sim.wake(new Thread("vcpu thread", "vcpu", what, cpu), 0);
    this.settle();
  }
  load(vcpu: number, cpu: number): void {
    this.on(cpu, () => this.vgic.load(vcpu, cpu));
  }
  put(vcpu: number, cpu: number): void {
    this.on(cpu, () => this.vgic.put(vcpu));
  }
  /** The guest's WFI begins: what of it is the vGIC's. */
  wait(vcpu: number, cpu: number): void {
    this.on(cpu, () => this.vgic.beginWfi(vcpu));
    this.put(vcpu, cpu);
  }

  /** A vector that goes straight into the guest. */
  direct(event: number): Vector {
    const vector = this.vector(event);
    if (this.bind(vector) !== 0) throw new Error("the producer was refused");
    return vector;
  }

  /** The device sends. */
  send(index = 0): void {
    run(this.sendStep(index));
    this.settle();
  }
  *sendStep(index = 0): Step<void> {
    const { address, data } = this.card.messages[index];
    yield* this.itsHost.msi.write(HOST_DEVICE, 0, address, data);
  }

  /** For a program: is the VLPI pending and enabled, its vPE resident on the CPU, and the guest there not told? */
  isUntold(vcpu: number, cpu: number, intid = 8200): boolean {
    const isPending = this.vpeBit(vcpu, intid) === 1 && (this.configOf(intid) & 1) === 1;
    return isPending && this.vpe(vcpu).isResident && this.itsHost.gic.vlpis(cpu).intid !== intid;
  }

  /** Physical commands since the last call, SYNC and VSYNC left out unless asked for: "VMAPTI 256 0 1". */
  physical(withSync = false): string[] {
    const events = this.trace.events.filter((each) => each.name === "its_hw_command");
    this.trace.clear();
    const lines = events.map(({ args }) => [String(args[0]).split(":")[1], ...args.slice(1, 4)].join(" ").replaceAll(" -1", ""));
    return withSync ? lines : lines.filter((line) => !line.includes("SYNC"));
  }

  get guest(): { acknowledged: number } {
    return this.software.guest.stats;
  }
  /** What KVM_SET_GSI_ROUTING makes of an event. */
  message(event: number) {
    return { addressLo: ITS + GITS_TRANSLATER, addressHi: 0, data: event, flags: K.KVM_MSI_VALID_DEVID, devid: GUEST_DEVICE };
  }
  hasVlpi(intid: number): boolean {
    return this.ofLpi(intid, (irq) => irq.hw);
  }
  latched(intid: number): boolean {
    return this.ofLpi(intid, (irq) => irq.pendingLatch);
  }
  private ofLpi(intid: number, ask: (irq: VgicIrq) => boolean): boolean {
    const irq = run(this.vgic.dist.lpis.get(intid));
    if (irq === null) return false;
    run(irq.lock.lock());
    const answer = ask(irq);
    run(irq.lock.unlock());
    run(this.vgic.dist.lpis.put(irq));
    return answer;
  }

  /** Events of these names, since the trace was cleared. */
  lines(...names: Parameters<typeof this.trace.lines>): string[] {
    return this.trace.lines(...names);
  }
  /** INTIDs that guests have acknowledged, as "vcpu:intid". */
  acknowledged(): string[] {
    return this.trace.events.filter((each) => each.name === "guest_ack").map(({ args }) => `${args[0]}:${args[1]}`).filter((each) => !each.endsWith(":1023"));
  }
}
