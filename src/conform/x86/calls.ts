import type { Step } from "../../sim/step.js";
import { KVM_GET_IRQCHIP, KVM_GET_LAPIC, kvm_irqchip, kvm_lapic_state } from "../../uapi/kvm.js";
import { ChipCalls } from "./chip-calls.js";
import { decodeIoapic, decodeLapic, decodePic } from "./chips.js";
import { DescriptorCalls } from "./descriptor-calls.js";
import { NamedDescriptors } from "./descriptors.js";
import { CHIP_ID } from "./names.js";
import { CHIP_NAMES } from "./op.js";
import type { LapicState, X86Chips } from "./state.js";
import type { X86System } from "./system.js";
import { VcpuCalls } from "./vcpu-calls.js";
import { VmCalls } from "./vm-calls.js";
import type { X86Answer, X86Call, X86Target } from "./vector.js";

const LAPIC = new DataView(new ArrayBuffer(kvm_lapic_state.size));
const CHIP = new DataView(new ArrayBuffer(kvm_irqchip.size));

/** Makes the calls of a vector on a system: operations become requests and structures, results become answers. */
export class X86Calls implements X86Target {
  private readonly descriptors: NamedDescriptors;
  private readonly groups: readonly { perform(step: X86Call): Step<X86Answer | null> }[];

  constructor(system: X86System) {
    this.descriptors = new NamedDescriptors(system);
    this.groups = [new VcpuCalls(this.descriptors), new VmCalls(this.descriptors), new ChipCalls(this.descriptors), new DescriptorCalls(this.descriptors)];
  }

  *perform(step: X86Call): Step<X86Answer> {
    for (let i = 0; i < this.groups.length; i++) {
      const answer = yield* this.groups[i].perform(step);
      if (answer !== null) return answer;
    }
    throw new Error(`${step.op} is in the schema, and nobody performs it`);
  }

  *chips(lapics: readonly string[]): Step<X86Chips> {
    const chips: X86Chips = {};
    for (let i = 0; i < CHIP_NAMES.length; i++) {
      const name = CHIP_NAMES[i];
      kvm_irqchip.chip_id.set(CHIP, CHIP_ID[name]);
      if ((yield* this.descriptors.ioctl("vm", KVM_GET_IRQCHIP, new Uint8Array(CHIP.buffer))) < 0) break;
      if (name === "ioapic") chips.ioapic = decodeIoapic(CHIP, kvm_irqchip.chip.offset);
      else chips[name] = decodePic(CHIP, kvm_irqchip.chip.offset);
    }
    const lapic: Record<string, LapicState> = {};
    for (let i = 0; i < lapics.length; i++) {
      if ((yield* this.descriptors.ioctl(lapics[i], KVM_GET_LAPIC, new Uint8Array(LAPIC.buffer))) >= 0) lapic[lapics[i]] = decodeLapic(LAPIC);
    }
    return { ...chips, lapic };
  }

  *close(): Step<void> {
    yield* this.descriptors.end();
  }
}
