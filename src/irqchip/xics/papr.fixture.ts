import { PaprMachine, type PaprOptions } from "../../conform/papr-machine.js";
import { type EventName, TraceBuffer } from "../../sim/event.js";
import { run } from "../../sim/step.js";
import { H_CPPR, H_EOI, H_IPI, H_IPOLL, H_XIRR, H_XIRR_X } from "./constants.js";
import { inspectXics, type IcpInspection, type SourceInspection } from "./inspection.js";

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");

/** What a source's word says beside destination and priority. */
export interface Flags {
  readonly server?: number;
  readonly lsi?: boolean;
  readonly masked?: boolean;
  readonly pending?: boolean;
  readonly presented?: boolean;
  readonly queued?: boolean;
}

const bit = (isSet: boolean | undefined, shift: number): number => (isSet ? 1 << shift : 0);

/** The notation of xics.md 23, over system calls and a guest's hypercalls. */
export class Papr {
  readonly trace = new TraceBuffer();
  readonly m: PaprMachine;

  constructor(options: PaprOptions = {}) {
    this.m = new PaprMachine({ trace: this.trace, ...options });
    run(this.m.start());
    this.trace.clear();
  }

  /** Base configuration B: servers 0 and 1 connected, both have performed H_CPPR(0xff). */
  static base(options: PaprOptions = {}): Papr {
    const p = new Papr(options);
    for (let cpu = 0; cpu < p.m.servers.length; cpu++) p.cppr(0xff, cpu);
    p.trace.clear();
    return p;
  }

  /** W(d, p, flags), set. */
  src(irq: number, priority: number, { server = 0, lsi, masked, pending, presented, queued }: Flags = {}): number {
    return this.set(irq, priority | bit(lsi, 8) | bit(masked, 9) | bit(pending, 10) | bit(presented, 11) | bit(queued, 12), server);
  }

  set(irq: number, hi: number, lo: number): number {
    return run(this.m.setSource(irq, hi, lo));
  }

  word(irq: number): string | number {
    return run(this.m.getSource(irq));
  }

  icpWord(cpu = 0): string | number {
    return run(this.m.getIcp(cpu));
  }

  setIcp(hi: number, lo: number, cpu = 0): number {
    return run(this.m.setIcp(cpu, hi, lo));
  }

  line(irq: number, level = 1): number {
    return run(this.m.line(irq, level));
  }

  // Hypercalls: the status, and of those that answer "0xXIRR".

  cppr(value: number, cpu = 0): number {
    return run(this.m.hypercall(cpu, H_CPPR, [value])).status;
  }

  xirr(cpu = 0): string {
    const { status, r4 } = run(this.m.hypercall(cpu, H_XIRR, []));
    return status === 0 ? `0x${hex(r4, 8)}` : `status ${status}`;
  }

  xirrX(cpu = 0): { xirr: string; timebase: number } {
    const { r4, r5 } = run(this.m.hypercall(cpu, H_XIRR_X, []));
    return { xirr: `0x${hex(r4, 8)}`, timebase: r5 };
  }

  eoi(xirr: number, cpu = 0): number {
    return run(this.m.hypercall(cpu, H_EOI, [xirr >>> 0])).status;
  }

  ipi(server: number, mfrr: number, cpu = 0): number {
    return run(this.m.hypercall(cpu, H_IPI, [server, mfrr])).status;
  }

  ipoll(server: number, cpu = 0): { status: number; xirr: string; mfrr: string } {
    const { status, r4, r5 } = run(this.m.hypercall(cpu, H_IPOLL, [server]));
    return { status, xirr: `0x${hex(r4, 8)}`, mfrr: `0x${hex(r5, 2)}` };
  }

  rtas(name: string, args: readonly number[], nret = 1): readonly number[] | null {
    return run(this.m.rtas(name, args, nret));
  }

  setXive(irq: number, server: number, priority: number): number {
    return this.rtas("ibm,set-xive", [irq, server, priority])?.[0] ?? NaN;
  }

  getXive(irq: number): readonly number[] {
    return this.rtas("ibm,get-xive", [irq], 3) ?? [];
  }

  off(irq: number): number {
    return this.rtas("ibm,int-off", [irq])?.[0] ?? NaN;
  }

  on(irq: number): number {
    return this.rtas("ibm,int-on", [irq])?.[0] ?? NaN;
  }

  // What is seen.

  private icpOf(server: number): IcpInspection {
    const icp = inspectXics(this.m.xics).icps.find((each) => each.server === server);
    if (icp === undefined) throw new Error(`no server ${server}`);
    return icp;
  }

  /** "cppr,mfrr,ppri,xisr,nr,out" as the vectors write it. */
  icp(server = 0): string {
    const { cppr, mfrr, pendingPriority, xisr, needResend, out } = this.icpOf(server);
    return `${hex(cppr, 2)},${hex(mfrr, 2)},${hex(pendingPriority, 2)},${hex(xisr, 6)},${needResend ? 1 : 0},${out ? 1 : 0}`;
  }

  /** Blocks in the resend map. */
  rm(server = 0): readonly number[] {
    return this.icpOf(server).resendBlocks;
  }

  source(irq: number): SourceInspection {
    const source = inspectXics(this.m.xics, true).sources.find((each) => each.irq === irq);
    if (source === undefined) throw new Error(`no block of ${irq}`);
    return source;
  }

  pq(irq: number): string {
    return this.source(irq).pq;
  }

  /** The marks of a source: "rs", "mp", both or "". */
  marks(irq: number): string {
    const { resend, maskedPending } = this.source(irq);
    return `${resend ? "rs" : ""}${maskedPending ? "mp" : ""}`;
  }

  ee(cpu = 0): boolean {
    return run(this.m.externalOf(cpu));
  }

  /** GSIs that acknowledge listeners would have been told of since the last look. */
  acks(): readonly number[] {
    const acked = this.trace.events.filter((event) => event.name === "kvm_ack_irq").map((event) => Number(event.args[1]));
    this.trace.clear();
    return acked;
  }

  lines(...names: EventName[]): string[] {
    return this.trace.lines(...names);
  }
}

/** One server that has never lowered its priority. */
export const fresh = (): Papr => new Papr({ servers: [0] });

/** Vector 3: a message is presented. */
export function presented(priority = 5): Papr {
  const p = Papr.base();
  p.src(0x1001, priority);
  p.line(0x1001);
  return p;
}

/** Vector 29: an LSI of server 1. */
export function lsi(server = 1): Papr {
  const p = Papr.base();
  p.src(0x1010, 5, { server, lsi: true });
  return p;
}
