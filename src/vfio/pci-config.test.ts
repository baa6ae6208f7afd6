import { describe, expect, it } from "vitest";
import { CapId, Exp, Msi, Pci, Pm } from "../arch/pci/config-registers.js";
import { afCapability, type Capability, expressCapability, msiCapability, pmCapability, vendorCapability, vpdCapability } from "../device/pci/capabilities.js";
import { NO_REGISTERS } from "../device/pci/bar.js";
import { PciFunction } from "../device/pci/function.js";
import { IommuGroup } from "../host/iommu/group.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { run } from "../sim/step.js";
import { EFAULT, EIO } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { VirtualConfig } from "./backends/pci/config.js";
import { CONFIG, EVENTFD, MSI, PciStage, type PciStageOptions, TRIGGER } from "../explore/stages/pci-stage.js";

function ready(options: PciStageOptions = {}) {
  const world = new PciStage(options);
  const fds = world.ready();
  const { d } = fds;
  const read = (offset: number, size: number): number => world.configRead(d, offset, size);
  const write = (offset: number, size: number, value: number): number => world.configWrite(d, offset, size, value);
  const hardware = (offset: number, size: number): number => world.A.fn.peek(offset, size);
  return { world, ...fds, read, write, hardware };
}

const PM = 0x40;
const MSI_CAP = 0x48;
const EXPRESS = 0x58;
const MSIX_CAP = 0x94;

