import { EINVAL, ENOENT } from "../../uapi/errno.js";

// The contract of xics.md 5 to 9 and 12 in its own words, one call after the other: what the implementation is held to. No
// bit fields, no compare-and-swap, no steps: sets, objects and loops as the sections have them.

const IPI = 2;
const MASKED = 0xff;
const SUCCESS = 0;
const PARAMETER = -4;

interface Source {
  server: number;
  priority: number;
  saved: number;
  resend: boolean;
  maskedPending: boolean;
  isLsi: boolean;
  p: boolean;
  q: boolean;
  exists: boolean;
}

interface Server {
  cppr: number;
  mfrr: number;
  pending: number;
  xisr: number;
  needResend: boolean;
  out: boolean;
  ee: boolean;
  map: Set<number>;
}

/** A word in halves. */
export interface Word {
  readonly hi: number;
  readonly lo: number;
}

export class ReferenceModel {
  private readonly servers = new Map<number, Server>();
  private readonly blocks = new Map<number, Source[]>();
  /** GSIs whose listeners were told, in order. */
  readonly acked: number[] = [];
  /** Resample signals by GSI, of those that have a resampling irqfd. */
  readonly resampled = new Map<number, number>();

  /** Numbers of the sources that exist, ascending. */
  get existing(): number[] {
    const found: number[] = [];
    for (const [id, block] of this.blocks) block.forEach((source, index) => source.exists && found.push(id * 1024 + index));
    return found.sort((a, b) => a - b);
  }

  connect(server: number): void {
    this.servers.set(server, { cppr: 0, mfrr: MASKED, pending: MASKED, xisr: 0, needResend: false, out: false, ee: false, map: new Set() });
  }

  private of(server: number): Server {
    const found = this.servers.get(server);
    if (found === undefined) throw new Error(`no server ${server}`);
    return found;
  }

  private source(irq: number): Source | undefined {
    return this.blocks.get(Math.floor(irq / 1024))?.[irq % 1024];
  }

  /** 8.1 */
  private settled(server: Server): void {
    server.out = server.xisr !== 0 && server.pending < server.cppr;
    if (server.out) server.ee = true;
  }

  // 5.3, 5.4

  write(irq: number, { hi, lo }: Word): number {
    if (irq < 16 || irq >= 0x100000) return -ENOENT;
    const id = Math.floor(irq / 1024);
    if (!this.blocks.has(id)) {
      const empty = (): Source => ({ server: 0, priority: MASKED, saved: MASKED, resend: false, maskedPending: false, isLsi: false, p: false, q: false, exists: false });
      this.blocks.set(id, Array.from({ length: 1024 }, empty));
    }
    const priority = hi % 256;
    const flag = (bit: number): boolean => Math.floor(hi / 2 ** bit) % 2 === 1;
    if (priority !== MASKED && !this.servers.has(lo)) return -EINVAL;
    const source = this.source(irq);
    if (source === undefined) throw new Error("no source");
    source.server = lo;
    source.saved = priority;
    source.priority = flag(9) ? MASKED : priority;
    source.resend = false;
    source.maskedPending = false;
    source.isLsi = flag(8);
    source.p = flag(11) || flag(10);
    source.q = flag(12);
    source.exists = true;
    if (flag(10)) this.deliver(irq, false);
    return 0;
  }

  read(irq: number): Word | number {
    const source = this.source(irq);
    if (source === undefined || !source.exists) return -ENOENT;
    const isMasked = source.priority === MASKED;
    const isPending = source.isLsi ? source.p : source.maskedPending || source.resend;
    let hi = isMasked ? source.saved + 0x200 : source.priority;
    if (source.isLsi) hi += 0x100;
    if (isPending) hi += 0x400;
    if (source.p) hi += 0x800;
    if (source.q) hi += 0x1000;
    return { hi, lo: source.server };
  }

  // 7

