import { ItsOp, NO_DOORBELL } from "../../../arch/gic/its-command.js";
import { DirectMachine, type DirectOptions, GUEST_DEVICE, type Vector } from "../../../explore/stages/direct-machine.js";
import { Outcome } from "../../../host/gic/its/translation.js";
import type { ItsDevice } from "../../../host/its/its-device.js";
import type { ItsVpe } from "../../../host/its/its-vm.js";
import { run } from "../../../sim/step.js";

export const EVENTS = [7, 8, 9, 10] as const;
export const VCPUS = 3;
const CPUS = VCPUS + 1;
const LPI_OF_EVENT = 8193;
const ENABLE_GRP1 = 2;
const VALID = 0x80000000 | 0;
const BYTES = [0xa0, 0xa1, 0x51, 0x31, 0x30, 0xa1];
const CREADR = 0x90;
const CWRITER = 0x88;

/** One thing that guest, VMM, scheduler or device does; which fields matter depends on the kind. */
export interface Act {
  readonly kind: number;
  readonly event: number;
  readonly vcpu: number;
  readonly byte: number;
}

type Perform = (act: Act) => void;
const lpiOf = (event: number): number => LPI_OF_EVENT + event;

/** A guest with VLPIs and a VMM that binds and unbinds its device's vectors; vCPUs come and go on three CPUs. After each act: gic.md D1. */
export class World {
  readonly machine: DirectMachine;
  private readonly vectors: readonly Vector[];
  private readonly isBound = EVENTS.map(() => false);
  /** By vCPU: the CPU that it is loaded on, null; it waits. */
  private readonly loaded: (number | null)[] = new Array<number | null>(VCPUS).fill(null);
  private readonly waits: boolean[] = new Array<boolean>(VCPUS).fill(false);
  private readonly kinds: readonly Perform[];

  constructor(private readonly options: DirectOptions) {
    const machine = new DirectMachine({ vcpus: VCPUS, ...options });
    this.machine = machine;
    machine.gicd(0, ENABLE_GRP1);
    machine.settle();
    for (const event of EVENTS.slice(1)) {
      machine.config(lpiOf(event), 0xa1);
      machine.mapti(event, lpiOf(event), event % VCPUS);
    }
    this.vectors = EVENTS.map((event) => machine.vector(event));
    const on = (op: ItsOp): Perform => ({ event, vcpu }) => machine.onEvent(op, EVENTS[event], vcpu);
    const send: Perform = ({ event }) => machine.send(event);
    this.kinds = [
      (act) => this.bind(act),
      (act) => this.bind(act),
      send,
      send,
      send,
      on(ItsOp.INT),
      on(ItsOp.CLEAR),
      on(ItsOp.MOVI),
      (act) => this.configure(act, false),
      (act) => this.configure(act, true),
      (act) => act.byte % 3 === 0 && machine.onEvent(ItsOp.DISCARD, EVENTS[act.event]),
      ({ event, vcpu }) => machine.mapti(EVENTS[event], lpiOf(EVENTS[event]), vcpu),
      ({ vcpu, byte }) => machine.command([ItsOp.MAPC, 0, 0, 0, vcpu | (byte % VCPUS << 16), VALID]),
      ({ vcpu, byte }) => machine.command([ItsOp.MOVALL, 0, 0, 0, vcpu << 16, 0, byte % VCPUS << 16, 0]),
      ({ byte }) => byte % 8 === 0 && machine.command([ItsOp.MAPD, GUEST_DEVICE, 4, 0, 0x401a0000, VALID]),
      (act) => this.pass(act),
      (act) => this.pass(act),
      (act) => this.pass(act),
      (act) => this.pass(act),
    ];
  }

  get count(): number {
    return this.kinds.length;
  }

  /** What of gic.md D1 does not hold afterwards. */
  apply(act: Act): string[] {
    this.machine.trace.clear();
    const before = this.mappings();
    this.kinds[act.kind % this.kinds.length](act);
    this.machine.settle();
    const faults: string[] = [];
    const say = (text: string): void => void faults.push(text);
    const commands = this.machine.trace.events.filter(({ name }) => name === "its_command");
    if (commands.length > 0 && commands.every(({ args }) => args[3] !== 0) && this.mappings() !== before) say("I13: a command that is an error has an effect");
    this.checkVlpis(say);
    for (let vcpu = 0; vcpu < VCPUS; vcpu++) this.checkVpe(vcpu, say);
    this.checkVm(say);
    return faults;
  }

