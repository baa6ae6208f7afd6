import { describe, expect, it } from "vitest";
import { CapId, Exp, Msi, Pci, Status } from "../arch/pci/config-registers.js";
import { expressCapability, msiCapability, msixCapability, vendorCapability } from "../device/pci/capabilities.js";
import { NO_REGISTERS } from "../device/pci/bar.js";
import { PciFunction } from "../device/pci/function.js";
import { CONFIG, EVENTFD, MSI, MSIX, PciStage, TRIGGER } from "../explore/stages/pci-stage.js";
import { IommuGroup } from "../host/iommu/group.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { Random } from "../sim/random.js";
import { run, type Step } from "../sim/step.js";
import * as uapi from "../uapi/vfio.js";

const MSIX_LAYOUT = { vectors: 4, tableBar: 0, tableOffset: 0, pbaBar: 0, pbaOffset: 0x800 } as const;
const NAME = "0000:07:00.0";
const VENDOR_SPECIFIC = 0x09;
const EXTENDED_VENDOR_SPECIFIC = 0x0b;

/** A function that answers a configuration cycle with what it likes, where it likes to. */
class HostileFunction extends PciFunction {
  readonly answers = new Map<number, number>();

  says(at: number, ...bytes: number[]): this {
    bytes.forEach((byte, i) => this.answers.set(at + i, byte));
    return this;
  }

  override *readConfig(offset: number, size: number): Step<number> {
    let value = yield* super.readConfig(offset, size);
    for (let i = 0; i < size; i++) {
      const byte = this.answers.get(offset + i);
      if (byte !== undefined) value = (value & ~(0xff << (8 * i))) | (byte << (8 * i));
    }
    return value;
  }
}

function hostile(): HostileFunction {
  const bars = [{ index: 0, size: 0x4000, kind: "mem32", registers: NO_REGISTERS }] as const;
  return new HostileFunction({ name: NAME, requesterId: 0x700, vendor: 1, device: 2, classCode: 0, bars, capabilities: [msiCapability({ vectors: 4 }), msixCapability(MSIX_LAYOUT), expressCapability({ hasFlr: true })], msix: MSIX_LAYOUT }).says(Pci.STATUS, Status.CAP_LIST);
}

/** Opened as its user would. */
function opened(fn: PciFunction): { world: PciStage; d: number } {
  const world = new PciStage();
  run(world.root.plug(fn, null));
  world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(7, false), group: new IommuGroup(world.sim, 20) }));
  world.bind(NAME);
  const [c, g] = ["/dev/vfio/vfio", "/dev/vfio/20"].map((path) => world.open(path));
  world.setContainer(g, c);
  world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
  return { world, d: world.deviceFd(g, NAME) };
}

describe("a device that lies about its configuration space", () => {
  it("a capability that goes beyond the first 256 bytes is not shown", () => {
    const { world, d } = opened(hostile().says(Pci.CAP_POINTER, 0xfc).says(0xfc, VENDOR_SPECIFIC, 0, 0xff, 0));
    expect([world.configRead(d, Pci.CAP_POINTER, 1), world.configRead(d, Pci.STATUS, 2) & Status.CAP_LIST]).toEqual([0, 0]);
  });

  it("a PCI Express capability of version 1 has no later version's registers: what stands there before it keeps its own rules", () => {
    const [vendor, msi, express] = [0x40, 0x70, 0x4c];
    const fn = new HostileFunction({ name: NAME, requesterId: 0x700, vendor: 1, device: 2, classCode: 0, capabilities: [vendorCapability(msi - vendor), msiCapability({ vectors: 1 })] });
    const { world, d } = opened(fn.says(Pci.CAP_POINTER, msi).says(msi + 1, express).says(express, CapId.EXPRESS, 0, 1, 0));
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(0);
    // DEVCTL2 would be the low half of the message's address.
    expect(express + Exp.DEVCTL2).toBe(msi + Msi.ADDRESS_LO);
    const address = fn.peek(msi + Msi.ADDRESS_LO, 4);
    world.configWrite(d, msi + Msi.ADDRESS_LO, 4, 0xdead_beec | 0);
    expect([fn.peek(msi + Msi.ADDRESS_LO, 4), world.configRead(d, msi + Msi.ADDRESS_LO, 4)]).toEqual([address, 0xdead_beec]);
  });

  it("nor an extended one that goes beyond the 4096th, or begins where its length would not fit", () => {
    const first = opened(hostile().says(0x100, EXTENDED_VENDOR_SPECIFIC, 0, 1, 0, 0, 0, 0xf0, 0xff));
    expect([first.d > 0, first.world.configRead(first.d, 0x100, 2)]).toEqual([true, 0]);
    const second = opened(hostile().says(0x100, 3, 0, 0xc1, 0xff).says(0xffc, EXTENDED_VENDOR_SPECIFIC, 0, 1, 0));
    expect(second.world.configRead(second.d, 0x102, 2)).toBe(1);
  });

  it("whatever it says, it opens, reads, writes, gives interrupts or refuses them, and closes", () => {
    const random = new Random(1);
    const statuses = new Set<boolean>();
    for (let device = 0; device < 300; device++) {
      const fn = random.below(4) === 0 ? hostile() : hostile().says(Pci.CAP_POINTER, 0x40 + 4 * random.below(48));
      for (let i = 0; i < 40; i++) fn.says(0x40 + 4 * random.below(48), random.below(0x16), 4 * random.below(64), random.below(256), random.below(256));
      for (let i = 0; i < 40; i++) fn.says(i === 0 ? 0x100 : 4 * random.below(1024), random.below(0x30), 0, random.below(256) & 0xf1, random.below(256), ...[0, 0, 0, 0].map(() => random.below(256)));
      const { world, d } = opened(fn);
      if (d < 0) continue;
      for (let at = 0; at < 4096; at += 4) {
        world.regionRead(d, CONFIG + at, 4);
        if (random.below(4) === 0) world.configWrite(d, at, 4, random.below(2 ** 32));
      }
      for (const index of [MSI, MSIX]) statuses.add(world.setIrqs(d, index, EVENTFD | TRIGGER, 0, 1, world.eventfd()) === 0);
      expect(world.close(d)).toBe(0);
    }
    expect([...statuses].toSorted()).toEqual([false, true]);
  });
});
