import { describe } from "vitest";
import { IommuGroup } from "../host/iommu/group.js";
import { Process } from "../host/process.js";
import { Sim } from "../sim/sim.js";
import { run, STRAIGHT } from "../sim/step.js";
import { VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU } from "../uapi/vfio.js";
import { VfioContainer } from "../vfio/container.js";
import { VfioDevice } from "../vfio/device.js";
import { Type1Backend } from "../vfio/iommu/type1.js";
import { IommufdContext } from "../vfio/iommufd/context.js";
import { type Freed, itFindsFreed, locked, point, refuse, STRATEGIES } from "./freed.fixture.js";
import { EVENTFD, INTX, NONE, PciStage, TRIGGER } from "./stages/pci-stage.js";
import { IrqCalls } from "./stages/vfio-calls.js";
import { VfioStage } from "./stages/vfio-stage.js";

function registers(): { process: Process; sim: Sim } {
  const sim = new Sim();
  const process = new Process(sim, "vmm");
  process.memory.map(0x10000, 0x10000);
  return { process, sim };
}

function iommufd(): { sim: Sim; context: IommufdContext } {
  const sim = new Sim();
  return { sim, context: new IommufdContext(sim, { allowUnsafeInterrupts: true }) };
}

const KINDS: readonly Freed[] = [
  [
    "a VFIO device: a reference taken when it has been unregistered",
    /^UseAfterFree: the freed VFIO device \S+ is used by user/,
    () => {
      const stage = new VfioStage();
      const device = run(stage.vfio.groupOf(stage.group)?.find(stage.a.name) ?? refuse());
      if (!(device instanceof VfioDevice)) return refuse();
      return {
        sim: stage.sim,
        *use() {
          yield* point();
          device.get();
          yield* device.put();
        },
        *free() {
          yield* device.put();
          yield* device.unregister();
        },
      };
    },
  ],
  [
    "a container: a request when its file is closed",
    /^UseAfterFree: the freed container is used by user/,
    () => {
      const { sim, process } = registers();
      const container = new VfioContainer(sim, []);
      return { sim, use: () => container.ioctl(process, VFIO_CHECK_EXTENSION, 1), free: () => container.fileReleased() };
    },
  ],
  [
    "a container's IOMMU: its lock",
    /^UseAfterFree: the freed type 1 IOMMU of a container is used by user/,
    () => {
      const sim = new Sim();
      const instance = new Type1Backend(sim).open(VFIO_TYPE1v2_IOMMU);
      if (typeof instance === "number") return refuse();
      return { sim, use: () => instance.detachGroup(new IommuGroup(sim, 1)), free: () => instance.release() };
    },
  ],
  [
    "a context of INTx: a signal by whoever does not keep it on",
    /^UseAfterFree: the freed context of INTx of 0000:06:00\.0 is used by user/,
    () => {
      const stage = new PciStage();
      const { d } = stage.ready();
      stage.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, stage.eventfd());
      const { intx } = stage.vfioA.irqs;
      return { sim: stage.sim, use: () => intx.signal(), free: new IrqCalls(stage, d).prepare({ index: INTX, flags: NONE | TRIGGER, count: 0 }) };
    },
  ],
  [
    "pinned pages: a DMA",
    /^UseAfterFree: the freed pin of pages at 0x10000 is used by user/,
    () => {
      const { sim, process } = registers();
      const pages = process.memory.pin(0x10000, 0x1000);
      return {
        sim,
        *use() {
          yield* point();
          pages.frame(0);
        },
        *free() {
          yield* point();
          process.memory.unpin(pages);
        },
      };
    },
  ],
  [
    "an iommufd's context: a group that comes late",
    /^UseAfterFree: the freed iommufd context is used by user/,
    () => {
      const { sim, context } = iommufd();
      return { sim, use: () => context.useForGroup(false), free: () => context.release() };
    },
  ],
  [
    "an iommufd's address space: its lock",
    /^UseAfterFree: the freed address space 1 is used by user/,
    () => {
      const { sim, context } = iommufd();
      const ioas = context.newIoas();
      return {
        sim,
        use: () => locked(ioas.lock),
        *free() {
          yield* context.lock.lock();
          context.destroy(ioas.id);
          yield* context.lock.unlock();
        },
      };
    },
  ],
  [
    "an iommufd's device: an attach",
    /^UseAfterFree: the freed iommufd device 1 is used by user/,
    () => {
      const { sim, context } = iommufd();
      const device = run(context.bind(new IommuGroup(sim, 1)));
      if (typeof device === "number") return refuse();
      return {
        sim,
        *use() {
          yield* point();
          yield* device.attach(7);
        },
        free: () => device.unbind(),
      };
    },
  ],
  [
    "an iommufd's page table: left by a group that has left it",
    /^UseAfterFree: the freed page table 5 is used/,
    () => {
      const { sim, context } = iommufd();
      const [ioas, group] = [context.newIoas(), new IommuGroup(sim, 1)];
      const hwpt = run(ioas.attach(group, () => 5, null));
      return typeof hwpt === "number" ? refuse() : { sim, use: () => ioas.detach(group, hwpt), free: () => ioas.detach(group, hwpt) };
    },
  ],
];

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("a use after free is found without anyone asking: VFIO and iommufd", () => {
  describe.each(STRATEGIES)("%s", (strategy) => {
    itFindsFreed(KINDS, strategy);
  });
});
