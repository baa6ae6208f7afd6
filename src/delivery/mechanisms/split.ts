import type { Step } from "../../sim/step.js";
import type { AccessListener, AssignedDevice } from "../../vmm/platform-device.js";
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
    must(yield* vmm.vm.assignIrqfd(trigger, vmm.gsiOf(wire.line), -1), "KVM_IRQFD");
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    // The end of the interrupt unmasks, and nothing else: a guest's access may come too early, or never trap (cloud-hypervisor#4999).
    if (vmm.host.sim.hazards.unmaskOnAccess) {
      device.listener = new UnmaskOnAccess(device, wire);
      return { trigger, resample: -1 };
    }
    const resample = vmm.eventfd();
    vmm.ioapic.resample(wire.line, resample);
    must(yield* device.vfio.setUnmaskEventfd(wire.index, resample), "VFIO_DEVICE_SET_IRQS unmask eventfd");
    return { trigger, resample };
  },
};

/** How VMMs without resampling did it: the guest that touches the device has probably seen its interrupt. */
class UnmaskOnAccess implements AccessListener {
  constructor(
    private readonly device: AssignedDevice,
    private readonly wire: Wire,
  ) {}

  *accessed(): Step<void> {
    must(yield* this.device.vfio.unmask(this.wire.index), "VFIO_DEVICE_SET_IRQS unmask");
  }
}
