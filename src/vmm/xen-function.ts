import type { Step } from "../sim/step.js";
import { VFIO_DEVICE_SET_IRQ_NOTIFY, vfio_irq_notify } from "../uapi/vfio-xen.js";
import { VfioPciClient } from "./pci-device.js";

const WORD = 4;

/** A function that vfio-xen-pci holds: its interrupts go by what a hypervisor has instead of eventfds (vfio.md 21.4). */
export class VfioXenClient extends VfioPciClient {
  /** SET_IRQ_NOTIFY for one interrupt, as the board counts them: 0 or a negative errno. @param element its words */
  *setNotify(interrupt: number, kind: number, element: readonly number[]): Step<number> {
    const { view } = this.args;
    const layout = vfio_irq_notify;
    const size = layout.size + WORD * element.length;
    layout.argsz.set(view, size);
    layout.flags.set(view, kind);
    layout.index.set(view, this.indexOf(interrupt));
    layout.start.set(view, this.startOf(interrupt));
    layout.count.set(view, 1);
    layout.element_size.set(view, WORD * element.length);
    for (let i = 0; i < element.length; i++) view.setUint32(layout.size + WORD * i, element[i], true);
    return yield* this.call(VFIO_DEVICE_SET_IRQ_NOTIFY, size);
  }
}
