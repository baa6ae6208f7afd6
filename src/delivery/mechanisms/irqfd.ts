import type { Step } from "../../sim/step.js";
import { must } from "../../vmm/must.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import type { VmmCore } from "../../vmm/vmm-core.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/** VFIO signals an eventfd that raises the guest's interrupt in the kernel; for edges, which nobody has to lower. */
export const irqfd: DeliveryMechanism = {
  name: "irqfd",
  *wire(vmm: VmmCore, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    const trigger = vmm.eventfd();
    must(yield* vmm.assignIrqfd(trigger, vmm.gsiOf(wire.line), -1), "KVM_IRQFD");
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    return { trigger, resample: -1 };
  },
};
