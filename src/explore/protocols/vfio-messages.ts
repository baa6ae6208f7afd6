import { CapId, Msi } from "../../arch/pci/config-registers.js";
import { IommuDma } from "../../host/iommu/dma.js";
import type { IommuDomain } from "../../host/iommu/domain.js";
import { EventChannels } from "../../host/xen/event-channels.js";
import { XenHypervisor } from "../../host/xen/hypervisor.js";
import { writes } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import * as uapi from "../../uapi/vfio.js";
import { SpaprBackend } from "../../vfio/iommu/spapr.js";
import { XenIommuBackend } from "../../vfio/iommu/xen.js";
import { Arguments } from "../../vmm/arguments.js";
import { VfioDeviceClient } from "../../vmm/vfio.js";
import type { Protocol } from "../protocol.js";
import { CONFIG, EVENTFD, MSI, MSIX, NONE, PciStage, TRIGGER } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import { contextOf, IrqCalls, QuietAfter } from "../stages/vfio-calls.js";
import { MEMORY } from "../stages/vfio-stage.js";
import type { Program } from "../trial.js";

// vfio.md 23 for what a device sends by itself: messages, events of a guest of Xen, and DMA.

const VALUE = 0x3000;

const nothing = (): null => null;

export const closeAgainstMessage: Protocol = {
  name: "pci-close-against-message",
  title: "A PCI function is closed for good while it sends a message: nothing is signalled after the close.",
  source: "vfio.md 23.13",
  about: ["vfio_trigger", "irq_handler"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const E = stage.eventfd();
    const { d } = stage.messaging(MSI, E);
    const close = new QuietAfter("close", contextOf(stage, E), () => stage.process.close(d));
    const message = new Thread("device", "hardware", () => stage.A.fn.messages.send(0));
    const end = (): string | null => (close.isBroken ? "23.13: a signal after the close has returned" : null);
    return { sim: stage.sim, contexts: [message, close], check: nothing, end };
  },
};

export const replaceFirstVector: Protocol = {
  name: "replace-first-vector",
  title: "Vector 0 of MSI gets another eventfd while vector 3 sends a message: it arrives, unless it goes while vector 0 has no handler.",
  source: "vfio.md 10.4, host-irq.md 1.7",
  about: ["vfio_trigger"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const E = [0, 1, 2, 3].map(() => stage.eventfd());
    const { d } = stage.messaging(MSI, ...E);
    const replace = new IrqCalls(stage, d).thread({ index: MSI, flags: EVENTFD | TRIGGER, fds: [stage.eventfd()] });
    const message = new Thread("device", "hardware", () => stage.A.fn.messages.send(3));
    const end = (): string | null => (stage.count(E[3]) === 1 ? null : "10.4: the message of a vector that nobody has touched is lost");
    return { sim: stage.sim, contexts: [message, replace], check: nothing, end };
  },
};

export const replaceOwnVector: Protocol = {
  name: "replace-own-vector",
  title: "A vector of MSI-X gets another eventfd while it sends a message: one of the two is told, unless the message has left the function and meets no handler.",
  source: "vfio.md 10.4, host-irq.md 1.7",
  about: ["vfio_trigger"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const [E, E2] = [stage.eventfd(), stage.eventfd()];
    const { d } = stage.messaging(MSIX, E);
    const replace = new IrqCalls(stage, d).thread({ index: MSIX, flags: EVENTFD | TRIGGER, fds: [E2] });
    const message = new Thread("device", "hardware", () => stage.A.fn.messages.send(0));
    const end = (): string | null => (stage.count(E) + stage.count(E2) === 1 ? null : "10.4: the message reaches neither eventfd");
    return { sim: stage.sim, contexts: [message, replace], check: nothing, end };
  },
};

export const flagsAgainstEnd: Protocol = {
  name: "flags-against-end",
  title: "The user writes MSI's flags, enabled as it reads them, while MSI is disabled: the function may stay in MSI with no vector.",
  source: "vfio.md 10.6, 13.6",
  about: ["writes VirtualConfig.config", "writes PciIrqMode.type"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const { d } = stage.messaging(MSI, stage.eventfd());
    const flags = stage.A.fn.capability(CapId.MSI) + Msi.FLAGS;
    stage.process.memory.setU32(VALUE, Msi.ENABLE);
    const write = new Thread("FLAGS", "user", () => stage.process.write(d, VALUE, 2, CONFIG + flags), 2);
    const end = new IrqCalls(stage, d).thread({ index: MSI, flags: NONE | TRIGGER, count: 0 });
    return {
      sim: stage.sim,
      contexts: [write, end],
      check: nothing,
      end() {
        if (write.result !== 2 || end.result !== 0) return `write ${write.result}, SET_IRQS ${end.result}`;
        return (stage.A.fn.peek(flags, 2) & Msi.ENABLE) === 0 ? null : "13.6: the function is in MSI, and has no vector";
      },
    };
  },
};

