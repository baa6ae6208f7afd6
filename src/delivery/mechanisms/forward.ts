import type { Step } from "../../sim/step.js";
import { must } from "../../vmm/must.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import { Vmm } from "../../vmm/vmm.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/**
 * The physical interrupt is forwarded: the guest's end of the virtual interrupt ends the physical one. In the order the
 * series asks for: forward, irqfd, trigger (kvm-irq-core.md 8.3).
 */
export const forward: DeliveryMechanism = {
  name: "forward",
  *wire(vmm: Vmm, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    const trigger = vmm.eventfd();
    must(yield* device.forward(wire.index, Vmm.gsiOf(wire.intid)), "KVM_DEV_VFIO_DEVICE_FORWARD_IRQ");
    must(yield* vmm.vm.assignIrqfd(trigger, Vmm.gsiOf(wire.intid), -1), "KVM_IRQFD");
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    return { trigger, resample: -1 };
  },
};