  /** VFIO registers or unregisters the vector's producer. */
  private bind({ event, byte }: Act): void {
    if (this.isBound[event] && byte % 3 !== 0) return;
    if (this.isBound[event]) this.machine.unbind(this.vectors[event]);
    else this.machine.bind(this.vectors[event]);
    this.isBound[event] = !this.isBound[event];
  }

  private configure({ event, byte }: Act, all: boolean): void {
    this.machine.config(lpiOf(EVENTS[event]), BYTES[byte % BYTES.length]);
    if (!all) this.machine.onEvent(ItsOp.INV, EVENTS[event]);
    else for (let icid = 0; icid < VCPUS; icid++) this.machine.command([ItsOp.INVALL, 0, 0, 0, icid]);
    if (all) for (const each of EVENTS) this.machine.onEvent(ItsOp.INV, each); // collections may share a vCPU
  }

  /** A vCPU is loaded, preempted, begins to wait, or is woken. */
  private pass({ vcpu, byte }: Act): void {
    const { machine, loaded, waits } = this;
    const at = loaded[vcpu];
    if (at !== null && byte % 2 === 0) machine.put(vcpu, at);
    else if (at !== null) {
      machine.wait(vcpu, at);
      waits[vcpu] = true;
    }
    loaded[vcpu] = null;
    const cpu = 1 + (byte % (CPUS - 1));
    if (at !== null || loaded.includes(cpu)) return;
    machine.load(vcpu, cpu);
    if (waits[vcpu]) machine.on(cpu, () => machine.vgic.endWfi(vcpu));
    waits[vcpu] = false;
    loaded[vcpu] = cpu;
  }

  private mappings(): string {
    const { its } = this.machine;
    run(its.itsLock.lock());
    const devices = [...its.devices].map(([id, device]) => [id, ...EVENTS.map((event) => [device.intid(event), device.slot(event)])]);
    const collections = its.collections.inOrder.map(({ id, target }) => [id, target]);
    run(its.itsLock.unlock());
    return JSON.stringify([devices, collections]);
  }

  private lpiOfEvent(event: number): number {
    const { its } = this.machine;
    run(its.itsLock.lock());
    const intid = its.devices.get(GUEST_DEVICE)?.intid(event) ?? 0;
    run(its.itsLock.unlock());
    return intid;
  }

  /** I6, I7, I11, I19. */
  private checkVlpis(say: (text: string) => void): void {
    const { machine } = this;
    const counts = new Array<number>(VCPUS).fill(0);
    for (const event of EVENTS) {
      const lpi = lpiOf(event);
      const irq = run(machine.vgic.dist.lpis.get(lpi));
      const isHeld = this.lpiOfEvent(event) === lpi || this.machine.its.cache.size > 0 || [0, 1, 2].some((vcpu) => machine.listed(vcpu).includes(lpi));
      if (irq === null) {
        if (this.lpiOfEvent(event) === lpi) say(`I6: ${lpi} is mapped and not there`);
        continue;
      }
      if (!isHeld) say(`I6: ${lpi} is there, and nobody's`);
      run(irq.lock.lock());
      const { hw, pendingLatch, priority, enabled, hwintid, targetVcpu } = irq;
      run(irq.lock.unlock());
      run(machine.vgic.dist.lpis.put(irq));
      if (!hw || targetVcpu === null) continue;
      counts[targetVcpu.index]++;
      if (pendingLatch) say(`I19: ${lpi} is latched and a VLPI`);
      const desc = machine.host.desc(hwintid);
      const physical = desc?.data.parent?.hwirq ?? 0;
      const device = machine.itsHost.driver.deviceOf(physical);
      const map = device?.vlpiMaps?.[device.eventOf(physical)] ?? null;
      if (device !== null) this.checkEntry(lpi, device, device.eventOf(physical), machine.vpe(targetVcpu.index), say);
      if (desc?.isForwarded !== true || map?.vintid !== lpi || map.vpe !== machine.vpe(targetVcpu.index)) say(`I7: ${lpi} is mapped to ${map?.vintid} of vPE ${map?.vpe.id}`);
      const byte = (priority & 0xfc) | 2 | (enabled ? 1 : 0);
      if (machine.property(lpi) !== byte) say(`I11: ${lpi} has byte ${machine.property(lpi)}, its hardware's is to be ${byte}`);
    }
    counts.forEach((count, vcpu) => {
      if (machine.vpe(vcpu).vlpis !== count) say(`I7: vPE ${vcpu} counts ${machine.vpe(vcpu).vlpis} VLPIs, has ${count}`);
    });
  }