/** The vector that {@link growAgainstMessage} adds. */
const ADDED = 5;

function* sendBoth({ A }: PciStage): Step<void> {
  yield* A.fn.messages.send(0);
  yield* A.fn.messages.send(ADDED);
}

export const growAgainstMessage: Protocol = {
  name: "grow-against-message",
  title: "A vector is added to MSI-X while the function sends messages of it and of another: each is told once.",
  source: "vfio.md 7.4, 10.4",
  about: ["vfio_trigger"],
  program(hazards): Program {
    const stage = new PciStage({ hazards, allocatesDynamically: true });
    const [E, added] = [stage.eventfd(), stage.eventfd()];
    const { d } = stage.messaging(MSIX, E);
    const grow = new IrqCalls(stage, d).thread({ index: MSIX, flags: EVENTFD | TRIGGER, start: ADDED, fds: [added] });
    const device = new Thread("device", "hardware", () => sendBoth(stage));
    const end = (): string | null => {
      const signals = [E, added].map((fd) => stage.count(fd)).join();
      return grow.result === 0 && signals === "1,1" ? null : `10.4: SET_IRQS ${grow.result}, signals ${signals}`;
    };
    return { sim: stage.sim, contexts: [device, grow], check: nothing, end };
  },
};

export const endAgainstMessage: Protocol = {
  name: "end-against-message",
  title: "A monitor ends the messages of a device while the device sends one: its eventfd counts that one at most, and nothing after the call.",
  source: "vfio.md 10.2, 10.6",
  about: ["vfio_trigger", "irq_handler"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const E = stage.eventfd();
    const { d } = stage.messaging(MSIX, E);
    const device = new VfioDeviceClient(stage.process, d, new Arguments(stage.process, 0x10_0000));
    const ending = new QuietAfter("end", contextOf(stage, E), () => device.disable(MSIX));
    const message = new Thread("device", "hardware", () => stage.A.fn.messages.send(0));
    return {
      sim: stage.sim,
      contexts: [message, ending],
      check: nothing,
      end() {
        if (ending.result !== 0 || ending.isBroken) return `10.6: SET_IRQS ${ending.result}, and a signal after it`;
        return stage.count(E) <= 1 && stage.A.vectors.allocated === 0 ? null : `10.2: ${stage.count(E)} signals of one message, ${stage.A.vectors.allocated} vectors left`;
      },
    };
  },
};

const [GUEST, PORT] = [5, 1];

export const sendAgainstOpenMask: Protocol = {
  name: "send-against-open-mask",
  title: "An event channel is unmasked while events are sent to it: its guest is told, once for all that came before it looked.",
  source: "vfio.md 23.30",
  about: ["xen_evtchn_send"],
  program(hazards): Program {
    const sim = new Sim({ hazards });
    const channels = new EventChannels(sim);
    run(channels.bindPort(GUEST, PORT));
    run(channels.setMasked(GUEST, PORT, true));
    const unmask = new Thread("unmask", "user", () => channels.setMasked(GUEST, PORT, false));
    const sends = ["send", "another"].map((name) => new Thread(name, "hardware", () => channels.send(GUEST, PORT)));
    const end = (): string | null => (channels.deliveries === 1 ? null : `23.30: ${channels.deliveries} deliveries of what is pending`);
    return { sim, contexts: [unmask, ...sends], check: nothing, end };
  },
};

/** A way to an IOMMU: how a container of the kind is made, and what it maps by. */
interface Way {
  readonly name: string;
  readonly type: number;
  readonly isIommufd?: boolean;
  /** What has to be called before anything is mapped. */
  prepare?(stage: PciStage, container: number): void;
}

const TCE = { windowStart: 0n, windowSize: 0x10_0000n, dynamicPageSizes: 0x1000n, maxLevels: 1 };

const WAYS: readonly Way[] = [
  { name: "type1 v1", type: uapi.VFIO_TYPE1_IOMMU },
  { name: "type1 v2", type: uapi.VFIO_TYPE1v2_IOMMU },
  { name: "iommufd", type: uapi.VFIO_TYPE1v2_IOMMU, isIommufd: true },
  { name: "spapr v1", type: uapi.VFIO_SPAPR_TCE_IOMMU, prepare: (stage, c) => stage.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0) },
  { name: "spapr v2", type: uapi.VFIO_SPAPR_TCE_v2_IOMMU, prepare: (stage, c) => stage.call(c, uapi.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 24, 0, MEMORY, 0, 0x1_0000, 0) },
  { name: "xen", type: uapi.VFIO_XEN_IOMMU },
];

const IOVA = 0x4000;
const ARGUMENT = 0x2000;
const MINE = 0x11;
const DEVICE = 0xee;

