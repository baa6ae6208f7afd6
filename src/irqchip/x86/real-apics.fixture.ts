import { run, type Step } from "../../sim/step.js";
import type { TestApics } from "./fake-apics.fixture.js";
import type { FakeX86Vm } from "./x86-vm.fixture.js";
import type { EoiSink, LocalApics } from "./contract.js";
import type { LapicOptions } from "./lapic/options.js";
import { ApicReg } from "./lapic/registers.js";
import { LocalApicSet } from "./local-apics.js";
import { hasVector } from "../../arch/x86/vector-set.js";

const ENABLED = 0x1ff;
const DISABLED = 0xff;
const VECTORS = 256;

/** The local APICs of virq behind PIC and IOAPIC, in xAPIC mode: enabled and flat, or as after reset. */
export class RealApics implements TestApics {
  readonly set: LocalApicSet;
  readonly local: LocalApics;
  private readonly takenBy: number[][] = [];

  constructor(
    private readonly vm: FakeX86Vm,
    options: Partial<LapicOptions> = {},
    private readonly isReset = false,
  ) {
    this.set = new LocalApicSet(vm, options);
    this.local = this.set;
  }

  /** All vCPUs are there. */
  connect(sink: EoiSink): void {
    this.set.connectIoapic(sink);
    for (const vcpu of this.vm.vcpus) {
      const lapic = run(this.set.add(vcpu));
      run(lapic.setCpuid({ hasX2apic: false, hasTscDeadline: false, physicalBits: 46 }));
      this.takenBy.push([]);
    }
    if (this.isReset) return;
    for (const vcpu of this.vm.vcpus) {
      run(this.set.lapics[vcpu.index].mmioWrite(ApicReg.LDR, 4, (1 << (24 + vcpu.index)) | 0));
      this.enable(vcpu.index, true);
    }
  }

  enable(cpu: number, isOn: boolean): void {
    run(this.set.lapics[cpu].mmioWrite(ApicReg.SPIV, 4, isOn ? ENABLED : DISABLED));
  }

  private vectorsIn(bits: Int32Array): number[] {
    return [...Array(VECTORS).keys()].filter((vector) => hasVector(bits, vector));
  }
  irr(cpu: number): number[] {
    return this.vectorsIn(this.set.lapics[cpu].irr);
  }
  tmr(cpu: number): number[] {
    return this.vectorsIn(this.set.lapics[cpu].tmr);
  }
  taken(cpu: number): number[] {
    return this.takenBy[cpu];
  }

  /** The rescan that was asked for, as before every entry to the guest. */
  *enter(cpu: number): Step<void> {
    const vcpu = this.vm.vcpus[cpu];
    if (!vcpu.scanRequested) return;
    vcpu.scanRequested = false;
    yield* this.set.lapics[cpu].handled.rescan();
  }

  *take(cpu: number): Step<number> {
    yield* this.enter(cpu);
    const lapic = this.set.lapics[cpu];
    const vector = yield* lapic.nextInterrupt();
    if (vector < 0) return -1;
    yield* lapic.take(vector);
    this.takenBy[cpu].push(vector);
    return vector;
  }

  *eoi(cpu: number): Step<void> {
    yield* this.enter(cpu);
    yield* this.set.lapics[cpu].eoi();
  }
}
