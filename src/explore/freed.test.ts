import { describe, expect, it } from "vitest";
import { EventfdContext, EventfdFile } from "../host/eventfd.js";
import { KvmDevice, KvmDeviceFile } from "../kvm/device.js";
import { Sim } from "../sim/sim.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import * as K from "../uapi/kvm.js";
import { type Freed, itFindsFreed, locked, point, refuse, STRATEGIES } from "./freed.fixture.js";
import { HAZARD_CASES } from "./hazards/index.js";
import { search } from "./search.js";
import { KvmMachine } from "./stages/kvm-machine.js";

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

const KINDS: readonly Freed[] = [
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
];

/** What goes by a rule of the kernel: without it, memory is freed too early. */
const RULES: readonly [string, RegExp][] = [
  ["freeResamplerEarly", /^UseAfterFree: the freed resampler of GSI \d+ is used/],
  ["freeBusEarly", /^UseAfterFree: the freed (I\/O bus array|eventfd 0) is used/],
  ["dropResamplefdEarly", /^UseAfterFree: the freed eventfd \d+ is used/],
  ["freeWithoutSync", /^UseAfterFree: the freed (action|context of vector) /],
  ["shutDownUnasked", /^UseAfterFree: the freed virqfd is used/],
];

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("a use after free is found without anyone asking: files and virtual machines", () => {
  describe.each(STRATEGIES)("%s", (strategy) => {
    itFindsFreed(KINDS, strategy);

    it.each(RULES)("without the rule %s", (off, message) => {
      const hazard = HAZARD_CASES.find((each) => "off" in each && each.off === off && "protocol" in each);
      if (hazard === undefined || !("protocol" in hazard)) return refuse();
      const { protocol } = hazard;
      expect(search(protocol, { strategy, off: [off as never], shrink: false, executions: 5_000 }).violation?.message).toMatch(message);
    });
  });
});