describe("configuration space", () => {
  it("vector 64: is 4096 bytes, and nothing beyond", () => {
    const { world, d, read } = ready();
    expect([read(4090, 4) >= 0, run(world.process.read(d, 0x2000, 8, CONFIG + 4090))]).toEqual([true, -EFAULT]);
    expect([run(world.process.read(d, 0x2000, 1, CONFIG + 4096)), run(world.process.read(d, 0x2000, 0, CONFIG))]).toEqual([-EFAULT, 0]);
    expect(run(world.process.read(d, 0x9999_0000, 4, CONFIG))).toBe(-EFAULT);
  });

  it("of a conventional function ends at 256", () => {
    const { read, world, d } = ready({ isConventional: true });
    expect([read(0x100, 4), world.call(d, 0x3b6c, 32, 0, 7, 0), world.answer(16)]).toEqual([-EFAULT, 0, 256]);
  });

  it("is cut into aligned pieces, and put together again", () => {
    const { world, d } = ready();
    expect(run(world.process.read(d, 0x2000, 11, CONFIG + 1))).toBe(11);
    const bytes = Array.from({ length: 11 }, (_, i) => world.process.memory.getU8(0x2000 + i));
    expect(bytes).toEqual([0x80, 0xd3, 0x10, 3, 0, 0x10, 0, 0, 0, 0, 2]);
  });

  it("vector 65: a BAR is sized by writing ones; the hardware's keeps its address", () => {
    const { read, write, hardware } = ready();
    const address = hardware(0x10, 4);
    expect(write(0x10, 4, 0xffff_ffff)).toBe(4);
    expect(read(0x10, 4)).toBe(0xffff_0000);
    write(0x10, 4, 0);
    expect([read(0x10, 4), hardware(0x10, 4), address !== 0]).toEqual([0, address, true]);
  });

  it("13.3: a BAR that has lost its upper half alone is put back before it decodes", () => {
    const world = new PciStage();
    const fn = new PciFunction({ name: "0000:07:00.0", requesterId: 0x700, vendor: 1, device: 2, classCode: 0, bars: [{ index: 2, size: 2 ** 33, kind: "mem64", registers: NO_REGISTERS }] });
    run(world.root.plug(fn, null));
    const config = new VirtualConfig(new PciDevice(world.root, fn, { bus: world.A.bus }), world.vfioA);
    run(config.build(false));
    const before = [0x18, 0x1c].map((at) => fn.peek(at, 4));
    run(fn.reset());
    expect([0x18, 0x1c].map((at) => fn.peek(at, 4))).toEqual([before[0], 0]);
    world.process.memory.setU32(0x2000, 2);
    run(config.write(world.process, 0x2000, 2, Pci.COMMAND));
    expect([0x18, 0x1c].map((at) => fn.peek(at, 4))).toEqual(before);
  });

  it("13.4: BARs have their type bits, unimplemented ones read 0, the ROM's enable is kept", () => {
    const { read, write, hardware } = ready();
    expect(read(0x10, 4)).toBe(hardware(0x10, 4) >>> 0);
    for (let at = 0x10; at < 0x28; at += 4) write(at, 4, 0xffff_ffff);
    write(0x30, 4, 0xffff_ffff);
    const sized = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30].map((at) => read(at, 4));
    expect(sized).toEqual([0xffff_0000, 0, 0xffff_c000, 0, 0xffff_ffe1, 0, 0xffff_f801]);
    write(0x30, 4, 0xffff_f800);
    expect(read(0x30, 4)).toBe(0xffff_f800);
  });

  it("13.4: the upper half of a 64-bit BAR is the user's", () => {
    const world = new PciStage();
    const c = world.open("/dev/vfio/vfio");
    const g = world.open("/dev/vfio/12");
    world.setContainer(g, c);
    world.ioctl(c, 0x3b66, 3);
    const d = world.deviceFd(g, world.B.name);
    for (const at of [0x10, 0x14]) world.configWrite(d, at, 4, 0xffff_ffff);
    expect([world.configRead(d, 0x10, 4), world.configRead(d, 0x14, 4)]).toEqual([0xffff_f004, 0xffff_ffff]);
  });

  it("13.4: of a BAR of 8 GiB the upper half says the size, and firmware puts it above 4 GiB", () => {
    const world = new PciStage();
    const fn = new PciFunction({ name: "0000:07:00.0", requesterId: 0x700, vendor: 1, device: 2, classCode: 0, bars: [{ index: 0, size: 2 ** 33, kind: "mem64", registers: NO_REGISTERS }] });
    run(world.root.plug(fn, null));
    const group = new IommuGroup(world.sim, 20);
    world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(7, false), group }));
    world.bind("0000:07:00.0");
    const [c, g] = ["/dev/vfio/vfio", "/dev/vfio/20"].map((path) => world.open(path));
    world.setContainer(g, c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
    const d = world.deviceFd(g, "0000:07:00.0");
    expect(world.configRead(d, 0x14, 4)).toBeGreaterThan(0);
    for (const at of [0x10, 0x14]) world.configWrite(d, at, 4, 0xffff_ffff);
    expect([world.configRead(d, 0x10, 4), world.configRead(d, 0x14, 4)]).toEqual([4, 0xffff_fffe]);
  });

  it.each([["I/O", 1], ["memory", 2]])("13.3, rule 2: %s decode that was lost behind the user's back brings the host's addresses back, the ROM's too", (_, decode) => {
    const { world, write, hardware } = ready();
    write(4, 2, decode);
    const rom = hardware(0x30, 4);
    for (const at of [0x30, 4]) run(world.A.fn.writeConfig(at, at === 4 ? 2 : 4, 0));
    expect([hardware(0x30, 4), rom !== 0]).toEqual([0, true]);
    write(4, 2, decode);
    expect([hardware(0x30, 4), hardware(4, 2) & 3]).toEqual([rom, decode]);
  });

  it("13.5: the FLR bit of a function that has no FLR resets nothing, though there is another way to", () => {
    const world = new PciStage({ isConventional: true, extra: [expressCapability()], resetsInD3: true });
    const { d } = world.ready();
    const { resets } = world.A.fn;
    expect(world.configWrite(d, world.A.fn.capability(CapId.EXPRESS) + Exp.DEVCTL, 2, Exp.DEVCTL_FLR)).toBe(2);
    expect(world.A.fn.resets).toBe(resets);
    expect([world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0), world.A.fn.resets > resets]).toEqual([0, true]);
  });

  it("vector 66: COMMAND reaches the hardware but for DisINTx, which the mask sets", () => {
    const { world, read, write, hardware } = ready();
    write(4, 2, 0x0406);
    expect([read(4, 2), hardware(4, 2), run(world.vfioA.irqs.mode.isVirqDisabled())]).toEqual([0x0406, 0x0406, true]);
    write(4, 2, 0x0006);
    expect([read(4, 2), hardware(4, 2)]).toEqual([0x0006, 0x0006]);
  });

  it("13.2: STATUS cannot be cleared, ids and class are read, cache line and latency written, the line is scratch", () => {
    const { world, read, write, hardware } = ready();
    world.A.fn.setRegister(Pci.STATUS, 2, 0xf010);
    write(6, 2, 0xffff);
    write(0, 4, 0x1234_5678);
    write(8, 4, -1);
    expect([read(6, 2), read(0, 4), read(8, 4)]).toEqual([0xf010, 0x10d3_8086, 0x0200_0000]);
    write(0xc, 2, 0x4010);
    expect([read(0xc, 2), hardware(0xc, 2)]).toEqual([0x4010, 0x4010]);
    expect(read(0x3c, 1)).toBe(world.A.irq);
    write(0x3c, 2, 0x0b0b);
    expect([read(0x3c, 2), hardware(0x3c, 1)]).toEqual([0x010b, 0]);
  });

  it("13.3: a reset behind the user's back is mended before memory decodes again", () => {
    const { world, write, hardware } = ready();
    write(4, 2, 0x0006);
    const address = hardware(0x10, 4);
    run(world.A.fn.reset());
    expect(hardware(0x10, 4)).toBe(0);
    write(4, 2, 0x0006);
    expect([hardware(0x10, 4), hardware(4, 2)]).toEqual([address, 0x0006]);
  });
});

