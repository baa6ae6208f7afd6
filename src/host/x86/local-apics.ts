import type { IrqPort } from "../../arch/irq-port.js";
import type { Step } from "../../sim/step.js";
import type { CpuController } from "../cpu.js";
import { LocalApic } from "./local-apic.js";

/** The local APICs of a machine, x2APIC with physical destinations: a message reaches the one whose id it names. */
export class LocalApics implements CpuController {
  private readonly byCpu: readonly LocalApic[];
  private readonly cpuById = new Map<number, number>();

  /** @param ids APIC ids by CPU number */
  constructor(ids: readonly number[]) {
    this.byCpu = ids.map((id) => new LocalApic(id));
    ids.forEach((id, cpu) => this.cpuById.set(id, cpu));
  }

  get cpus(): number {
    return this.byCpu.length;
  }

  of(cpu: number): LocalApic {
    return this.byCpu[cpu];
  }

  /** The CPU with an APIC id, -1 where there is none. */
  cpuOf(id: number): number {
    return this.cpuById.get(id) ?? -1;
  }

  connect(cpu: number, port: IrqPort): void {
    this.byCpu[cpu].connect(port);
  }

  signalOf(cpu: number): object {
    return this.byCpu[cpu];
  }

  isSignalled(cpu: number): boolean {
    return this.byCpu[cpu].isSignalled;
  }

  /** A message to a physical destination; one that nobody has is lost. */
  *send(id: number, vector: number): Step<void> {
    const cpu = this.cpuOf(id);
    if (cpu >= 0) yield* this.byCpu[cpu].accept(vector);
  }
}
