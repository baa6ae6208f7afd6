import type { RegisterFrame } from "../../arch/gic/register-table.js";
import { W32 } from "../../arch/gic/register-table.js";
import type { Step } from "../../sim/step.js";
import { ENXIO } from "../../uapi/errno.js";
import type { IrqchipVcpu } from "../contract.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { UserFrame, VgicDist } from "./vgic-dist.js";
import { IrqField, readIrqs, writeIrqs } from "./vgic-irq-regs.js";

/** What KVM gives a distributor and a redistributor as product and implementer; the revision goes into [15:12]. */
export const KVM_IIDR = 0x4b00043b;
export const IIDR_REVISION_SHIFT = 12;
export const IIDR_REVISION_MASK = 0xf << IIDR_REVISION_SHIFT;

/** A frame of registers that the guest reaches by MMIO and user space by attributes (gic-v3.md A4). */
export abstract class VgicFrame implements UserFrame {
  high = 0;

  /**
   * @param fields row to {@link IrqField}
   * @param absent rows that KVM does not have: RAZ/WI, and no attribute
   */
  constructor(
    readonly dist: VgicDist,
    private readonly registers: RegisterFrame,
    private readonly fields: Int8Array,
    private readonly absent: readonly number[],
  ) {}

  *mmioRead(vcpu: IrqchipVcpu, offset: number, size: number): Step<number> {
    const row = this.rowAt(offset, size);
    if (row < 0) {
      this.high = 0;
      return 0;
    }
    const cpu = this.dist.cpus[vcpu.index];
    return yield* this.access(row, offset, size, cpu, cpu);
  }

  *mmioWrite(vcpu: IrqchipVcpu, offset: number, size: number, low: number, high: number): Step<void> {
    const row = this.rowAt(offset, size);
    if (row < 0) return;
    const cpu = this.dist.cpus[vcpu.index];
    yield* this.modify(row, offset, size, cpu, low, high, cpu);
  }

  *userRead(cpu: VgicCpu, offset: number): Step<number> {
    const row = this.knownRowAt(offset, W32);
    if (row < 0) return -ENXIO;
    this.dist.userValue = this.isBeyond(row, offset) ? 0 : yield* this.access(row, offset, W32, cpu, null);
    return 0;
  }

  *userWrite(cpu: VgicCpu, offset: number, value: number): Step<number> {
    const row = this.knownRowAt(offset, W32);
    if (row < 0) return -ENXIO;
    return this.isBeyond(row, offset) ? 0 : yield* this.modify(row, offset, W32, cpu, value, 0, null);
  }

  has(offset: number): boolean {
    return this.rowAt(offset, W32) >= 0;
  }

  private *access(row: number, offset: number, size: number, cpu: VgicCpu, requester: VgicCpu | null): Step<number> {
    const field = this.fields[row];
    if (field === IrqField.NONE) return yield* this.read(row, offset, size, cpu, requester);
    const bits = this.registers.table[row].perInterrupt;
    const intid = this.intidAt(row, offset);
    if (!this.serves(intid)) return 0;
    return yield* readIrqs(this.dist, this.ownerOf(cpu), field, intid, (size * 8) / bits, bits, requester === null);
  }

  private *modify(row: number, offset: number, size: number, cpu: VgicCpu, low: number, high: number, requester: VgicCpu | null): Step<number> {
    const field = this.fields[row];
    if (field === IrqField.NONE) return yield* this.write(row, offset, size, cpu, low, high, requester);
    const bits = this.registers.table[row].perInterrupt;
    const intid = this.intidAt(row, offset);
    if (this.serves(intid) && this.mayWrite(field, requester)) yield* writeIrqs(this.dist, this.ownerOf(cpu), field, intid, (size * 8) / bits, bits, low, requester);
    return 0;
  }

  /** -1: RAZ/WI. */
  private rowAt(offset: number, size: number): number {
    const row = this.knownRowAt(offset, size);
    return row < 0 || this.isBeyond(row, offset) ? -1 : row;
  }

  private knownRowAt(offset: number, size: number): number {
    const row = this.registers.find(offset, size);
    return row < 0 || this.absent.includes(row) ? -1 : row;
  }

  /** An array over interrupts ends with the last that exists (A4.2). */
  private isBeyond(row: number, offset: number): boolean {
    return this.registers.table[row].perInterrupt > 0 && this.intidAt(row, offset) >= this.dist.nrIrqs;
  }

  /** First interrupt of an array that an access at `offset` covers. */
  protected intidAt(row: number, offset: number): number {
    const register = this.registers.table[row];
    return Math.trunc(((offset - register.offset) * 8) / register.perInterrupt);
  }

  /** Does this frame hold the array's word from `intid` on? */
  protected serves(_intid: number): boolean {
    return true;
  }

  /** Whose private interrupts an access by, or on behalf of, `cpu` reaches. */
  protected ownerOf(cpu: VgicCpu): VgicCpu {
    return cpu;
  }

  protected mayWrite(_field: IrqField, _requester: VgicCpu | null): boolean {
    return true;
  }

  /** Registers that are no array over interrupts. The high half of a 64-bit read goes into {@link high}, last. */
  protected abstract read(row: number, offset: number, size: number, cpu: VgicCpu, requester: VgicCpu | null): Step<number>;
  protected abstract write(row: number, offset: number, size: number, cpu: VgicCpu, low: number, high: number, requester: VgicCpu | null): Step<number>;
}