describe("capabilities", () => {
  it("13.5: those that VFIO does not know are unlinked; their bytes stay", () => {
    const hidden: Capability = { id: 0x0d, length: 8, fields: [{ offset: 4, size: 4, value: 0x1234, writable: -1 }] };
    const { read, write, hardware } = ready({ extra: [hidden, vendorCapability(8)] });
    const chain: number[] = [];
    for (let at = read(0x34, 1); at !== 0; at = read(at + 1, 1)) chain.push(read(at, 1));
    expect(chain).toEqual([1, 5, 0x10, 0x11, 9]);
    expect([hardware(MSIX_CAP + 1, 1), read(MSIX_CAP + 1, 1)]).toEqual([0xa0, 0xa8]);
    write(0xa4, 4, 0x77);
    expect([read(0xa0, 1), read(0xa4, 4)]).toEqual([0x0d, 0x77]);
    write(0xab, 1, 0x5a);
    expect(read(0xab, 1)).toBe(0x5a);
  });

  it("vector 67: MSI is enabled by SET_IRQS alone, and shows as many vectors as were enabled", () => {
    const { world, d, read, write, hardware } = ready();
    write(MSI_CAP + Msi.FLAGS, 2, 1);
    expect([read(MSI_CAP + Msi.FLAGS, 2) & 1, hardware(MSI_CAP + Msi.FLAGS, 2) & 1]).toEqual([0, 0]);
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 4, world.eventfd(), -1, -1, -1);
    write(MSI_CAP + Msi.FLAGS, 2, 0x71);
    const flags = read(MSI_CAP + Msi.FLAGS, 2);
    expect([flags & 1, (flags >> 4) & 7, (flags >> 1) & 7]).toEqual([1, 2, 2]);
    expect(hardware(MSI_CAP + Msi.FLAGS, 2) & 0x7f).toBe(flags);
    world.setIrqs(d, MSI, 1 | TRIGGER, 0, 0);
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 2, world.eventfd(), -1);
    expect((read(MSI_CAP + Msi.FLAGS, 2) >> 1) & 7).toBe(1);
  });

  it("13.6: MSI's address and data are a scratch pad for the user", () => {
    const { world, d, read, write, hardware } = ready();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, world.eventfd());
    const programmed = hardware(MSI_CAP + Msi.ADDRESS_LO, 4);
    write(MSI_CAP + Msi.ADDRESS_LO, 4, 0xfee0_1000);
    write(MSI_CAP + Msi.ADDRESS_HI, 4, 0x11);
    write(MSI_CAP + Msi.DATA_64, 2, 0x4041);
    expect([read(MSI_CAP + Msi.ADDRESS_LO, 4), read(MSI_CAP + Msi.ADDRESS_HI, 4), read(MSI_CAP + Msi.DATA_64, 2)]).toEqual([0xfee0_1000, 0x11, 0x4041]);
    expect([hardware(MSI_CAP + Msi.ADDRESS_LO, 4), hardware(MSI_CAP + Msi.DATA_64, 2)]).toEqual([programmed, 64]);
  });

  it("13.6: MSI's mask bits are the function's", () => {
    const { write, hardware } = ready({ isMsiMaskable: true });
    write(MSI_CAP + Msi.MASK_64, 4, 5);
    expect(hardware(MSI_CAP + Msi.MASK_64, 4)).toBe(5);
  });

  it("13.5: of MSI-X nothing is written", () => {
    const { write, hardware } = ready();
    write(MSIX_CAP + 2, 2, 0xc000);
    write(MSIX_CAP + 4, 4, 0xffff_ffff);
    expect([hardware(MSIX_CAP + 2, 2), hardware(MSIX_CAP + 4, 4)]).toEqual([7, 2]);
  });

  it("13.5: power management shows no PME, and changes the state by its own way", () => {
    const { world, d, read, write, hardware } = ready();
    expect([hardware(PM + Pm.PMC, 2), read(PM + Pm.PMC, 2)]).toEqual([0xf803, 3]);
    write(PM + Pm.PMCSR, 2, 0x8103);
    expect([read(PM + Pm.PMCSR, 2), hardware(PM + Pm.PMCSR, 2)]).toEqual([0x000b, 0x000b]);
    expect(world.regionRead(d, 0, 4)).toBe(-EIO);
    write(PM + Pm.PMCSR, 2, 0);
    expect([read(PM + Pm.PMCSR, 2), world.regionRead(d, 0, 4)]).toEqual([8, 0]);
  });

  it("a function that loses its registers in D3hot gets them back", () => {
    const { write, hardware } = ready({ resetsInD3: true });
    const address = hardware(0x10, 4);
    write(PM + Pm.PMCSR, 2, 3);
    write(PM + Pm.PMCSR, 2, 0);
    expect([hardware(0x10, 4), address !== 0]).toEqual([address, true]);
  });

  it("vector 70: writing the FLR bit resets the function, and reads 0; what signals goes on", () => {
    const { world, d, read, write } = ready();
    const E = world.eventfd();
    write(4, 2, 6);
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    const { resets } = world.A.fn;
    write(EXPRESS + Exp.DEVCTL, 2, 0xa000);
    expect([world.A.fn.resets - resets, read(EXPRESS + Exp.DEVCTL, 2)]).toEqual([1, 0x2000]);
    world.event(0);
    expect(world.take(E)).toBe(1);
  });

  it("13.5: payload size is the system's, the read request goes through but never below it", () => {
    const { world, read, write, hardware } = ready();
    world.A.fn.setRegister(EXPRESS + Exp.DEVCTL, 2, 0x2040);
    write(EXPRESS + Exp.DEVCTL, 2, 0x30af);
    expect([read(EXPRESS + Exp.DEVCTL, 2), hardware(EXPRESS + Exp.DEVCTL, 2)]).toEqual([0x30af, 0x304f]);
    write(EXPRESS + Exp.DEVCTL, 2, 0x000f);
    expect([read(EXPRESS + Exp.DEVCTL, 2), hardware(EXPRESS + Exp.DEVCTL, 2)]).toEqual([0x000f, 0x204f]);
    write(EXPRESS + Exp.DEVCTL2, 2, 0xffff);
    expect(hardware(EXPRESS + Exp.DEVCTL2, 2)).toBe(0xffdf);
  });

  it("13.5: vital product data are read and written by the host, whose turn the flag tells", () => {
    const { read, write, hardware } = ready({ extra: [vpdCapability()] });
    const VPD = 0xa0;
    write(VPD + 2, 2, 4);
    expect([read(VPD + 2, 2), read(VPD + 4, 4)]).toEqual([0x8004, 0x0706_0504]);
    write(VPD + 4, 4, 0x1122_3344);
    expect(hardware(VPD + 4, 4)).toBe(0x0706_0504);
    write(VPD + 2, 2, 0x8008);
    expect(read(VPD + 2, 2)).toBe(8);
    write(VPD + 4, 4, 0);
    write(VPD + 2, 2, 8);
    expect(read(VPD + 4, 4)).toBe(0x1122_3344);
  });

  it("13.5: AF resets like FLR", () => {
    const { world, write, read } = ready({ extra: [afCapability()] });
    const { resets } = world.A.fn;
    write(0xa4, 1, 1);
    expect([world.A.fn.resets - resets, read(0xa4, 1)]).toEqual([1, 0]);
    world.A.fn.setRegister(0xa3, 1, 1);
    write(0xa4, 1, 1);
    expect([world.A.fn.resets - resets, read(0xa4, 1)]).toEqual([1, 0]);
  });
});

