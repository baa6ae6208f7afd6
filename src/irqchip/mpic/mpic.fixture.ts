import { Mutex } from "../../sim/lock.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import type { MpicModel } from "./constants.js";
import { MPIC_20 } from "./constants.js";
import type { MpicVcpu, MpicVm } from "./contract.js";
import { MpicDevice } from "./device.js";
import { Mpic } from "./mpic.js";
import { readRegister, RegisterValue, writeRegister } from "./registers.js";

class FakeVcpu implements MpicVcpu {
  readonly mutex: Mutex;
  readonly hasRun = true;
  readonly physicalCpu = 0;
  line = 0;

  constructor(
    sim: Sim,
    readonly id: number,
  ) {
    this.mutex = new Mutex(sim, "vcpu.mutex");
  }
  get index(): number {
    return this.id;
  }
  *raiseInterrupt(): Step<void> {
    this.line = 1;
  }
  *lowerInterrupt(): Step<void> {
    this.line = 0;
  }
  *requestIrqPending(): Step<void> {}
  *requestProcessUpdate(): Step<void> {}
}

/** Notes who is told, and lets the test answer. */
class Acks {
  constructor(private readonly h: MpicHarness) {}

  *notifyAcked(_chip: number, pin: number): Step<void> {
    this.h.acked.push(pin);
    if (this.h.onAck !== null) yield* this.h.onAck(pin);
  }
}

/** Start of mpic.md 11: CPUs connected, CTPR 0 on each. */
export class MpicHarness {
  readonly sim = new Sim();
  readonly device: MpicDevice;
  readonly mpic: Mpic;
  readonly vcpus: FakeVcpu[] = [];
  readonly acked: number[] = [];
  onAck: ((pin: number) => Step<void>) | null = null;

  constructor({ cpus = 2, model = MPIC_20, ctpr = 0 }: { cpus?: number; model?: MpicModel; ctpr?: number } = {}) {
    const vm: MpicVm = {
      sim: this.sim,
      slotsLock: new Mutex(this.sim, "slots_lock"),
      mmioBus: { *register() { return 0; }, *unregister() {} },
      acks: new Acks(this),
    };
    this.mpic = new Mpic(vm, model);
    this.device = new MpicDevice(this.mpic, { *detach() {} });
    for (let cpu = 0; cpu < cpus; cpu++) {
      const vcpu = new FakeVcpu(this.sim, cpu);
      this.vcpus.push(vcpu);
      run(this.device.connect(vcpu, cpu, false));
      if (ctpr >= 0) this.write(0x20080 + 0x1000 * cpu, ctpr);
    }
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
    this.write(0x10010 + 0x20 * irq, targets);
    this.write(0x10000 + 0x20 * irq, (priority << 16) | vector);
  }

  drive(irq: number, level: number): void {
    run(this.device.drive(irq, level === 1));
  }

  edge(irq: number): void {
    this.drive(irq, 1);
  }

  iack(cpu = 0): number {
    return Number(this.read(0x200a0 + 0x1000 * cpu));
  }

  /** The listeners that the EOI told. */
  eoi(cpu = 0): readonly number[] {
    this.acked.length = 0;
    this.write(0x200b0 + 0x1000 * cpu, 0);
    return [...this.acked];
  }

  ctpr(value: number, cpu = 0): void {
    this.write(0x20080 + 0x1000 * cpu, value);
  }

  line(cpu = 0): number {
    return this.vcpus[cpu].line;
  }
}

/** Where a source's, IPI's or timer's IVPR is. */
function offsetOf(irq: number): number {
  if (irq < 256) return 0x10000 + 0x20 * irq;
  return irq < 260 ? 0x10a0 + 0x10 * (irq - 256) : 0x1120 + 0x40 * (irq - 260);
}
