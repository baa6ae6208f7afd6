import { MpicStage, type MpicStageOptions } from "../../explore/stages/mpic-stage.js";
import { run, type Step } from "../../sim/step.js";
import type { Mpic } from "./mpic.js";
import type { MpicDevice } from "./device.js";
import { readRegister, RegisterValue, writeRegister } from "./registers.js";

/** Start of mpic.md 11: CPUs connected, CTPR 0 on each. Calls run to their ends. */
export class MpicHarness {
  private readonly stage: MpicStage;

  constructor(options: MpicStageOptions = {}) {
    this.stage = new MpicStage(options);
  }

  get mpic(): Mpic {
    return this.stage.mpic;
  }
  get device(): MpicDevice {
    return this.stage.device;
  }
  set onAck(listener: (pin: number) => Step<void>) {
    this.stage.onAck = listener;
  }

  /** "0x…" of a register, or a negative errno. */
  read(offset: number, cpu = -1): string | number {
    const into = new RegisterValue();
    const result = run(readRegister(this.mpic, offset, cpu, into));
    return result === 0 ? `0x${(into.value >>> 0).toString(16).padStart(8, "0")}` : result;
  }

  write(offset: number, value: number, cpu = -1): number {
    return run(writeRegister(this.mpic, offset, cpu, value | 0));
  }

  ivpr(irq: number): string | number {
    return this.read(offsetOf(irq));
  }

  /** "set n P V D": IDR D, then IVPR (P << 16) | V. */
  set(irq: number, priority: number, vector: number, targets: number): void {
    run(this.stage.set(irq, priority, vector, targets));
  }

  drive(irq: number, level: number): void {
    run(this.stage.drive(irq, level === 1));
  }

  edge(irq: number): void {
    this.drive(irq, 1);
  }

  iack(cpu = 0): number {
    return run(this.stage.take(cpu));
  }

  /** All that listeners were told since the last {@link eoi}. */
  get heard(): readonly number[] {
    return this.stage.acked;
  }

  /** The listeners that the EOI told. */
  eoi(cpu = 0): readonly number[] {
    this.stage.acked.length = 0;
    run(this.stage.eoi(cpu));
    return [...this.stage.acked];
  }

  ctpr(value: number, cpu = 0): void {
    run(this.stage.setCtpr(value, cpu));
  }

  line(cpu = 0): number {
    return this.stage.line(cpu);
  }
}

/** Where a source's, IPI's or timer's IVPR is. */
function offsetOf(irq: number): number {
  if (irq < 256) return 0x10000 + 0x20 * irq;
  return irq < 260 ? 0x10a0 + 0x10 * (irq - 256) : 0x1120 + 0x40 * (irq - 260);
}