describe("extended capabilities", () => {
  const extended = (world: PciStage, ...list: { at: number; header: number; words?: number[] }[]) => {
    const fn = new PciFunction({ name: "0000:06:00.2", requesterId: 0x602, vendor: 1, device: 2, classCode: 0, capabilities: [pmCapability(), msiCapability({ vectors: 1 }), expressCapability()], bars: [{ index: 0, size: 4096, kind: "mem32", registers: NO_REGISTERS }] });
    for (const { at, header, words = [] } of list) [header, ...words].forEach((word, i) => fn.setRegister(at + 4 * i, 4, word | 0));
    const device = new PciDevice(world.root, fn, { bus: world.A.bus });
    const config = new VirtualConfig(device, world.vfioA);
    run(config.build(false));
    const read = (at: number): number => (run(config.read(world.process, 0x2000, 4, at)) === 4 ? world.process.memory.getU32(0x2000) : -1);
    return { config, read, fn };
  };

  it("13.5: a hidden one is unlinked; a hidden first one keeps only its next pointer", () => {
    const world = new PciStage();
    const later = extended(world, { at: 0x100, header: 0x1401_0001 }, { at: 0x140, header: 0x1501_001b }, { at: 0x150, header: 0x0001_0003 });
    expect([later.read(0x100), later.read(0x140), later.read(0x150)]).toEqual([0x1501_0001, 0x1501_001b, 0x0001_0003]);
    const first = extended(world, { at: 0x100, header: 0x1401_0019 }, { at: 0x140, header: 0x0001_0003 });
    expect([first.read(0x100), first.read(0x140)]).toEqual([0x1400_0000, 0x0001_0003]);
  });

  it("13.5: headers are not written, error masks are, a vendor's own bytes go through", () => {
    const world = new PciStage();
    const { config, read, fn } = extended(world, { at: 0x100, header: 0x1401_0001 }, { at: 0x140, header: 0x0001_000b, words: [0x0101_0000] });
    world.process.memory.setU32(0x2000, 0xffff_ffff);
    for (const at of [0x100, 0x108, 0x140, 0x14c]) run(config.write(world.process, 0x2000, 4, at));
    expect([read(0x100), read(0x140), fn.peek(0x100, 4)]).toEqual([0x1401_0001, 0x0001_000b, 0x1401_0001]);
  });
});
