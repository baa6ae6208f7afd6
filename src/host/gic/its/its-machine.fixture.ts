import { run } from "../../../sim/step.js";
import { VLPI_BASE } from "../../../arch/gic/gicr-vlpi.js";
import { NO_DOORBELL } from "../../../arch/gic/its-command.js";
import { GicV3 } from "../gicv3.js";
import { QEMU_GICV3, QEMU_GICV4 } from "../implementation.js";
import { HostRam } from "./host-ram.js";
import { type ItsImplementation, QEMU_ITS, QEMU_ITS_V4 } from "./implementation.js";
import { PhysicalIts } from "./physical-its.js";
import { GICV41, ITS_V41 } from "../../its/its-host.js";

export const RAM = 0x40000000;
const QUEUE = 0x41000000;
const QUEUE_STRIDE = 0x10000;
export const DEVICES = 0x41100000;
export const COLLECTIONS = 0x41200000;
export const VPES = 0x41300000;
export const PROP = 0x41400000;
export const PEND = 0x41500000;
export const ITT = 0x41600000;
export const VPROP = 0x41700000;
export const VPT = 0x41800000;
const VALID = 0x80000000 | 0;

export type Hw = "v3" | "v4.0" | "v4.1";


export const lo = (n: number): number => n % 2 ** 32 | 0;
export const hi = (n: number): number => Math.floor(n / 2 ** 32);

/** A GIC of two CPUs with one or more ITSs, LPIs enabled, collections 0 and 1 to CPUs 0 and 1, device 2 with 32 events. */
export class ItsMachine {
  readonly ram = new HostRam(RAM, 0x2000000);
  readonly gic: GicV3;
  readonly its: PhysicalIts[] = [];
  private readonly at: number[] = [];

  constructor(
    readonly hw: Hw = "v3",
    options: { itses?: number; its?: Partial<ItsImplementation>; deviceTable?: number; vlpiWinsTie?: boolean } = {},
  ) {
    const implementation = hw === "v3" ? QEMU_GICV3 : hw === "v4.0" ? QEMU_GICV4 : GICV41;
    this.gic = new GicV3({ cpus: 2, interrupts: 64, eoiMode: 0, implementation: { ...implementation, vlpiWinsTie: options.vlpiWinsTie ?? false }, ram: this.ram });
    this.gic.boot();
    for (let cpu = 0; cpu < 2; cpu++) {
      this.gicr(cpu, 0x70, lo(PROP) | 0xf, hi(PROP));
      this.gicr(cpu, 0x78, lo(PEND + cpu * 0x10000), 0);
      run(this.gic.writeGicr(cpu, 0, 4, 1));
    }
    const base = hw === "v3" ? QEMU_ITS : hw === "v4.0" ? QEMU_ITS_V4 : ITS_V41;
    for (let i = 0; i < (options.itses ?? 1); i++) {
      const its = new PhysicalIts(this.gic, { ...base, ...options.its });
      this.its.push(its);
      this.at.push(0);
      run(its.write(0x80, 8, lo(QUEUE + i * QUEUE_STRIDE), VALID));
      run(its.write(0x100, 8, (options.deviceTable ?? lo(DEVICES + i * 0x10000)) | 0, VALID | (options.deviceTable === undefined ? 0 : 1 << 30)));
      run(its.write(0x108, 8, lo(COLLECTIONS + i * 0x10000), VALID));
      run(its.write(0x110, 8, lo(VPES + i * 0x10000), VALID));
      run(its.write(0, 4, 1, 0));
      this.mapc(0, 0, i);
      this.mapc(1, 1, i);
      this.mapd(2, i);
    }
  }

  gicr(cpu: number, offset: number, low: number, high: number): void {
    run(this.gic.writeGicr(cpu, offset, 8, low, high));
  }

  /** Queues a command and lets the ITS work. */
  command(words: readonly number[], i = 0): void {
    const at = this.at[i];
    for (let word = 0; word < 8; word++) this.ram.setWord(QUEUE + i * QUEUE_STRIDE + at + 4 * word, words[word] ?? 0);
    this.at[i] = (at + 32) % 0x1000;
    run(this.its[i].write(0x88, 8, this.at[i], 0));
  }