/** A page mapped for a device at IOVA, and the other page at its neighbour's address. */
function mapping(way: Way, hazards?: Partial<Hazards>) {
  const stage = new PciStage({ hazards, tce: TCE });
  const xen = new XenHypervisor(stage.sim);
  xen.addGuest(GUEST);
  stage.vfio.registerIommu(new SpaprBackend(stage.sim));
  stage.vfio.registerIommu(new XenIommuBackend(stage.sim, xen, GUEST));
  const [c, g] = [stage.open(way.isIommufd ? "/dev/iommu" : "/dev/vfio/vfio"), stage.open("/dev/vfio/12")];
  stage.setContainer(g, c);
  stage.ioctl(c, uapi.VFIO_SET_IOMMU, way.type);
  if (way.isIommufd) stage.deviceFd(g, stage.A.name);
  way.prepare?.(stage, c);
  if (stage.map(c, BigInt(IOVA), 0x1000n) !== 0) throw new Error(`${way.name}: nothing is mapped`);
  stage.machine.untraced();
  return { stage, c, dma: new IommuDma(stage.smmu, stage.pciGroup, 0x600) };
}

/** Takes the page back, and uses it at once for something of one's own: in an order with walks that lead there. */
function* unmapAndUse(stage: PciStage, c: number, domain: IommuDomain | string): Step<number> {
  const result = yield* stage.process.ioctl(c, uapi.VFIO_IOMMU_UNMAP_DMA, ARGUMENT);
  if (typeof domain !== "string") yield writes(domain, "slots");
  if (result === 0) stage.process.memory.setU8(MEMORY, MINE);
  return result;
}

function* store(dma: IommuDma): Step<number> {
  return (yield* dma.write(IOVA, Uint8Array.of(DEVICE))) ? 1 : 0;
}

function unmapAgainst(way: Way): Protocol {
  return {
    name: `unmap-against-dma-${way.name.replaceAll(" ", "-")}`,
    title: `A page is unmapped (${way.name}) while a device writes to it: what arrives, arrives before the call returns, and what does not is reported.`,
    source: "vfio.md 17.6, host-irq.md 5.3",
    about: ["writes IommuDomain.slots", "reads IommuDomain.slots"],
    program(hazards): Program {
      const { stage, c, dma } = mapping(way, hazards);
      [24, 0, IOVA, 0, 0x1000, 0].forEach((word, i) => stage.process.memory.setU32(ARGUMENT + 4 * i, word));
      const domain = run(stage.pciGroup.current());
      const unmap = new Thread("UNMAP_DMA", "user", () => unmapAndUse(stage, c, domain));
      const device = new Thread("device", "hardware", () => store(dma));
      return {
        sim: stage.sim,
        contexts: [unmap, device],
        check: nothing,
        end() {
          if (unmap.result !== 0) return `UNMAP_DMA: ${unmap.result}`;
          if (stage.process.memory.getU8(MEMORY) !== MINE) return "a device writes to a page that its owner had back";
          const reported = stage.smmu.events.records.length;
          return reported === 1 - device.result ? null : `${device.result} writes done, ${reported} reported`;
        },
      };
    },
  };
}

export const [unmapType1v1, unmapType1v2, unmapIommufd, unmapSpaprV1, unmapSpaprV2, unmapXen] = WAYS.map(unmapAgainst);

const BITMAP = 0x2800;

export const bitmapAgainstDma: Protocol = {
  name: "unmap-with-bitmap-against-dma",
  title: "A page is unmapped (type1 v2) and its dirty bit asked for in one call while a device writes to it: what arrives is in the bitmap.",
  source: "vfio.md 17.6, 17.7",
  about: ["writes IommuDomain.slots", "reads IommuDomain.slots"],
  program(hazards): Program {
    const { stage, c, dma } = mapping(WAYS[1], hazards);
    if (stage.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, 8, uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START) !== 0) throw new Error("no dirty log");
    [48, uapi.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, IOVA, 0, 0x1000, 0, 0x1000, 0, 8, 0, BITMAP, 0].forEach((word, i) => stage.process.memory.setU32(ARGUMENT + 4 * i, word));
    const unmap = new Thread("UNMAP_DMA", "user", () => stage.process.ioctl(c, uapi.VFIO_IOMMU_UNMAP_DMA, ARGUMENT));
    const device = new Thread("device", "hardware", () => store(dma));
    return {
      sim: stage.sim,
      contexts: [unmap, device],
      check: nothing,
      end() {
        if (unmap.result !== 0) return `UNMAP_DMA: ${unmap.result}`;
        return device.result === 0 || stage.process.memory.getU32(BITMAP) === 1 ? null : "17.6: a page was written, and is not in the bitmap of its unmap";
      },
    };
  },
};
