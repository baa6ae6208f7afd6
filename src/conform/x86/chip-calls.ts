import type { Step } from "../../sim/step.js";
import { KVM_GET_IRQCHIP, KVM_GET_LAPIC, kvm_irqchip, kvm_lapic_state, KVM_SET_IRQCHIP, KVM_SET_LAPIC } from "../../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC } from "../../uapi/x86.js";
import { decodeIoapic, decodeLapic, decodePic, type IoapicOverlay, type Overlay, overlayIoapic, overlayLapic, overlayPic } from "./chips.js";
import { answerOf, type NamedDescriptors } from "./descriptors.js";
import { CHIP_ID } from "./names.js";
import type { ChipName, X86Args } from "./op.js";
import type { PicState } from "./state.js";
import type { X86Answer, X86Call } from "./vector.js";

/** The number of a chip given by name or number. */
export const chipId = (chip: ChipName | number): number => (typeof chip === "number" ? chip : CHIP_ID[chip]) >>> 0;

/** KVM_GET/SET_IRQCHIP and KVM_GET/SET_LAPIC: set is read, overlay, write. */
export class ChipCalls {
  private readonly chip = new DataView(new ArrayBuffer(kvm_irqchip.size));
  private readonly chipBytes = new Uint8Array(this.chip.buffer);
  private readonly lapic = new DataView(new ArrayBuffer(kvm_lapic_state.size));
  private readonly lapicBytes = new Uint8Array(this.lapic.buffer);

  constructor(private readonly descriptors: NamedDescriptors) {}

  *perform({ op, args }: X86Call): Step<X86Answer | null> {
    switch (op) {
      case "getIrqchip":
        return yield* this.getIrqchip(args);
      case "setIrqchip":
        return yield* this.setIrqchip(args);
      case "getLapic":
        return yield* this.getLapic(args);
      case "setLapic":
        return yield* this.setLapic(args);
      default:
        return null;
    }
  }

  private *read(vm: string | undefined, chip: ChipName | number): Step<number> {
    this.chipBytes.fill(0);
    kvm_irqchip.chip_id.set(this.chip, chipId(chip));
    return yield* this.descriptors.ioctl(vm ?? "vm", KVM_GET_IRQCHIP, this.chipBytes);
  }

  private *getIrqchip(args: X86Args<"getIrqchip">): Step<X86Answer> {
    const result = yield* this.read(args.vm, args.chip);
    if (result < 0) return answerOf(result);
    const decode = chipId(args.chip) === KVM_IRQCHIP_IOAPIC ? decodeIoapic : decodePic;
    return { ret: result, state: decode(this.chip, kvm_irqchip.chip.offset) };
  }

  private *setIrqchip(args: X86Args<"setIrqchip">): Step<X86Answer> {
    yield* this.read(args.vm, args.chip);
    kvm_irqchip.chip_id.set(this.chip, chipId(args.chip));
    if (chipId(args.chip) === KVM_IRQCHIP_IOAPIC) overlayIoapic(this.chip, kvm_irqchip.chip.offset, args.state as IoapicOverlay);
    else overlayPic(this.chip, kvm_irqchip.chip.offset, args.state as Overlay<PicState>);
    return answerOf(yield* this.descriptors.ioctl(args.vm ?? "vm", KVM_SET_IRQCHIP, this.chipBytes));
  }

  private *getLapic(args: X86Args<"getLapic">): Step<X86Answer> {
    const result = yield* this.descriptors.ioctl(args.vcpu ?? "vcpu0", KVM_GET_LAPIC, this.lapicBytes);
    return result < 0 ? answerOf(result) : { ret: result, state: decodeLapic(this.lapic) };
  }

  private *setLapic(args: X86Args<"setLapic">): Step<X86Answer> {
    this.lapicBytes.fill(0);
    yield* this.descriptors.ioctl(args.vcpu ?? "vcpu0", KVM_GET_LAPIC, this.lapicBytes);
    overlayLapic(this.lapic, args.state);
    return answerOf(yield* this.descriptors.ioctl(args.vcpu ?? "vcpu0", KVM_SET_LAPIC, this.lapicBytes));
  }
}
