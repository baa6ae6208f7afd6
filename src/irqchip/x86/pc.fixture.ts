import { run } from "../../sim/step.js";
import { ChipHarness } from "./chips.fixture.js";
import type { X86Compat } from "./chip-rules.js";
import { RealApics } from "./real-apics.fixture.js";

/** A step of a vector recorded on QEMU's `pc` (conformance/README-qemu.md). */
export interface PcStep {
  readonly op: string;
  readonly reg?: string;
  readonly cpu?: number;
  readonly chip?: "pic" | "ioapic";
  readonly pin?: number;
  readonly level?: number;
  readonly size?: number;
  readonly port?: string;
  readonly index?: string;
  readonly off?: string;
  readonly addr?: string;
  readonly data?: string;
  readonly value?: string;
  readonly expect?: string | readonly number[];
  readonly expectKvm?: string | readonly number[];
}

export interface PcVector {
  readonly id: string;
  readonly title: string;
  readonly cpus: number;
  readonly steps: readonly PcStep[];
}

const IOAPIC_WINDOW = 0xfec00000;
const MAX_TAKEN = 64;

/** One CPU: it looks for an interrupt when it is asked to (7.9), or when its interrupt window that it waited for opens. */
class PcCpu {
  private seenEvents = 0;
  private awaitsWindow = false;

  constructor(
    private readonly h: ChipHarness,
    private readonly apics: RealApics,
    private readonly index: number,
  ) {}

  private isPending(): boolean {
    const lapic = this.apics.set.lapics[this.index];
    if (run(lapic.acceptsPic()) && this.h.output) return true;
    return run(lapic.nextInterrupt()) >= 0;
  }

  /** Guest entry. @returns the vector taken, -1 for none */
  enter(interruptFlag: boolean): number {
    const { events } = this.h.vm.vcpus[this.index];
    run(this.apics.enter(this.index));
    run(this.apics.set.lapics[this.index].syncCr8());
    if (events === this.seenEvents && !this.awaitsWindow) return -1;
    this.seenEvents = this.h.vm.vcpus[this.index].events;
    const vector = interruptFlag ? this.takeOne() : -1;
    this.awaitsWindow = this.isPending();
    return vector;
  }

  private takeOne(): number {
    if (run(this.apics.set.lapics[this.index].acceptsPic()) && this.h.output) return this.h.ack();
    return run(this.apics.take(this.index));
  }
}

/** PIC pair, IOAPIC and local APICs as after reset, with as much of CPUs as the vectors need. */
export class PcChips {
  private readonly h: ChipHarness;
  private readonly apics: RealApics;
  private readonly cpus: PcCpu[];

  constructor(cpus: number, compat: X86Compat, losesTprLowNibble: boolean) {
    let apics: RealApics | null = null;
    this.h = new ChipHarness({ cpus, compat, makeApics: (vm) => (apics = new RealApics(vm, { losesTprLowNibble }, true)) });
    if (apics === null) throw new Error("a machine without local APICs");
    this.apics = apics;
    this.cpus = this.h.vm.vcpus.map((vcpu) => new PcCpu(this.h, this.apics, vcpu.index));
  }

  /** What the step shows, null where it shows nothing. Every CPU has gone through its guest afterwards. */
  perform(step: PcStep): string | readonly number[] | null {
    const shown = this.access(step);
    for (const cpu of this.cpus) cpu.enter(false);
    return typeof shown === "number" ? `0x${(shown >>> 0).toString(16)}` : shown;
  }

  private access(step: PcStep): number | readonly number[] | null {
    const { h } = this;
    const { cpu = 0, pin = 0, level = 0, size = 4 } = step;
    const of = (text: string | undefined): number => Number(text);
    const lapic = this.apics.set.lapics[cpu];
    switch (step.op) {
      case "picRead":
        return h.in(of(step.port));
      case "picWrite":
        h.out(of(step.port), of(step.value));
        return null;
      case "ioapicRead":
        return h.read(of(step.index));
      case "ioapicWrite":
        h.write(of(step.index), of(step.value));
        return null;
      case "mmioRead":
        return run(h.ioapic.mmioRead(h.vm.vcpus[cpu], of(step.addr) - IOAPIC_WINDOW, size));
      case "mmioWrite":
        run(h.ioapic.mmioWrite(h.vm.vcpus[cpu], of(step.addr) - IOAPIC_WINDOW, size, of(step.value) | 0, 0));
        return null;
      case "lapicRead":
        return run(lapic.mmioRead(of(step.off), size));
      case "lapicWrite":
        run(lapic.mmioWrite(of(step.off), size, of(step.value) | 0));
        return null;
      case "setIrq":
        if (step.chip === "pic") h.line(pin, level);
        else h.pin(pin, level);
        return null;
      case "msi":
        run(this.apics.set.signalMsi(0, of(step.addr), of(step.data)));
        return null;
      case "window":
        return this.window(cpu);
      default:
        throw new Error(`unknown operation ${step.op}`);
    }
  }

  /** STI, CLI: every handler returns at once. */
  private window(cpu: number): readonly number[] {
    const taken: number[] = [];
    while (taken.length < MAX_TAKEN) {
      const vector = this.cpus[cpu].enter(true);
      if (vector < 0) break;
      taken.push(vector);
    }
    return taken;
  }
}
