import { describe } from "vitest";
import { freeCollection, freeDevice, targetOf } from "../irqchip/gic/its/mappings.js";
import { run, STRAIGHT } from "../sim/step.js";
import { type Freed, itFindsFreed, locked, point, refuse, STRATEGIES } from "./freed.fixture.js";
import { ItsStage } from "./stages/its-stage.js";
import { MpicStage } from "./stages/mpic-stage.js";
import { PaprStage } from "./stages/papr-stage.js";
import { XicsStage } from "./stages/xics-stage.js";

const KINDS: readonly Freed[] = [
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

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("a use after free is found without anyone asking: interrupt controllers", () => {
  describe.each(STRATEGIES)("%s", (strategy) => {
    itFindsFreed(KINDS, strategy);
  });
});