  line(irq: number, isHigh: boolean): number {
    const source = this.source(irq);
    if (source === undefined || !source.exists) return -EINVAL;
    if (source.isLsi) {
      if (!isHigh) source.p = source.q = false;
      else if (!source.p) {
        source.p = true;
        source.q = false;
        this.deliver(irq, false);
      }
      return 0;
    }
    if (!isHigh) return 0;
    source.q = source.p;
    source.p = true;
    if (!source.q) this.deliver(irq, false);
    return 0;
  }

  // 8.2, 8.3, 8.4

  private deliver(first: number, checkResend: boolean): void {
    let irq = first;
    let check = checkResend;
    for (;;) {
      const source = this.source(irq);
      if (source === undefined) return;
      const server = this.servers.get(source.server);
      if (server === undefined) return;
      if (check && !source.resend) return;
      source.resend = false;
      if (source.priority === MASKED) {
        source.maskedPending = true;
        return;
      }
      const isAdmitted = source.priority < server.cppr && source.priority < server.mfrr && source.priority < server.pending;
      if (!isAdmitted) {
        server.needResend = true;
        this.settled(server);
        source.resend = true;
        server.map.add(Math.floor(irq / 1024));
        return;
      }
      const before = server.xisr;
      server.xisr = irq;
      server.pending = source.priority;
      this.settled(server);
      if (before === 0 || before === IPI) return;
      irq = before;
      check = false;
    }
  }

  private scan(server: Server): void {
    for (let id = 0; id < 1024; id++) {
      if (!server.map.delete(id)) continue;
      const block = this.blocks.get(id);
      if (block === undefined) continue;
      for (let index = 0; index < 1024; index++) if (block[index].resend) this.deliver(id * 1024 + index, true);
    }
  }

  /** 8.5 */
  private lower(server: Server, cppr: number): void {
    server.cppr = cppr;
    if (server.mfrr < cppr && server.mfrr <= server.pending) {
      server.pending = server.mfrr;
      server.xisr = IPI;
    }
    const isDue = server.needResend;
    server.needResend = false;
    this.settled(server);
    if (isDue) this.scan(server);
  }

  // 9.1

  xirr(self: number): number {
    const server = this.of(self);
    server.ee = false;
    const result = server.cppr * 0x1000000 + server.xisr;
    if (server.xisr === 0) return result;
    server.cppr = server.pending;
    server.pending = MASKED;
    server.xisr = 0;
    this.settled(server);
    return result;
  }

  /** @param fallsThrough virtual mode goes on into the raise after lowering; real mode does not */
  cppr(self: number, value: number, fallsThrough = true): void {
    const server = this.of(self);
    if (value === server.cppr) return;
    if (value > server.cppr) {
      this.lower(server, value % 256);
      if (!fallsThrough) return;
    }
    server.ee = false;
    server.cppr = value % 256;
    let rejected = 0;
    if (value <= server.pending) {
      rejected = server.xisr;
      server.xisr = 0;
      server.pending = MASKED;
    }
    this.settled(server);
    if (rejected !== 0 && rejected !== IPI) this.deliver(rejected, false);
  }

  /** @param missing the status of an irq in no block: the halves differ (14) */
  eoi(self: number, xirr: number, missing = PARAMETER): number {
    this.lower(this.of(self), Math.floor(xirr / 0x1000000) % 256);
    const irq = xirr % 0x1000000;
    if (irq === IPI) return SUCCESS;
    const source = this.source(irq);
    if (source === undefined) return missing;
    if (!source.isLsi) {
      source.p = source.q;
      source.q = false;
    }
    if (source.p) this.deliver(irq, false);
    this.acked.push(irq);
    const signals = this.resampled.get(irq);
    if (signals !== undefined) {
      this.line(irq, false); // 13.2 (a), behind the presentation
      this.resampled.set(irq, signals + 1);
    }
    return SUCCESS;
  }

