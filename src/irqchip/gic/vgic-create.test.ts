import { describe, expect, it } from "vitest";
import type { PhysicalGic } from "../../arch/gic/contract.js";
import { E2BIG, EAGAIN, EBUSY, EEXIST, EINVAL, ENODEV, ENXIO } from "../../uapi/errno.js";
import { Sim } from "../../sim/sim.js";
import { run } from "../../sim/step.js";
import { RedistRegion } from "./redist-region.js";
import { FakeVm, hostGicV2, hostGicV3, VgicStage } from "../../explore/stages/vgic-stage.js";
import { createVgic, Vgic } from "./vgic.js";
import { VgicConfig } from "./vgic-irq.js";

const vmWith = (vcpus: number, host: PhysicalGic = hostGicV3(1)): FakeVm => {
  const vm = new FakeVm(new Sim(), host);
  for (let id = 0; id < vcpus; id++) vm.addVcpu(id);
  return vm;
};

const created = (vm: FakeVm): Vgic => {
  const vgic = run(createVgic(vm, 3, null));
  if (typeof vgic === "number") throw new Error(`createVgic: ${vgic}`);
  return vgic;
};

describe("creation (gic-v3.md A3.1)", () => {
  it("vector VA1: a second controller is refused", () => {
    const vm = vmWith(1);
    const vgic = created(vm);
    expect(run(createVgic(vm, 3, vgic))).toBe(-EEXIST);
  });

  it("vector VA2: not after a vCPU has run", () => {
    const vm = vmWith(2);
    vm.vcpus[1].hasRun = true;
    expect(run(createVgic(vm, 3, null))).toBe(-EBUSY);
  });

  it("vector VA3: 512 vCPUs at most, 8 for GICv2", () => {
    expect(created(vmWith(512)).dist.cpus.length).toBe(512);
    expect(run(createVgic(vmWith(513), 3, null))).toBe(-E2BIG);
    const v2 = new FakeVm(new Sim(), hostGicV2(1));
    for (let id = 0; id < 9; id++) v2.addVcpu(id);
    expect(run(createVgic(v2, 2, null))).toBe(-E2BIG);
  });

  it("asks for the host first, then for the vCPUs' mutexes, then for another controller", () => {
    const vm = vmWith(2);
    const vgic = created(vm);
    run(vm.vcpus[1].mutex.lock());
    expect(run(createVgic(vm, 2, vgic))).toBe(-ENODEV);
    expect(run(createVgic(vm, 3, vgic))).toBe(-EBUSY);
    run(vm.vcpus[1].mutex.unlock());
    expect(run(createVgic(vm, 3, vgic))).toBe(-EEXIST);
    expect(vm.vcpus.every((vcpu) => vcpu.mutex.isOpen())).toBe(true);
  });
});

describe("INIT (gic-v3.md A3.5)", () => {
  it("vector VA15: once is enough, and afterwards no vCPU may come", () => {
    const vm = vmWith(1);
    const vgic = created(vm);
    expect([run(vgic.init()), run(vgic.init())]).toEqual([0, 0]);
    expect(run(vgic.vcpuCreated(vm.addVcpu(1)))).toBe(-EBUSY);
    expect([vgic.spiCount, vm.routedPins]).toEqual([224, 224]);
  });

  it("waits for vCPUs that are being created, and wants one", () => {
    const vm = vmWith(0);
    const vgic = created(vm);
    expect(run(vgic.init())).toBe(-ENODEV);
    vm.createdVcpus = 1;
    expect(run(vgic.init())).toBe(-EBUSY);
  });

  it("GICv2 initialises itself with the first injection", () => {
    const vm = vmWith(1, hostGicV2(1));
    const vgic = run(createVgic(vm, 2, null));
    if (typeof vgic === "number") throw new Error(`createVgic: ${vgic}`);
    expect([run(vgic.inject(-1, 40, true, null)), vgic.isInitialized]).toEqual([0, true]);
  });

  it("an owner and an end of a mapping need it", () => {
    const vgic = created(vmWith(1));
    expect(run(vgic.setOwner(0, 27, {}))).toBe(-EAGAIN);
    expect(run(vgic.unmapPhysicalIrq(0, 27))).toBe(-EAGAIN);
  });
});

