import { HostVector } from "../../arch/x86/host-vectors.js";
import { current } from "../../sim/context.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { Ipi } from "../cpu.js";
import { Host } from "../machine.js";
import { ApicCpu, type PostedWakeup } from "./apic-cpu.js";
import { InterruptRemapping } from "./intr-remapping.js";
import { IoApicDomain } from "./ioapic-domain.js";
import { HostIoApic } from "./ioapic.js";
import { LocalApics } from "./local-apics.js";
import { RemappedMsiDomain } from "./msi-domain.js";
import { VectorDomain } from "./vector-domain.js";

/** Where firmware says that the IOAPIC is (f0:1f.0 on Intel machines): the source of its messages. */
const IOAPIC_SOURCE_ID = 0xf0f8;

/** The host kernel of an x86 machine: local APICs in x2APIC mode, one IOAPIC, VT-d with interrupt remapping and posting. */
export class X86Host extends Host {
  readonly apics: LocalApics;
  readonly vectors: VectorDomain;
  readonly remapping: InterruptRemapping;
  readonly ioapic: HostIoApic;
  private readonly apicCpus: ApicCpu[] = [];
  private readonly pins: IoApicDomain;

  /**
   * @param sim has at least one clock per CPU; one more, if there is one, is the hardware's
   * @param apicIds by CPU number
   */
  constructor(sim: Sim, apicIds: readonly number[]) {
    super(sim);
    this.apics = new LocalApics(apicIds);
    this.vectors = new VectorDomain(this.irqs, this.apics);
    this.remapping = new InterruptRemapping(sim, this.apics);
    this.ioapic = new HostIoApic(this.remapping, IOAPIC_SOURCE_ID);
    this.pins = new IoApicDomain(this.irqs, this.vectors, this.remapping, this.ioapic);
    this.msi = new RemappedMsiDomain(this.irqs, this.vectors, this.remapping);
    for (let cpu = 0; cpu < apicIds.length; cpu++) {
      const one = new ApicCpu(sim, cpu, this.apics, this.vectors, this.cpus);
      this.apicCpus.push(one);
      this.addCpu(one);
    }
  }

  /** The irq of an IOAPIC pin and trigger type, mapped on first use; 0 where the type does not fit. */
  *mapGsi(gsi: number, type: number): Step<number> {
    return yield* this.pins.map(gsi, type);
  }

  /** What vector 0xf1 calls on each CPU; null takes it away. */
  setPostedWakeup(handler: PostedWakeup | null): void {
    for (const cpu of this.apicCpus) cpu.postedWakeup = handler;
  }

  // Notifications that software sends to physical CPUs.

  readonly isX2apic = true;

  apicId(cpu: number): number {
    return this.apics.of(cpu).id;
  }

  /** An IPI with a posted interrupt's notification or wake-up vector. */
  *send(apicId: number, vector: number): Step<void> {
    const to = this.apics.cpuOf(apicId);
    const from = Math.min(current().cpu, this.cpus.length - 1);
    if (to >= 0) yield* this.cpus[from].sendIpi(to, vector === HostVector.POSTED_INTR ? Ipi.POSTED : Ipi.POSTED_WAKEUP);
  }
}