  ipi(to: number, value: number): number {
    const server = this.servers.get(to);
    if (server === undefined) return PARAMETER;
    const before = server.mfrr;
    server.mfrr = value % 256;
    let rejected = 0;
    if (value < server.cppr && value <= server.pending) {
      rejected = server.xisr;
      server.pending = value;
      server.xisr = IPI;
    }
    const isDue = value > before && server.needResend;
    if (value > before) server.needResend = false;
    this.settled(server);
    if (rejected !== 0 && rejected !== IPI) this.deliver(rejected, false);
    if (isDue) this.scan(server);
    return SUCCESS;
  }

  ipoll(of: number): readonly number[] {
    const server = this.servers.get(of);
    return server === undefined ? [PARAMETER] : [SUCCESS, server.cppr * 0x1000000 + server.xisr, server.mfrr];
  }

  // 9.2

  private writeXive(irq: number, source: Source, server: number, priority: number, saved: number): void {
    source.server = server;
    source.priority = priority % 256;
    source.saved = saved % 256;
    if (priority === MASKED || !(source.maskedPending || source.resend)) return;
    source.maskedPending = false;
    source.resend = false;
    this.deliver(irq, false);
  }

  setXive(irq: number, server: number, priority: number): number {
    const source = this.source(irq);
    if (source === undefined || !this.servers.has(server)) return -3;
    this.writeXive(irq, source, server, priority, priority);
    return 0;
  }

  getXive(irq: number): readonly number[] {
    const source = this.source(irq);
    return source === undefined ? [-3] : [0, source.server, source.priority];
  }

  intOff(irq: number): number {
    const source = this.source(irq);
    if (source === undefined) return -3;
    this.writeXive(irq, source, source.server, MASKED, source.priority);
    return 0;
  }

  intOn(irq: number): number {
    const source = this.source(irq);
    if (source === undefined || !this.servers.has(source.server)) return -3;
    this.writeXive(irq, source, source.server, source.saved, source.saved);
    return 0;
  }

  // 12

  save(self: number): Word {
    const { cppr, xisr, mfrr, pending } = this.of(self);
    return { hi: cppr * 0x1000000 + xisr, lo: mfrr * 0x1000000 + pending * 0x10000 };
  }

  restore(self: number, { hi, lo }: Word): number {
    const server = this.of(self);
    const cppr = Math.floor(hi / 0x1000000);
    const xisr = hi % 0x1000000;
    const mfrr = Math.floor(lo / 0x1000000);
    const pending = Math.floor(lo / 0x10000) % 256;
    if (xisr === 0 && pending !== MASKED) return -EINVAL;
    if (xisr === IPI && (pending !== mfrr || pending >= cppr)) return -EINVAL;
    if (xisr !== 0 && xisr !== IPI && (pending >= mfrr || pending >= cppr || this.source(xisr) === undefined)) return -EINVAL;
    server.ee = false;
    const isScanned = mfrr > server.mfrr;
    const isDue = isScanned && server.needResend;
    Object.assign(server, { cppr, xisr, mfrr, pending });
    if (isScanned) server.needResend = false;
    this.settled(server);
    if (isDue) this.scan(server);
    return 0;
  }

  // What is seen.

  /** One line per server, and one per source of these. */
  state(irqs: readonly number[]): string {
    const lines = [...this.servers].map(([n, s]) => `${n}: ${s.cppr} ${s.mfrr} ${s.pending} ${s.xisr} ${s.needResend} ${s.out} ${s.ee} [${[...s.map].sort((a, b) => a - b).join(" ")}]`);
    for (const irq of irqs) {
      const s = this.source(irq);
      if (s !== undefined) lines.push(`${irq}: ${s.exists} ${s.isLsi} ${s.server} ${s.priority} ${s.saved} ${s.p ? "P" : "-"}${s.q ? "Q" : "-"} ${s.resend} ${s.maskedPending}`);
    }
    return lines.join("\n");
  }
}
