import type { Step } from "../../sim/step.js";
import type { ReadyHandler } from "../../vmm/event-loop.js";
import { must } from "../../vmm/must.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import type { VmmCore } from "../../vmm/vmm-core.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/**
 * The VMM delivers the interrupt itself, and KVM tells it the end: an irqfd that nothing ever triggers has a resamplefd,
 * which the VMM polls. The registers stay mapped.
 */
export const userspaceEoi: DeliveryMechanism = {
  name: "userspace+eoi",
  *wire(vmm: VmmCore, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    const trigger = vmm.eventfd();
    const silent = vmm.eventfd();
    const resample = vmm.eventfd();
    yield* vmm.loop.watch(trigger, new RaiseLine(vmm, wire));
    yield* vmm.loop.watch(resample, new EndOfInterrupt(device, wire));
    must(yield* vmm.vm.assignIrqfd(silent, vmm.gsiOf(wire.line), resample), "KVM_IRQFD");
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    return { trigger, resample };
  },
};

class RaiseLine implements ReadyHandler {
  constructor(
    private readonly vmm: VmmCore,
    private readonly wire: Wire,
  ) {}

  *ready(): Step<void> {
    must(yield* this.vmm.setLine(this.wire.line, true), "KVM_IRQ_LINE");
  }
}

/** The resampler has lowered the line before it told (kvm-irq-core.md 3.5); the device may fire again. */
class EndOfInterrupt implements ReadyHandler {
  constructor(
    private readonly device: AssignedDevice,
    private readonly wire: Wire,
  ) {}

  *ready(): Step<void> {
    must(yield* this.device.vfio.unmask(this.wire.index), "VFIO_DEVICE_SET_IRQS unmask");
  }
}