  /** Puts a SYNC in the place of the command that stalls, and tries again. */
  skipStalled(): void {
    const at = QUEUE + (this.creadr() & ~1);
    for (let word = 0; word < 8; word++) this.ram.setWord(at + 4 * word, word === 0 ? 5 : 0);
    run(this.its[0].write(0x88, 8, this.at[0] | 1, 0));
  }

  creadr(i = 0): number {
    return run(this.its[i].read(0x90, 8));
  }

  mapd(device: number, i = 0, isValid = true): void {
    this.command([0x08, device, 4, 0, lo(ITT + i * 0x10000), isValid ? VALID : 0], i);
  }
  mapc(icid: number, cpu: number, i = 0): void {
    this.command([0x09, 0, 0, 0, icid | (cpu << 16), VALID], i);
  }
  mapti(device: number, event: number, intid: number, icid: number): void {
    this.command([0x0a, device, event, intid, icid]);
  }
  int(device: number, event: number): void {
    this.command([0x03, device, event]);
  }
  /** Configures an LPI, and has the hardware look. */
  configure(intid: number, byte: number): void {
    this.ram.setU8(PROP + intid - 8192, byte);
    this.command([0x0d, 0, 0, 0, 0]);
  }
  vmapp(vpe: number, cpu: number, i = 0, isValid = true): void {
    const dw0 = this.hw === "v4.1" ? 0x300 | lo(VPROP) : 0;
    const vpt = VPT + vpe * 0x10000;
    this.command([0x29 | dw0, 0, 9000 + vpe, vpe, cpu << 16, isValid ? VALID : 0, lo(vpt) | 15, 0], i);
  }
  vmapti(event: number, vlpi: number, vpe: number, doorbell = NO_DOORBELL): void {
    this.command([0x2a, 2, event, vpe, vlpi, doorbell]);
  }
  vmovp(vpe: number, cpu: number, i = 0): void {
    this.command([0x22, 0, 1, vpe, cpu << 16], i);
  }

  /** SCHEDULE of KVM (gic-v4.md C5.1); `groups` that the guest has on, bit 0 for group 0: 4.1. */
  schedule(cpu: number, vpe: number, groups = 3): void {
    if (this.hw === "v4.1") {
      this.gicr(cpu, VLPI_BASE + 0x70, lo(VPES), VALID | (2 << 21));
      const enables = ((groups & 1) === 0 ? 0 : 1 << 27) | ((groups & 2) === 0 ? 0 : 1 << 26);
      this.gicr(cpu, VLPI_BASE + 0x78, vpe, VALID | enables);
    } else {
      this.gicr(cpu, VLPI_BASE + 0x70, lo(VPROP) | 15, 0);
      this.gicr(cpu, VLPI_BASE + 0x78, lo(VPT + vpe * 0x10000), VALID | (1 << 29));
    }
  }
  /** DESCHEDULE: PendingLast. */
  deschedule(cpu: number, vpe: number, doorbell = false): boolean {
    const low = this.hw === "v4.1" ? vpe : lo(VPT + vpe * 0x10000);
    this.gicr(cpu, VLPI_BASE + 0x78, low, doorbell ? 1 << 30 : 0);
    return (run(this.gic.readGicr(cpu, VLPI_BASE + 0x7c, 4)) & (1 << 29)) !== 0;
  }

  iar(cpu: number): number {
    return run(this.gic.acknowledge(cpu));
  }
  virtualIar(cpu: number): number {
    return run(this.gic.ich(cpu).acknowledge(1));
  }
  virtualEoi(cpu: number, intid: number): void {
    run(this.gic.ich(cpu).endOfInterrupt(1, intid));
  }
  /** ICH_HCR.En, PMR open, group 1 on. */
  enableVirtual(cpu: number): void {
    this.gic.ich(cpu).hcr = 1;
    this.gic.ich(cpu).vmcr = 0xf0000002 | 0;
  }
}
