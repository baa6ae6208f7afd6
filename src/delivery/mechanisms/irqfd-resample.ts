import type { Step } from "../../sim/step.js";
import { must } from "../../vmm/must.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import type { VmmCore } from "../../vmm/vmm-core.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/** A resampling irqfd whose resamplefd unmasks the device: the whole level cycle without user space (vfio.md 22.2). */
export const irqfdResample: DeliveryMechanism = {
  name: "irqfd+resample",
  *wire(vmm: VmmCore, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    const trigger = vmm.eventfd();
    const resample = vmm.eventfd();
    must(yield* vmm.assignIrqfd(trigger, vmm.gsiOf(wire.line), resample), "KVM_IRQFD");
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    must(yield* device.vfio.setUnmaskEventfd(wire.index, resample), "VFIO_DEVICE_SET_IRQS unmask eventfd");
    return { trigger, resample };
  },
};
