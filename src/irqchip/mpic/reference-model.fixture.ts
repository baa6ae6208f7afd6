// The MPIC by the text of mpic.md 4 and 5 alone: sets and plain numbers, nothing of the implementation.

interface Source {
  masked: boolean;
  activity: boolean;
  /** Bits 23 and 22 as they are stored. */
  polarity: boolean;
  sense: boolean;
  priority: number;
  vector: number;
  idr: number;
  targets: Set<number>;
  /** 0 INT, 1 CINT, 2 MCP. */
  output: number;
  pending: boolean;
  isLevel: boolean;
  ignoresMask: boolean;
}

interface Queue {
  readonly members: Set<number>;
  next: number;
  priority: number;
}

interface Cpu {
  ctpr: number;
  raised: Queue;
  servicing: Queue;
  readonly counters: [number, number, number];
  line: boolean;
}

const NOTHING = 0xffff_ffff;
const ABSENT = -6;
const [IPI, TIMER, END] = [256, 260, 264];
const bit = (value: number, n: number): boolean => Math.floor(value / 2 ** n) % 2 === 1;
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const emptyQueue = (): Queue => ({ members: new Set(), next: -1, priority: 0 });

export class MpicReference {
  readonly cpus: Cpu[];
  /** Sources whose end listeners have heard. */
  readonly heard: number[] = [];
  private readonly sources: Source[];
  private readonly msir: bigint[] = numbers(0, 8).map(() => 0n);
  private timers = numbers(0, 4).map(() => ({ count: 0, base: 0x8000_0000 }));
  private spurious = 0xffff;
  private frequency = 0;
  private mode = 0;

  constructor(
    private readonly isV42: boolean,
    private readonly cpuCount: number,
  ) {
    this.cpus = numbers(0, 32).map(() => ({ ctpr: 15, raised: emptyQueue(), servicing: emptyQueue(), counters: [0, 0, 0], line: false }));
    this.sources = numbers(0, END).map((n) => ({ ...fresh(n), idr: 1, targets: new Set(), output: 0, pending: false, ignoresMask: false }));
  }

  // --- 5.1 to 5.3 ---

  private writeIvpr(n: number, value: number): void {
    const source = this.sources[n];
    source.masked = bit(value, 31);
    source.polarity = n < IPI && bit(value, 23);
    source.sense = n < 16 && bit(value, 22);
    source.priority = Math.floor(value / 2 ** 16) % 16;
    source.vector = value % 2 ** 16;
    if (n < 16) source.isLevel = source.sense;
    this.update(n);
  }

  private writeIdr(n: number, value: number): void {
    const source = this.sources[n];
    const normal = numbers(0, this.cpuCount).filter((cpu) => bit(value, cpu));
    const critical = this.isV42 ? [] : numbers(0, this.cpuCount).filter((cpu) => bit(value, 30 - cpu));
    source.idr = [...normal, ...critical.map((cpu) => 30 - cpu), ...(!this.isV42 && bit(value, 31) ? [31] : [])].reduce((sum, n) => sum + 2 ** n, 0);
    source.targets = new Set(critical.length > 0 ? critical : normal);
    if (this.isV42) return;
    source.output = critical.length > 0 ? 1 : 0;
    source.ignoresMask = critical.length > 0;
  }

  private update(n: number): void {
    const source = this.sources[n];
    const active = source.pending && (!source.masked || source.ignoresMask);
    const was = source.activity;
    if (!active && !was) return;
    source.activity = active;
    for (const [cpu, state] of this.cpus.entries()) if (source.targets.has(cpu) && (cpu < this.cpuCount || cpu === 0)) this.pipe(state, n, active, was);
  }

  private pipe(cpu: Cpu, n: number, active: boolean, was: boolean): void {
    const { output, priority } = this.sources[n];
    if (output !== 0) {
      if (active !== was) cpu.counters[output] = (cpu.counters[output] + (active ? 1 : 2 ** 32 - 1)) % 2 ** 32;
      return;
    }
    if (active) cpu.raised.members.add(n);
    else cpu.raised.members.delete(n);
    this.refresh(cpu.raised);
    this.refresh(cpu.servicing);
    if (active && priority > cpu.ctpr) {
      if (cpu.servicing.members.size === 0 || priority > cpu.servicing.priority) cpu.line = true;
      return;
    }
    if (!(cpu.raised.priority > cpu.ctpr && cpu.raised.priority > cpu.servicing.priority)) cpu.line = false;
  }

  private refresh(queue: Queue): void {
    queue.next = queue.priority = -1;
    for (const n of numbers(0, END))
      if (queue.members.has(n) && this.sources[n].priority > queue.priority) {
        queue.next = n;
        queue.priority = this.sources[n].priority;
      }
  }