describe("the first run (gic-v3.md A3.8)", () => {
  const placed = (): { vm: FakeVm; vgic: Vgic } => {
    const vm = vmWith(2);
    const vgic = created(vm);
    vgic.dist.distBase = 0x08000000;
    vgic.dist.redistRegions.push(new RedistRegion(0, 0x080a0000, 0));
    for (const cpu of vgic.dist.cpus) cpu.rdBase = 0x080a0000 + cpu.index * 0x20000;
    return { vm, vgic };
  };

  it("vector VA16: without a redistributor ENXIO, without INIT EBUSY", () => {
    const { vgic } = placed();
    expect(run(vgic.mapResources())).toBe(-EBUSY);
    expect(run(vgic.init())).toBe(0);
    vgic.dist.cpus[1].rdBase = -1;
    expect(run(vgic.mapResources())).toBe(-ENXIO);
    vgic.dist.cpus[1].rdBase = 0x080c0000;
    expect([run(vgic.mapResources()), vgic.dist.ready]).toEqual([0, true]);
  });

  it("a distributor inside a redistributor region, and a region past the guest's addresses, are EINVAL", () => {
    const { vm, vgic } = placed();
    run(vgic.init());
    vgic.dist.distBase = 0x080d0000;
    expect(run(vgic.mapResources())).toBe(-EINVAL);
    vgic.dist.distBase = 0x08000000;
    vm.ipaBits = 27;
    expect(run(vgic.mapResources())).toBe(-EINVAL);
  });

  it("after destroy there is nothing to inject into", () => {
    const { vgic } = placed();
    run(vgic.init());
    run(vgic.mapResources());
    run(vgic.destroy());
    expect([run(vgic.inject(-1, 40, true, null)), vgic.spiCount, vgic.dist.ready]).toEqual([-EBUSY, 0, false]);
  });
});

describe("objects (gic-v3.md A2)", () => {
  it("reset values: SGIs enabled edge, PPIs disabled level, SPIs disabled edge on vCPU 0, priority 0, group by model", () => {
    for (const [host, group] of [
      [hostGicV3(4), 1],
      [hostGicV2(4), 0],
    ] as const) {
      const h = new VgicStage({ host });
      for (const [intid, enabled, config] of [
        [0, true, VgicConfig.EDGE],
        [15, true, VgicConfig.EDGE],
        [16, false, VgicConfig.LEVEL],
        [31, false, VgicConfig.LEVEL],
        [32, false, VgicConfig.EDGE],
        [255, false, VgicConfig.EDGE],
      ] as const) {
        const irq = h.irq(intid, 2);
        expect([irq.enabled, irq.config, irq.priority, irq.group]).toEqual([enabled, config, 0, group]);
        expect(irq.targetVcpu).toBe(h.cpu(intid < 32 ? 2 : 0));
      }
      expect(h.irq(5, 2).targets).toBe(host.version === 2 ? 4 : 0);
    }
  });

  it("vCPUs are found by the affinity of their id, whatever the order of creation", () => {
    const h = new VgicStage({ ids: [17, 0, 300, 16] });
    expect([0x101, 0, 0x120c, 0x100, 1].map((affinity) => h.dist.cpuByAffinity(affinity)?.index)).toEqual([0, 1, 2, 3, undefined]);
  });

  it("what no interrupt has is not found", () => {
    const h = new VgicStage({ nrIrqs: 64 });
    expect([h.dist.irq(null, 5), h.dist.irq(h.cpu(0), 64), h.dist.irq(h.cpu(0), -1), h.dist.irq(null, 8192)]).toEqual([null, null, null, null]);
    expect([31, 32, 63, 64].map((intid) => h.dist.isValidSpi(intid))).toEqual([false, true, true, false]);
  });
});
