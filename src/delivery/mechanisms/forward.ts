import type { Step } from "../../sim/step.js";
import { must } from "../../vmm/must.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import type { VmmCore } from "../../vmm/vmm-core.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/**
 * The physical interrupt is forwarded: the guest's end of the virtual interrupt ends the physical one. In the order the
 * series asks for: forward, irqfd, trigger (kvm-irq-core.md 8.3).
 */
export const forward: DeliveryMechanism = {
  name: "forward",
  *wire(vmm: VmmCore, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    const trigger = vmm.eventfd();
    must(yield* device.forward(wire.index, vmm.gsiOf(wire.line)), "KVM_DEV_VFIO_DEVICE_FORWARD_IRQ");
    must(yield* vmm.vm.assignIrqfd(trigger, vmm.gsiOf(wire.line), -1), "KVM_IRQFD");
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    return { trigger, resample: -1 };
  },
};
