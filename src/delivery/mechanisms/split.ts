import type { Step } from "../../sim/step.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import { must } from "../../vmm/must.js";
import type { VmmCore } from "../../vmm/vmm-core.js";
import { X86Vmm } from "../../vmm/x86-vmm.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/**
 * The IOAPIC is user space's, the local APICs are KVM's: an irqfd delivers past the IOAPIC, and its end, which KVM tells by
 * KVM_EXIT_IOAPIC_EOI, makes the VMM signal the eventfd that unmasks the device (x86-irqchip.md 5.9, 8.2). KVM refuses
 * resampling irqfds here.
 */
export const split: DeliveryMechanism = {
  name: "split",
  *wire(vmm: VmmCore, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    if (!(vmm instanceof X86Vmm) || vmm.ioapic === null) throw new Error("split needs a VMM with an IOAPIC of its own");
    const trigger = vmm.eventfd();
    const resample = vmm.eventfd();
    must(yield* vmm.vm.assignIrqfd(trigger, vmm.gsiOf(wire.line), -1), "KVM_IRQFD");
    vmm.ioapic.resample(wire.line, resample);
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    must(yield* device.vfio.setUnmaskEventfd(wire.index, resample), "VFIO_DEVICE_SET_IRQS unmask eventfd");
    return { trigger, resample };
  },
};
