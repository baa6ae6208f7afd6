import { describe, expect, it } from "vitest";
import { Msi } from "../arch/pci/config-registers.js";
import { IommuDma } from "../host/iommu/dma.js";
import { IommuDomain } from "../host/iommu/domain.js";
import { SW_MSI_REGION } from "../host/iommu/group.js";
import { run } from "../sim/step.js";
import { EINVAL, ENOMEM, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { VFIO_IOMMU_FAULT_WRITE, VFIO_IOMMU_TAKE_FAULT } from "../uapi/vfio-fault.js";
import { EVENTFD, MSI, MSIX, PciStage, type PciStageOptions, RemappingStub, TRIGGER } from "../explore/stages/pci-stage.js";

// Vectors 91 to 94 of host-irq.md 8.6: messages through an SMMU (5.4).

/** GITS_TRANSLATER of the vectors, with a stand-in for the ITS behind it. */
const DOORBELL = 0x0809_0040;
const MSI_CAP = 0x48;

function ready(options: PciStageOptions = {}) {
  const world = new PciStage({ reserved: [SW_MSI_REGION], doorbell: DOORBELL, ...options });
  const fds = world.ready();
  world.configWrite(fds.d, 4, 2, 6);
  return { world, ...fds };
}

function pages(world: PciStage): string[] {
  const domain = run(world.pciGroup.current());
  if (typeof domain === "string") throw new Error(`the group is ${domain}`);
  return run(domain.doorbellPages()).map((page) => `${page.iova.toString(16)} to ${page.address.toString(16)}`);
}

const addressOf = (world: PciStage): string => (world.A.fn.peek(MSI_CAP + Msi.ADDRESS_LO, 4) >>> 0).toString(16);

describe("messages behind an SMMU", () => {
  it("vector 91: the function is told where the doorbell is mapped for it, in the window; the message arrives", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    expect([addressOf(world), pages(world)]).toEqual(["8000040", ["8000000 to 8090000"]]);
    world.event(0);
    expect(world.take(E)).toBe(1);
  });

  it("5.4: a write of the device's own to the doorbell is a message too, of one word and where that is mapped", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    const dma = new IommuDma(world.smmu, world.pciGroup, world.A.fn.requesterId);
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, world.A.fn.peek(MSI_CAP + Msi.DATA_64, 2), true);
    const took = (iova: number, bytes: Uint8Array): [boolean, number] => {
      const isWritten = run(dma.write(iova, bytes));
      world.settle();
      return [isWritten, Math.max(world.take(E), 0)];
    };
    expect(took(0x800_0040, data)).toEqual([true, 1]);
    expect([took(0x800_1040, data), took(DOORBELL, data), took(0x800_0040, new Uint8Array(8))]).toEqual([[false, 0], [false, 0], [false, 0]]);
    expect(world.smmu.events.records.map((each) => each.iova)).toEqual([0x800_1040, DOORBELL, 0x800_0040]);
  });

  it("vector 92: a second function of the domain shares the page; a second doorbell gets the next", () => {
    const { world, d, g } = ready();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, world.eventfd());
    const b = world.deviceFd(g, world.B.name);
    expect(world.setIrqs(b, MSIX, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(0);
    expect([world.B.fn.table?.addressHi(0), world.B.fn.table?.addressLo(0).toString(16), pages(world)]).toEqual([0, "8000040", ["8000000 to 8090000"]]);
    world.setIrqs(b, MSIX, 1 | TRIGGER, 0, 0);
    world.machine.host.msi = new RemappingStub(world, { doorbell: 0x0802_0040, baseSpi: 128 });
    expect(world.setIrqs(b, MSIX, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(0);
    expect([world.B.fn.table?.addressHi(0), world.B.fn.table?.addressLo(0).toString(16), pages(world).at(-1)]).toEqual([0, "8001040", "8001000 to 8020000"]);
  });

  it("vector 93: no user mapping covers the window, and unmapping everything leaves it", () => {
    const { world, d, c } = ready();
    const E = world.eventfd();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    expect(world.map(c, 0x0800_0000n, 0x1000n)).toBe(-EINVAL);
    expect(world.map(c, 0n, 0x1000n)).toBe(0);
    expect(world.unmap(c, 0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL)).toEqual([0, 0x1000n]);
    world.event(0);
    expect([pages(world), world.take(E)]).toEqual([["8000000 to 8090000"], 1]);
  });

  it("vector 94: functions whose messages are not isolated are refused, unless the option says otherwise", () => {
    for (const [allowUnsafeInterrupts, result] of [[false, -EPERM], [true, 0]] as const) {
      const world = new PciStage({ isMsiIsolated: false, allowUnsafeInterrupts, reserved: [SW_MSI_REGION] });
      const [c, g] = [world.open("/dev/vfio/vfio"), world.open("/dev/vfio/12")];
      world.setContainer(g, c);
      expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(result);
    }
  });

  it("K23: a message composed for another domain is written to an address that is not mapped, and is lost; the owner is told", () => {
    const { world, d, c } = ready();
    const E = world.eventfd();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    run(world.pciGroup.attach(new IommuDomain("iommu", { msiWindow: SW_MSI_REGION })));
    world.event(0);
    expect(world.take(E)).toBeLessThan(0);
    expect(world.smmu.events.records).toEqual([{ fault: "F_TRANSLATION", stream: 0x600, iova: 0x0800_0040, isWrite: true }]);
    expect([world.call(c, VFIO_IOMMU_TAKE_FAULT, 32, 0), world.answer(4), world.answer(12), world.answer(16)]).toEqual([0, VFIO_IOMMU_FAULT_WRITE, 0x600, 0x0800_0040]);
  });

  it("5.4, 3: vectors are refused when the window is full", () => {
    const domain = new IommuDomain("iommu", { msiWindow: { ...SW_MSI_REGION, end: 0x0800_1fffn } });
    expect([0x1040, 0x2040, 0x1080, 0x3040].map((address) => run(domain.prepareDoorbell(address)))).toEqual([0x800_0040, 0x800_1040, 0x800_0080, -ENOMEM]);
  });

  it("5.4, 3: a full window fails the vector set-up, and leaves nothing", () => {
    const { world, d } = ready();
    run(world.pciGroup.attach(new IommuDomain("iommu", { msiWindow: { ...SW_MSI_REGION, end: 0x0800_0ffen } })));
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 2, world.eventfd(), world.eventfd())).toBe(-ENOMEM);
    expect([world.A.vectors.kind, world.A.vectors.allocated, run(world.vfioA.irqs.mode.get())]).toEqual(["none", 0, 5]);
  });

  it("x86's doorbell is the hardware's: no mapping, even while DMA is blocked", () => {
    const world = new PciStage();
    const { d } = world.ready();
    const E = world.eventfd();
    world.configWrite(d, 4, 2, 6);
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    run(world.pciGroup.attach(null));
    world.event(0);
    expect(world.take(E)).toBe(1);
  });
});
