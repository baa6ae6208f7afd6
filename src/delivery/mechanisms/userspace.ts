import type { Step } from "../../sim/step.js";
import type { ReadyHandler, VmmTimer } from "../../vmm/event-loop.js";
import { must } from "../../vmm/must.js";
import type { AccessListener, AssignedDevice } from "../../vmm/platform-device.js";
import type { Vmm } from "../../vmm/vmm.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/** How long the registers stay trapped after an interrupt (QEMU's mmap-timeout, vfio.md 22.2). */
const MMAP_TIMEOUT_NS = 1_100_000_000;

/**
 * The VMM delivers the interrupt itself and finds its end by trapping the device's registers: any access is taken for
 * the guest's service. What VMMs without resampling do (vfio.md 22.2, "No resample support").
 */
export const userspace: DeliveryMechanism = {
  name: "userspace",
  *wire(vmm: Vmm, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    const trigger = vmm.eventfd();
    const line = new TrappedLine(vmm, device, wire);
    device.onAccess(line);
    yield* vmm.loop.watch(trigger, line);
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    return { trigger, resample: -1 };
  },
};

class TrappedLine implements ReadyHandler, AccessListener {
  private isPending = false;
  private readonly timer: VmmTimer;

  constructor(
    private readonly vmm: Vmm,
    private readonly device: AssignedDevice,
    private readonly wire: Wire,
  ) {
    this.timer = vmm.loop.timer(new MmapTimeout(this));
  }

  /** The trigger: raise the guest's line, and watch the registers from now on. */
  *ready(): Step<void> {
    this.isPending = true;
    must(yield* this.vmm.vm.setSpi(this.wire.intid, true), "KVM_IRQ_LINE");
    yield* this.device.setMapped(false);
    this.timer.restart(MMAP_TIMEOUT_NS);
  }

  /** An access: the end of the interrupt as far as the VMM can tell. */
  *accessed(): Step<void> {
    if (!this.isPending) return;
    this.isPending = false;
    must(yield* this.vmm.vm.setSpi(this.wire.intid, false), "KVM_IRQ_LINE");
    must(yield* this.device.vfio.unmask(this.wire.index), "VFIO_DEVICE_SET_IRQS unmask");
  }

  /** Quiet for long enough: the guest gets the registers back, unless an interrupt waits for its service. */
  *timedOut(): Step<void> {
    if (this.isPending) this.timer.restart(MMAP_TIMEOUT_NS);
    else yield* this.device.setMapped(true);
  }
}

class MmapTimeout implements ReadyHandler {
  constructor(private readonly line: TrappedLine) {}

  *ready(): Step<void> {
    yield* this.line.timedOut();
  }
}