  /** "Driving an input", behind 5.3. */
  drive(n: number, isHigh: boolean): void {
    const source = this.sources[n];
    if (source.isLevel || isHigh) {
      source.pending = isHigh;
      this.update(n);
    }
    if (source.isLevel || source.output === 0) return;
    source.pending = false;
    this.update(n);
  }

  // --- 5.4 to 5.8 ---

  private acknowledge(number: number): number {
    const cpu = this.cpus[number];
    cpu.line = false;
    this.refresh(cpu.raised);
    const n = cpu.raised.next;
    if (n < 0) return this.spurious;
    const source = this.sources[n];
    let result = this.spurious;
    if (!source.activity || source.priority <= cpu.ctpr) this.update(n);
    else {
      cpu.servicing.members.add(n);
      result = source.vector;
    }
    if (!source.isLevel) {
      source.activity = source.pending = false;
      cpu.raised.members.delete(n);
    }
    if (n >= IPI && n < TIMER) {
      source.targets.delete(number);
      if (source.targets.size > 0) {
        this.drive(n, true);
        this.drive(n, false);
        source.activity = true;
      }
    }
    return result;
  }

  private endOfInterrupt(number: number): void {
    const { raised, servicing } = this.cpus[number];
    this.refresh(servicing);
    const ended = servicing.next;
    if (ended < 0) return;
    servicing.members.delete(ended);
    this.refresh(servicing);
    this.refresh(raised);
    if (raised.members.size > 0 && (servicing.members.size === 0 || raised.priority > servicing.priority)) this.cpus[number].line = true;
    this.heard.push(ended);
  }

  private writeCtpr(cpu: Cpu, value: number): void {
    cpu.ctpr = value % 16;
    if (cpu.raised.priority <= cpu.ctpr) cpu.line = false;
    else if (cpu.raised.priority > cpu.servicing.priority) cpu.line = true;
  }

  private sendIpi(n: number, value: number): void {
    for (const cpu of numbers(0, 32)) if (bit(value, cpu)) this.sources[IPI + n].targets.add(cpu);
    this.drive(IPI + n, true);
    this.drive(IPI + n, false);
  }

  private reset(): void {
    this.spurious = 0xffff;
    this.frequency = this.mode = 0;
    this.timers = this.timers.map(() => ({ count: 0, base: 0x8000_0000 }));
    for (const [n, source] of this.sources.entries()) Object.assign(source, fresh(n), { idr: 1 });
    for (const cpu of this.cpus) Object.assign(cpu, { ctpr: 15, raised: emptyQueue(), servicing: emptyQueue() });
  }

  // --- 4: the map ---

  /** 0, or what is not there. */
  write(offset: number, value: number, cpu: number): number {
    if (offset === 0x1090) return ABSENT;
    if (offset % 16 !== 0 && !(offset >= 0x1_0000 && offset < 0x1_2000)) return 0;
    if (offset < 0x10f0) this.writeGlobal(offset, value, cpu);
    else if (offset < 0x1310) this.writeTimer(offset, value);
    else if (offset === 0x1740) {
      this.msir[Math.floor(value / 2 ** 29)] |= 1n << BigInt(Math.floor(value / 2 ** 24) % 32);
      this.drive(224 + Math.floor(value / 2 ** 29), true);
    } else if (offset >= 0x1_0000 && offset < 0x1_2000) this.writeSource(Math.floor((offset - 0x1_0000) / 0x20), offset % 0x20, value);
    else if (offset >= 0x2_0000) this.writeCpu(Math.floor((offset - 0x2_0000) / 0x1000), offset % 0x1000, value);
    return 0;
  }

  private writeGlobal(offset: number, value: number, cpu: number): void {
    if (offset >= 0x40 && offset <= 0xb0) {
      if (cpu >= 0) this.writeCpu(cpu, offset, value);
    } else if (offset >= 0x10a0 && offset <= 0x10d0) this.writeIvpr(IPI + (offset - 0x10a0) / 16, value);
    else if (offset === 0x10e0) this.spurious = value % 2 ** 16;
    else if (offset === 0x1020 && bit(value, 31)) this.reset();
    else if (offset === 0x1020) this.mode = (bit(value, 29) ? 0x2000_0000 : 0) + (this.isV42 && bit(value, 30) ? 0x4000_0000 : 0);
  }

  private writeTimer(offset: number, value: number): void {
    if (offset === 0x10f0) {
      this.frequency = value;
      return;
    }
    const timer = Math.floor((offset - 0x1100) / 0x40);
    const register = (offset - 0x1100) % 0x40;
    if (timer > 3) return;
    if (register === 0x10) this.timers[timer].base = value;
    else if (register === 0x20) this.writeIvpr(TIMER + timer, value);
    else if (register === 0x30) this.writeIdr(TIMER + timer, value);
  }

