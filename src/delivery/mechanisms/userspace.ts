import type { Step } from "../../sim/step.js";
import type { ReadyHandler, VmmTimer } from "../../vmm/event-loop.js";
import { must } from "../../vmm/must.js";
import type { AccessListener, AssignedDevice } from "../../vmm/platform-device.js";
import type { GuestMessage } from "../../vmm/kvm.js";
import type { VmmCore } from "../../vmm/vmm-core.js";
import type { DeliveryMechanism, Wire, WiredEventfds } from "./mechanism.js";

/** How long the registers stay trapped after an interrupt (QEMU's mmap-timeout, vfio.md 22.2). */
const MMAP_TIMEOUT_NS = 1_100_000_000;

/**
 * The VMM delivers the interrupt itself and finds its end by trapping the device's registers: any access is taken for
 * the guest's service. What VMMs without resampling do (vfio.md 22.2, "No resample support").
 */
export const userspace: DeliveryMechanism = {
  name: "userspace",
  *wire(vmm: VmmCore, device: AssignedDevice, wire: Wire): Step<WiredEventfds> {
    const trigger = vmm.eventfd();
    if (wire.message !== null) return yield* wireMessage(vmm, device, wire.index, trigger, wire.message);
    const registers = device.listener instanceof TrappedRegisters ? device.listener : new TrappedRegisters(vmm, device);
    device.listener = registers;
    yield* vmm.loop.watch(trigger, registers.addLine(wire));
    must(yield* device.vfio.setTrigger(wire.index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
    return { trigger, resample: -1 };
  },
};

/** An edge has no end that the VMM would have to find: it sends the guest's message. */
function* wireMessage(vmm: VmmCore, device: AssignedDevice, index: number, trigger: number, message: GuestMessage): Step<WiredEventfds> {
  yield* vmm.loop.watch(trigger, new SendMessage(vmm, message));
  must(yield* device.vfio.setTrigger(index, trigger), "VFIO_DEVICE_SET_IRQS trigger");
  return { trigger, resample: -1 };
}

class SendMessage implements ReadyHandler {
  constructor(
    private readonly vmm: VmmCore,
    private readonly message: GuestMessage,
  ) {}

  *ready(): Step<void> {
    must(yield* this.vmm.sendMessage(this.message), "the guest's message");
  }
}

/** The registers of a device, which trap while any of its lines waits for the guest's service. */
class TrappedRegisters implements ReadyHandler, AccessListener {
  private readonly lines: TrappedLine[] = [];
  private readonly timer: VmmTimer;

  constructor(
    private readonly vmm: VmmCore,
    private readonly device: AssignedDevice,
  ) {
    this.timer = vmm.loop.timer(this);
  }

  addLine(wire: Wire): TrappedLine {
    const line = new TrappedLine(this.vmm, this.device, wire, this);
    this.lines.push(line);
    return line;
  }

  /** A line has fired: watch the registers from now on. */
  *trap(): Step<void> {
    yield* this.device.setMapped(false);
    this.timer.restart(MMAP_TIMEOUT_NS);
  }

  /** An access: the end of every pending interrupt, as the VMM cannot tell which register belongs to which. */
  *accessed(): Step<void> {
    for (let i = 0; i < this.lines.length; i++) yield* this.lines[i].end();
  }

  /** The timer. Quiet for long enough: the guest gets the registers back, unless an interrupt waits for its service. */
  *ready(): Step<void> {
    for (let i = 0; i < this.lines.length; i++) {
      if (this.lines[i].isPending) {
        this.timer.restart(MMAP_TIMEOUT_NS);
        return;
      }
    }
    yield* this.device.setMapped(true);
  }
}

class TrappedLine implements ReadyHandler {
  isPending = false;

  constructor(
    private readonly vmm: VmmCore,
    private readonly device: AssignedDevice,
    private readonly wire: Wire,
    private readonly registers: TrappedRegisters,
  ) {}

  /** The trigger: raise the guest's line. */
  *ready(): Step<void> {
    this.isPending = true;
    must(yield* this.vmm.setLine(this.wire.line, true), "KVM_IRQ_LINE");
    yield* this.registers.trap();
  }

  *end(): Step<void> {
    if (!this.isPending) return;
    this.isPending = false;
    must(yield* this.vmm.setLine(this.wire.line, false), "KVM_IRQ_LINE");
    must(yield* this.device.vfio.unmask(this.wire.index), "VFIO_DEVICE_SET_IRQS unmask");
  }
}
