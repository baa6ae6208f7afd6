import { describe, expect, it } from "vitest";
import { EventfdContext, EventfdFile } from "../host/eventfd.js";
import { IommuGroup } from "../host/iommu/group.js";
import { Process } from "../host/process.js";
import { freeCollection, freeDevice, targetOf } from "../irqchip/gic/its/mappings.js";
import { KvmDevice, KvmDeviceFile } from "../kvm/device.js";
import { Sim } from "../sim/sim.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import * as K from "../uapi/kvm.js";
import { VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU } from "../uapi/vfio.js";
import { VfioContainer } from "../vfio/container.js";
import { VfioDevice } from "../vfio/device.js";
import { Type1Backend } from "../vfio/iommu/type1.js";
import { IommufdContext } from "../vfio/iommufd/context.js";
import { HAZARD_CASES } from "./hazards/index.js";
import { search } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { Cell, Task } from "./small.fixture.js";
import { ItsStage } from "./stages/its-stage.js";
import { KvmMachine } from "./stages/kvm-machine.js";
import { MpicStage } from "./stages/mpic-stage.js";
import { PaprStage } from "./stages/papr-stage.js";
import { EVENTFD, INTX, NONE, PciStage, TRIGGER } from "./stages/pci-stage.js";
import { IrqCalls } from "./stages/vfio-calls.js";
import { VfioStage } from "./stages/vfio-stage.js";
import { XicsStage } from "./stages/xics-stage.js";

/** One who uses an object without holding it, and one who frees it, each as the kernel would. */
interface Pair {
  readonly sim: Sim;
  use(): Step<unknown>;
  free(): Step<unknown>;
}

/** An access point at nothing that matters: what follows it announces nothing. */
function* point(): Step<void> {
  yield* new Cell().get();
}

function kvm(): KvmMachine {
  return new KvmMachine();
}

/** A VM with a vCPU, whose descriptors are closed by {@link freeVm}. */
function vmOf(m: KvmMachine): { vm: ReturnType<KvmMachine["vm"]>; freeVm: () => Step<void> } {
  const fd = m.createVm();
  const vm = m.vm(fd);
  const vcpu = m.ioctl(fd, K.KVM_CREATE_VCPU, 0);
  if (vcpu < 0) throw new Error(`no vCPU: ${vcpu}`);
  return {
    vm,
    *freeVm() {
      yield* m.process.close(vcpu);
      yield* m.process.close(fd);
    },
  };
}

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