  private writeSource(n: number, register: number, value: number): void {
    if (register === 0) this.writeIvpr(n, value);
    else if (register === 0x10) this.writeIdr(n, value);
    else if (register === 0x18 && this.isV42) this.sources[n].output = (value % 256) % 3;
  }

  private writeCpu(number: number, register: number, value: number): void {
    if (register >= 0x40 && register <= 0x70) this.sendIpi((register - 0x40) / 16, value);
    else if (register === 0x80) this.writeCtpr(this.cpus[number], value);
    else if (register === 0xb0) this.endOfInterrupt(number);
  }

  read(offset: number, cpu: number): number {
    const isMessage = offset >= 0x1600 && offset < 0x1800;
    if (isMessage) return offset % 16 === 0 ? this.readMessages(offset) : ABSENT;
    if (offset >= 0x1_0000 && offset < 0x1_2000) return this.readSource(Math.floor((offset - 0x1_0000) / 0x20), offset % 0x20);
    if (offset >= 0x3800 && offset < 0x4000) return 0;
    if (offset % 16 !== 0) return NOTHING;
    if (offset >= 0x2_0000) return this.readCpu(Math.floor((offset - 0x2_0000) / 0x1000), offset % 0x1000);
    return offset < 0x10f0 ? this.readGlobal(offset, cpu) : this.readTimer(offset);
  }

  private readMessages(offset: number): number {
    if (offset < 0x1680) {
      const k = (offset - 0x1600) / 16;
      const value = Number(this.msir[k]);
      this.msir[k] = 0n;
      this.drive(224 + k, false);
      return value;
    }
    return offset === 0x1720 ? numbers(0, 8).reduce((sum, k) => sum + (this.msir[k] === 0n ? 0 : 2 ** k), 0) : 0;
  }

  private readGlobal(offset: number, cpu: number): number {
    if (offset >= 0x40 && offset <= 0xb0) return cpu < 0 ? NOTHING : this.readCpu(cpu, offset);
    if (offset >= 0x10a0 && offset <= 0x10d0) return this.ivpr(IPI + (offset - 0x10a0) / 16);
    if (offset === 0) return this.isV42 ? 0x0040_0402 : 0x0040_0200;
    if (offset === 0x1000) return ((this.isV42 ? 196 : 80) - 1) * 2 ** 16 + (this.cpuCount - 1) * 256 + 2;
    if (offset === 0x1020) return this.mode;
    if (offset === 0x10e0) return this.spurious;
    return offset === 0x1080 || offset === 0x1090 ? 0 : NOTHING;
  }

  /** "Timer read skew": each register reads as the next. */
  private readTimer(offset: number): number {
    if (offset === 0x10f0) return this.frequency;
    const next = (offset - 0x1100) / 16 + 1;
    const timer = Math.floor(next / 4) % 4;
    return [this.timers[timer].count, this.timers[timer].base, this.ivpr(TIMER + timer), this.sources[TIMER + timer].idr][next % 4];
  }

  private readSource(n: number, register: number): number {
    if (register === 0) return this.ivpr(n);
    if (register === 0x10) return this.sources[n].idr;
    return register === 0x18 && this.isV42 ? this.sources[n].output : NOTHING;
  }

  private readCpu(number: number, register: number): number {
    if (register === 0x80) return this.cpus[number].ctpr;
    if (register === 0x90) return number;
    if (register === 0xa0) return this.acknowledge(number);
    return register === 0xb0 ? 0 : NOTHING;
  }

  private ivpr(n: number): number {
    const { masked, activity, polarity, sense, priority, vector } = this.sources[n];
    return (masked ? 2 ** 31 : 0) + (activity ? 2 ** 30 : 0) + (polarity ? 2 ** 23 : 0) + (sense ? 2 ** 22 : 0) + priority * 2 ** 16 + vector;
  }

  /** Pending, as IRQ_ACTIVE reads it, and a bit for each CPU that is targeted. */
  condition(n: number): [isPending: boolean, targets: number] {
    const { pending, targets } = this.sources[n];
    return [pending, [...targets].reduce((sum, cpu) => sum + 2 ** cpu, 0)];
  }
}

/** What a reset gives a source. */
function fresh(n: number): Pick<Source, "masked" | "activity" | "polarity" | "sense" | "priority" | "vector" | "isLevel"> {
  return { masked: true, activity: false, polarity: n >= 16 && n < IPI, sense: false, priority: 0, vector: 0, isLevel: n >= 16 && n < IPI };
}