  /** I7 of the hardware's own tables: the event's entry, and the vPE's. */
  private checkEntry(lpi: number, { deviceId, node, vlpiMaps }: ItsDevice, event: number, vpe: ItsVpe, say: (text: string) => void): void {
    const { translation } = node.its;
    const { is41 } = this.machine.itsHost.driver;
    const outcome = translation.findInterrupt(deviceId, event);
    const { isVirtual, intid, target, doorbell } = translation.interrupt;
    const rings = !is41 && vlpiMaps?.[event]?.isDoorbellOn === true;
    const isRight = outcome === Outcome.DONE && isVirtual && intid === lpi && target === vpe.id && doorbell === (rings ? vpe.doorbellLpi : NO_DOORBELL);
    if (!isRight) say(`I7: the hardware has ${lpi} as ${isVirtual ? "vLPI" : "LPI"} ${intid} of ${target}, doorbell ${doorbell}`);
    if (translation.findVpe(vpe.id) !== Outcome.DONE || translation.vpe.redistributor !== vpe.cpu) say(`I8: the hardware has vPE ${vpe.id} at ${translation.vpe.redistributor}, its driver at ${vpe.cpu}`);
  }

  /** I8, I9, I10, and that who is resident is told. */
  private checkVpe(vcpu: number, say: (text: string) => void): void {
    const { machine } = this;
    const { gic } = machine.itsHost;
    const vpe = machine.vpe(vcpu);
    const hosts = Array.from({ length: CPUS }, (_, cpu) => cpu).filter((cpu) => gic.vlpis(cpu).hosts(vpe.id, vpe.vpt));
    if (hosts.length > 1) say(`I8: vPE ${vcpu} is resident on CPUs ${hosts.join()}`);
    if (vpe.isResident !== (hosts.length === 1 && hosts[0] === vpe.cpu)) say(`I8: vPE ${vcpu} is on ${hosts.join()}, its redistributor is ${vpe.cpu}`);
    const ready = EVENTS.map(lpiOf).filter((lpi) => machine.vpeBit(vcpu, lpi) === 1 && (machine.property(lpi) & 1) === 1);
    const priority = (lpi: number): number => machine.property(lpi) & 0xfc;
    const first = ready.sort((a, b) => priority(a) - priority(b) || a - b)[0] ?? -1;
    if (vpe.isResident && gic.vlpis(vpe.cpu).intid !== first) say(`vPE ${vcpu} is shown ${gic.vlpis(vpe.cpu).intid}, ${first} is first`);
    const left = machine.trace.events.filter(({ name, args }) => name === "vpe_away" && args[1] === vpe.id);
    const isMessage = machine.trace.events.some(({ name }) => name === "its_command" || name === "its_hw_command");
    if (left.length > 0 && !isMessage && !vpe.isResident && !vpe.pendingLast && ready.length > 0) say(`I10: vPE ${vcpu} left with ${first} pending`);
    if (this.waits[vcpu] && !vpe.isResident && !vpe.pendingLast && this.options.hw !== "v4.1" && !this.isArmed(vpe.irq)) say(`I9: vPE ${vcpu} waits without a doorbell`);
  }

  private isArmed(irq: number): boolean {
    const desc = this.machine.host.desc(irq);
    if (desc === null) return false;
    run(desc.lock.lock());
    const isArmed = !desc.isDisabled;
    run(desc.lock.unlock());
    return isArmed;
  }

  /** I12, I14, I15. */
  private checkVm(say: (text: string) => void): void {
    const { machine } = this;
    const [creadr, cwriter] = [CREADR, CWRITER].map((offset) => run(machine.its.mmioRead(machine.vcpus[0], offset, 8)));
    if (creadr !== cwriter) say(`I12: CREADR ${creadr}, CWRITER ${cwriter}`);
    if (machine.v4.cpus.length !== VCPUS) say(`I14: ${machine.v4.cpus.length} vPEs`);
    if (machine.vcpus.some((vcpu) => vcpu.isPaused)) say("I15: the guest stands still");
  }
}
