import { MPIC_20, type MpicModel, type MpicProfile } from "../../irqchip/mpic/constants.js";
import type { MpicVcpu, MpicVm } from "../../irqchip/mpic/contract.js";
import { MpicDevice } from "../../irqchip/mpic/device.js";
import { Mpic } from "../../irqchip/mpic/mpic.js";
import { readRegister, RegisterValue, writeRegister } from "../../irqchip/mpic/registers.js";
import { reads, shared, writes } from "../../sim/access.js";
import type { EventSink } from "../../sim/event.js";
import type { Hazards } from "../../sim/hazards.js";
import { Mutex } from "../../sim/lock.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import type { Program } from "../trial.js";
import type { Thread } from "./threads.js";

/** What IACK gives for nothing, after a reset. */
export const SPURIOUS = 0xffff;

const IVPR = 0x1_0000;
const IDR = 0x1_0010;
const SOURCE_STRIDE = 0x20;
const CPU = 0x2_0000;
const CPU_STRIDE = 0x1000;
const [CTPR, IACK, EOI] = [0x80, 0xa0, 0xb0];

/** A vCPU that is nothing but an INT line. */
export class LineVcpu implements MpicVcpu {
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
    yield writes(this, "line");
    this.line = 1;
  }
  *lowerInterrupt(): Step<void> {
    yield writes(this, "line");
    this.line = 0;
  }
  *requestIrqPending(): Step<void> {}
  *requestProcessUpdate(): Step<void> {}
}
shared(LineVcpu, "line");

export interface MpicStageOptions {
  readonly cpus?: number;
  readonly model?: MpicModel;
  readonly profile?: MpicProfile;
  readonly hazards?: Partial<Hazards>;
  readonly trace?: EventSink;
}

/** An MPIC with CPUs that access its registers, and nothing around it: the start of mpic.md 11, CTPR 0 on each. */
export class MpicStage {
  readonly sim: Sim;
  readonly device: MpicDevice;
  readonly mpic: Mpic;
  readonly vcpus: LineVcpu[] = [];
  /** Sources whose listeners were told, in order. */
  readonly acked: number[] = [];
  /** What the listeners do about it. */
  onAck: ((pin: number) => Step<void>) | null = null;
  /** Vectors that each CPU took by {@link take}; {@link SPURIOUS} among them. */
  readonly taken: number[][] = [];

  constructor({ cpus = 2, model = MPIC_20, profile, hazards, trace }: MpicStageOptions = {}) {
    this.sim = new Sim({ cpus: 2, hazards, trace: trace ?? null });
    const vm: MpicVm = {
      sim: this.sim,
      slotsLock: new Mutex(this.sim, "slots_lock"),
      mmioBus: { *register() { return 0; }, *unregister() {} },
      acks: this,
    };
    this.mpic = new Mpic(vm, model, profile);
    this.device = new MpicDevice(this.mpic, { *detach() {} });
    for (let cpu = 0; cpu < cpus; cpu++) {
      run(this.connect());
      run(this.setCtpr(0, cpu));
    }
  }

  *notifyAcked(_chip: number, pin: number): Step<void> {
    this.acked.push(pin);
    if (this.onAck !== null) yield* this.onAck(pin);
  }

  /** One more vCPU, under the next number. */
  *connect(): Step<number> {
    const vcpu = new LineVcpu(this.sim, this.vcpus.length);
    this.vcpus.push(vcpu);
    this.taken.push([]);
    return yield* this.device.connect(vcpu, vcpu.id, false);
  }

  // What contexts do. Registers are accessed by their place among all CPUs', whoever accesses them.

  *write(offset: number, value: number): Step<number> {
    return yield* writeRegister(this.mpic, offset, -1, value | 0);
  }

  /** The value as u32, or a negative errno. */
  *read(offset: number): Step<number> {
    const into = new RegisterValue();
    const result = yield* readRegister(this.mpic, offset, -1, into);
    return result === 0 ? into.value >>> 0 : result;
  }

  *setIvpr(irq: number, value: number): Step<void> {
    yield* this.write(IVPR + SOURCE_STRIDE * irq, value);
  }

  *setIdr(irq: number, targets: number): Step<void> {
    yield* this.write(IDR + SOURCE_STRIDE * irq, targets);
  }

  /** "set n P V D": IDR D, then IVPR (P << 16) | V. */
  *set(irq: number, priority: number, vector: number, targets: number): Step<void> {
    yield* this.setIdr(irq, targets);
    yield* this.setIvpr(irq, (priority << 16) | vector);
  }

  *drive(irq: number, isHigh = true): Step<void> {
    yield* this.device.drive(irq, isHigh);
  }

  *setCtpr(value: number, cpu = 0): Step<void> {
    yield* this.write(CPU + CPU_STRIDE * cpu + CTPR, value);
  }

  /** An IACK: the vector. */
  *take(cpu = 0): Step<number> {
    const vector = yield* this.read(CPU + CPU_STRIDE * cpu + IACK);
    this.taken[cpu].push(vector);
    return vector;
  }

  /** What a guest does that looks at its line first. True: it was up. */
  *takeIfUp(cpu = 0): Step<boolean> {
    const vcpu = this.vcpus[cpu];
    yield reads(vcpu, "line");
    const isUp = vcpu.line === 1;
    if (isUp) yield* this.take(cpu);
    return isUp;
  }

  *eoi(cpu = 0): Step<void> {
    yield* this.write(CPU + CPU_STRIDE * cpu + EOI, 0);
  }

  // What is seen at the end.

  line(cpu = 0): number {
    return this.vcpus[cpu].line;
  }

  /** @param end what must hold when all are done */
  program(contexts: readonly Thread[], end: () => string | null): Program {
    return { sim: this.sim, contexts, check: () => null, end };
  }
}
