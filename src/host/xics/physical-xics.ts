import type { IrqPort } from "../../arch/irq-port.js";
import { block, reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { CpuController } from "../cpu.js";
import { PhysicalIcp } from "./physical-icp.js";
import { PhysicalIcs } from "./physical-ics.js";

/** Offsets in a thread's page (xics.md 17). */
export const IcpRegister = { XIRR_POLL: 0x00, XIRR: 0x04, MFRR: 0x0c, LINKA: 0x10, LINKC: 0x18 } as const;
const ONES = 0xff;

/**
 * A physical XICS: the presentation controllers of a machine's threads, and its sources. One register access or one
 * change of an input is atomic, with everything that it sets off between the controllers; then the threads' signals change.
 */
export class PhysicalXics implements CpuController {
  private readonly icps: readonly PhysicalIcp[];
  private readonly ics: PhysicalIcs[] = [];
  private readonly ports: (IrqPort | null)[];
  /** The wires to the threads, which they sample. */
  private readonly signalled: Uint8Array;
  /** Wires that rose and whose ports have not heard of it. */
  private readonly risen: Uint8Array;

  /** @param cpus threads; server n is thread n */
  constructor(readonly cpus: number) {
    this.icps = Array.from({ length: cpus }, () => new PhysicalIcp(this));
    this.ports = new Array<IrqPort | null>(cpus).fill(null);
    this.signalled = new Uint8Array(cpus);
    this.risen = new Uint8Array(cpus);
  }

  /** Sources of one kind in a row; the machine's own, made before it runs. */
  addSources(first: number, count: number, isLsi: boolean): void {
    this.ics.push(new PhysicalIcs(first, count, isLsi, this));
  }

  // What a CPU asks.

  connect(cpu: number, port: IrqPort): void {
    this.ports[cpu] = port;
  }

  isSignalled(cpu: number): boolean {
    return this.signalled[cpu] !== 0;
  }

  /** A load of XIRR. */
  *accept(cpu: number): Step<number> {
    yield writes(this, "ICP");
    const xirr = this.icps[cpu].accept();
    yield* this.signal();
    return xirr;
  }

  /** A store to XIRR. */
  *endOfInterrupt(cpu: number, xirr: number): Step<void> {
    yield writes(this, "ICP");
    this.icps[cpu].eoi(xirr);
    yield* this.signal();
  }

  *setCppr(cpu: number, cppr: number): Step<void> {
    yield writes(this, "ICP");
    this.icps[cpu].setCppr(cppr);
    yield* this.signal();
  }

  /** A store to the MFRR of any thread. */
  *setMfrr(cpu: number, mfrr: number): Step<void> {
    yield writes(this, "ICP");
    this.icps[cpu].setMfrr(mfrr);
    yield* this.signal();
  }

  /** A load from a thread's page: unsigned; what is no register reads as ones. */
  *read(cpu: number, offset: number, size: 1 | 4): Step<number> {
    if (offset === IcpRegister.XIRR && size === 4) return (yield* this.accept(cpu)) >>> 0;
    yield reads(this, "ICP");
    const icp = this.icps[cpu];
    if (size === 1) {
      if (offset === IcpRegister.XIRR_POLL || offset === IcpRegister.XIRR) return icp.cppr;
      return offset === IcpRegister.MFRR ? icp.mfrr : ONES;
    }
    if (offset === IcpRegister.XIRR_POLL) return icp.xirr >>> 0;
    return isLink(offset) ? icp.links[linkOf(offset)] >>> 0 : 0xffff_ffff;
  }

  /** A store to a thread's page; one to what is no register of that width is ignored. */
  *write(cpu: number, offset: number, size: 1 | 4, value: number): Step<void> {
    if (offset === IcpRegister.XIRR && size === 4) yield* this.endOfInterrupt(cpu, value);
    else if (offset === IcpRegister.XIRR && size === 1) yield* this.setCppr(cpu, value & 0xff);
    else if (offset === IcpRegister.MFRR && size === 1) yield* this.setMfrr(cpu, value & 0xff);
    else if (isLink(offset) && size === 4) {
      yield writes(this, "ICP");
      this.icps[cpu].links[linkOf(offset)] = value;
    }
  }

  // What a source's owner asks.

  /** The level of an LSI, or a message. */
  *input(irq: number, isHigh: boolean): Step<void> {
    yield writes(this, "ICP");
    this.icsOf(irq)?.input(irq, isHigh);
    yield* this.signal();
  }

  /** A source's server and priority. */
  *setEntry(irq: number, server: number, priority: number): Step<void> {
    yield writes(this, "ICP");
    this.icsOf(irq)?.setEntry(irq, server, priority);
    yield* this.signal();
  }

  /** Is there such a source? A machine's are fixed. */
  *hasSource(irq: number): Step<boolean> {
    yield reads(this, "ICP");
    return this.icsOf(irq) !== undefined;
  }

  private icsOf(irq: number): PhysicalIcs | undefined {
    return this.ics.find((ics) => ics.has(irq));
  }

  /** Every thread's wire, in one access with the change; then the ports of those that rose, each of which looks for itself. */
  private *signal(): Step<void> {
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const isHigh = this.icps[cpu].output;
      if (isHigh && this.signalled[cpu] === 0) this.risen[cpu] = 1;
      this.signalled[cpu] = isHigh ? 1 : 0;
    }
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const port = this.ports[cpu];
      if (this.risen[cpu] === 0 || port === null) continue;
      this.risen[cpu] = 0;
      yield* port.irq(true);
    }
  }

  // What the halves tell each other.

  present(irq: number, server: number, priority: number): void {
    if (server < this.cpus) this.icps[server].present(irq, priority);
    else this.rejected(irq);
  }

  rejected(irq: number): void {
    this.icsOf(irq)?.rejected(irq);
  }

  ended(irq: number): void {
    this.icsOf(irq)?.ended(irq);
  }

  resend(): void {
    for (let i = 0; i < this.ics.length; i++) this.ics[i].resend();
  }
}
block(PhysicalXics, "icps", "ics");

const isLink = (offset: number): boolean => offset >= IcpRegister.LINKA && offset <= IcpRegister.LINKC && (offset & 3) === 0;
const linkOf = (offset: number): number => (offset - IcpRegister.LINKA) >> 2;