const KINDS: readonly [string, RegExp, () => Pair][] = [
  [
    "a file: taken up by a number that is closed",
    /^UseAfterFree: the freed file is used by user/,
    () => {
      const sim = new Sim();
      const file = new EventfdFile(new EventfdContext(sim, 0, 0), false);
      return {
        sim,
        *use() {
          yield* point();
          file.get();
        },
        free: () => file.put(),
      };
    },
  ],
  [
    "a VM: its lock",
    /^UseAfterFree: the freed VM is used by user/,
    () => {
      const m = kvm();
      const { vm, freeVm } = vmOf(m);
      return { sim: m.sim, use: () => locked(vm.lock), free: freeVm };
    },
  ],
  [
    "a vCPU: its mutex",
    /^UseAfterFree: the freed vCPU 0 is used by user/,
    () => {
      const m = kvm();
      const { vm, freeVm } = vmOf(m);
      const [vcpu] = vm.armVcpus;
      return { sim: m.sim, use: () => locked(vcpu.mutex), free: freeVm };
    },
  ],
  [
    "a device of a VM: a request on it",
    /^UseAfterFree: the freed device nothing is used by user/,
    () => {
      const m = kvm();
      const { vm } = vmOf(m);
      const device = new KvmDevice(vm, { name: "nothing" });
      vm.devices.push(device);
      const file = new KvmDeviceFile(device);
      return {
        sim: m.sim,
        *use() {
          yield* point();
          yield* file.ioctl(m.process, K.KVM_SET_DEVICE_ATTR, 0);
        },
        *free() {
          yield* vm.lock.lock();
          yield* device.unlinkAndRelease();
          yield* vm.lock.unlock();
        },
      };
    },
  ],
  [
    "a routing table: a look without a section",
    /^UseAfterFree: the freed routing table is used by user/,
    () => {
      const m = kvm();
      const { vm } = vmOf(m);
      const table = vm.routing;
      return {
        sim: m.sim,
        *use() {
          yield* point();
          table.gsiOf(0, 0);
        },
        *free() {
          yield* point();
          table.free();
        },
      };
    },
  ],
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
  [
    "an ITS: its lock",
    /^UseAfterFree: the freed ITS is used by user/,
    () => {
      const { sim, its } = new ItsStage();
      return { sim, use: () => locked(its.itsLock), free: () => its.destroy() };
    },
  ],
  [
    "a device of an ITS: a look at its table",
    /^UseAfterFree: the freed ITS device 3 is used by user/,
    () => {
      const { sim, its } = new ItsStage();
      const device = its.addDevice(3, 4, 0x41100000);
      return {
        sim,
        *use() {
          yield* point();
          device.intid(0);
        },
        *free() {
          yield* its.itsLock.lock();
          yield* freeDevice(its, device);
          yield* its.itsLock.unlock();
        },
      };
    },
  ],
  [
    "a collection of an ITS: where it leads",
    /^UseAfterFree: the freed collection 2 is used by user/,
    () => {
      const { sim, its } = new ItsStage();
      const collection = its.collections.add(2);
      return {
        sim,
        *use() {
          yield* point();
          targetOf(its, collection);
        },
        *free() {
          yield* its.itsLock.lock();
          yield* freeCollection(its, collection);
          yield* its.itsLock.unlock();
        },
      };
    },
  ],
  [
    "an LPI: listed when its last reference has gone",
    /^UseAfterFree: the freed LPI 8192 is used by user/,
    () => {
      const { sim, dist } = new ItsStage();
      run(dist.lpis.map(8192, null));
      const irq = run(dist.lpis.get(8192));
      return irq === null ? refuse() : { sim, use: () => dist.lpis.pin(irq), free: () => dist.lpis.put(irq) };
    },
  ],
  [
    "a block of XICS sources: its lock",
    /^UseAfterFree: the freed block of XICS sources 0 is used by user/,
    () => {
      const { sim, xics, device } = new XicsStage({});
      const block = run(xics.findOrCreateBlock(16));
      return { sim, use: () => locked(block.lock), free: () => device.release() };
    },
  ],
  [
    "a XICS: an input",
    /^UseAfterFree: the freed XICS is used by user/,
    () => {
      const { sim, xics, device } = new XicsStage({});
      return { sim, use: () => xics.input(16, true), free: () => device.release() };
    },
  ],
  [
    "a presentation controller: looked at when its device is closed",
    /^UseAfterFree: the freed presentation controller 0 is used by user/,
    () => {
      const { m } = new PaprStage({});
      const { icp } = m.cpus[0].vcpu;
      return icp === null ? refuse() : { sim: m.sim, use: () => icp.needsResend(), free: () => m.process.close(m.device) };
    },
  ],
  [
    "an MPIC: its lock",
    /^UseAfterFree: the freed MPIC is used by user/,
    () => {
      const { sim, mpic, device } = new MpicStage();
      return { sim, use: () => locked(mpic.lock), free: () => device.destroy() };
    },
  ],
];

function* locked(lock: { lock(): Step<void>; unlock(): Step<void> }): Step<void> {
  yield* lock.lock();
  yield* lock.unlock();
}

function refuse(): never {
  throw new Error("the stage is not what it was");
}

/** What goes by a rule of the kernel: without it, memory is freed too early. */
const RULES: readonly [string, RegExp][] = [
  ["freeResamplerEarly", /^UseAfterFree: the freed resampler of GSI \d+ is used/],
  ["freeBusEarly", /^UseAfterFree: the freed (I\/O bus array|eventfd 0) is used/],
  ["dropResamplefdEarly", /^UseAfterFree: the freed eventfd \d+ is used/],
  ["freeWithoutSync", /^UseAfterFree: the freed (action|context of vector) /],
  ["shutDownUnasked", /^UseAfterFree: the freed virqfd is used/],
];

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("a use after free is found without anyone asking", () => {
  describe.each(["preemption", "dpor"] as const)("%s", (strategy) => {
    it.each(KINDS)("%s", (name, message, pair) => {
      const protocol = protocolOf(name, () => {
        const { sim, ...both } = pair();
        const contexts = (["use", "free"] as const).map((what) => new Task(what === "use" ? "user" : "owner", function* () {
          yield* both[what]();
        }));
        return { sim, contexts, check: () => null };
      });
      expect(search(protocol, { strategy, shrink: false }).violation?.message).toMatch(message);
    });

    it.each(RULES)("without the rule %s", (off, message) => {
      const hazard = HAZARD_CASES.find((each) => "off" in each && each.off === off && "protocol" in each);
      if (hazard === undefined || !("protocol" in hazard)) return refuse();
      const { protocol } = hazard;
      expect(search(protocol, { strategy, off: [off as never], shrink: false, executions: 5_000 }).violation?.message).toMatch(message);
    });
  });
});
