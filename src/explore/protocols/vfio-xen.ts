import { XenHypervisor } from "../../host/xen/hypervisor.js";
import { XenMsiDomain } from "../../host/xen/msi-domain.js";
import { VFIO_DEVICE_SET_IRQS } from "../../uapi/vfio.js";
import { VFIO_DEVICE_SET_IRQ_NOTIFY, VFIO_IRQ_NOTIFY_EVTCHN } from "../../uapi/vfio-xen.js";
import { VfioXenPciDriver } from "../../vfio/backends/xen/driver.js";
import type { Protocol } from "../protocol.js";
import { EVENTFD, INTX, MSI, PciStage, TRIGGER } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// vfio.md 21.4: a function whose interrupts the host or the hypervisor has, and not both.

const GUEST = 5;
const EVENT_CHANNEL_BYTES = 8;
const ARGUMENTS = 0x1800;

/** A of the stage on vfio-xen-pci, with its line and its messages the hypervisor's. */
function onXen(stage: PciStage): number {
  const { A, pciBus, machine, vfio } = stage;
  const xen = new XenHypervisor(stage.sim);
  xen.addGuest(GUEST);
  const msi = new XenMsiDomain(machine.host.irqs, xen.pirqs);
  machine.host.msi = msi;
  A.fn.connect(xen.pirqs.lineOf(A.name, stage.wire.input()), stage.root);
  pciBus.addDriver(new VfioXenPciDriver(vfio, { xen, msi, guest: GUEST, notify: () => ["eventfd", "evtchn"] }));
  stage.write("/sys/bus/pci/drivers/vfio-pci/unbind", A.name);
  stage.write(`/sys/bus/pci/devices/${A.name}/driver_override`, "vfio-xen-pci");
  stage.write("/sys/bus/pci/drivers_probe", A.name);
  return stage.ready().d;
}

export const typesTogether: Protocol = {
  name: "types-together",
  title: "An eventfd for INTx and an event channel for MSI are asked for at once: one of them is refused.",
  source: "vfio.md 10.2, 21.4",
  about: ["writes PciIrqMode.type"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const d = onXen(stage);
    const E = stage.eventfd();
    stage.machine.untraced();
    const calls: readonly (readonly [name: string, request: number, ...words: number[]])[] = [
      ["SET_IRQS", VFIO_DEVICE_SET_IRQS, 24, EVENTFD | TRIGGER, INTX, 0, 1, E],
      ["SET_IRQ_NOTIFY", VFIO_DEVICE_SET_IRQ_NOTIFY, 24 + EVENT_CHANNEL_BYTES, VFIO_IRQ_NOTIFY_EVTCHN, MSI, 0, 1, EVENT_CHANNEL_BYTES, GUEST, 0],
    ];
    const contexts = calls.map(([name, request, ...words], i) => {
      const at = ARGUMENTS + 0x100 * i;
      words.forEach((word, n) => stage.process.memory.setU32(at + 4 * n, word));
      return new Thread(name, "user", () => stage.process.ioctl(d, request, at));
    });
    return {
      sim: stage.sim,
      contexts,
      check: () => null,
      end() {
        const [irqs, notify] = contexts.map(({ result }) => result);
        return (irqs === 0) !== (notify === 0) ? null : `10.2: SET_IRQS ${irqs}, SET_IRQ_NOTIFY ${notify}`;
      },
    };
  },
};
