import { describe, expect, it } from "vitest";
import { type Board, type Controller, type Device } from "./board.js";
import { builtinBoard } from "./builtin.js";
import { findDevice } from "./find-device.js";
import { type RealBoard, realBoardsHere, realBytes, WHY_SKIPPED } from "./fdt.fixture.js";
import { addPciFunction } from "./pci.js";
import { readBoard } from "./read-board.js";

const real = (name: RealBoard, assumeIommu = false): Board => readBoard(realBytes(name), name, { assumeIommu });
const kinds = (board: Board): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const each of board.controllers) counts[each.kind] = (counts[each.kind] ?? 0) + 1;
  return counts;
};
const root = (board: Board): Controller | undefined => board.controllers.find((each) => each.kind === "gicv2" || each.kind === "gicv3");
const lines = (device: Device): string[] => device.interrupts.map((each) => `${each.kind} ${each.number} ${each.intid} ${each.trigger}`);

describe.skipIf(!realBoardsHere)(`real device trees${WHY_SKIPPED}`, () => {
  it("calxeda-midway-ecx-2000: GICv2 with virtual interface, xgmac SPIs 77 to 82 level high, no IOMMU", () => {
    const board = real("calxeda-midway-ecx-2000");
    expect(board.cpus.map((cpu) => cpu.hwId)).toEqual([0, 1, 2, 3]);
    expect(board.psci?.method).toBe("smc");
    expect(root(board)).toMatchObject({ kind: "gicv2", gicd: { address: 0xfff11000, size: 0x1000 }, gicc: { address: 0xfff12000, size: 0x2000 }, gich: { address: 0xfff14000, size: 0x2000 }, gicv: { address: 0xfff16000, size: 0x2000 }, maintenance: 25, parent: null });
    expect(board.timer).toMatchObject({ secure: { intid: 29 }, physical: { intid: 30 }, virtual: { intid: 27, trigger: "level-low" }, hypervisor: { intid: 26 }, hypervisorVirtual: null });
    expect(lines(findDevice(board, "/soc/ethernet@fff50000"))).toEqual(["spi 77 109 level-high", "spi 78 110 level-high", "spi 79 111 level-high"]);
    expect(lines(findDevice(board, "/soc/ethernet@fff51000"))).toEqual(["spi 80 112 level-high", "spi 81 113 level-high", "spi 82 114 level-high"]);
    expect(findDevice(board, "/soc/ethernet@fff50000")).toMatchObject({ bus: "platform", dmaCoherent: true, group: null, whyNoGroup: "the tree names no IOMMU for it" });
    expect(findDevice(board, "/soc/sdhci@ffe0e000")).toMatchObject({ enabled: false, whyNoGroup: "the tree disables it" });
    expect(board.iommus).toEqual([]);
    expect(board.memory).toEqual([
      { address: 0, size: 0xff800000 },
      { address: 0x200000000, size: 0x300000000 },
    ]);
  });

  it("amd-overdrive-rev-b1: GICv2 behind ranges, v2m, xgmac with a level and edges behind an SMMU", () => {
    const board = real("amd-overdrive-rev-b1");
    expect(kinds(board)).toEqual({ gicv2: 1, v2m: 1, other: 5 });
    expect(board.controllers.find((each) => each.kind === "v2m")).toMatchObject({ frame: { address: 0xe1180000, size: 0x1000 }, baseSpi: null, parent: "/interrupt-controller@e1101000" });
    expect(board.cpus.map((cpu) => cpu.hwId)).toEqual([0, 1, 0x100, 0x101, 0x200, 0x201, 0x300, 0x301]);
    const xgmac = findDevice(board, "/smb/xgmac@e0700000");
    expect(lines(xgmac).slice(0, 2)).toEqual(["spi 325 357 level-high", "spi 346 378 edge-rising"]);
    expect(xgmac.registers).toHaveLength(5);
    expect(xgmac.iommu).toEqual({ path: "/smb/iommu@e0600000", streams: [{ id: 0, mask: 0x17 }], second: null });
    expect(board.groups.map((group) => group.members)).toEqual([["/smb/sata@e0300000"], ["/smb/sata@e0d00000"], ["/smb/ccp@e0100000"], ["/smb/xgmac@e0700000"], ["/smb/xgmac@e0900000"]]);
    expect(findDevice(board, "/smb/sata@e0d00000").iommu?.streams.map((stream) => stream.id)).toEqual([14, 15, 30]);
  });

  it("arm-fvp-base-revc: three cells of chip select, a bus that maps interrupts, MSI and stream ids by requester", () => {
    const board = real("arm-fvp-base-revc");
    expect(root(board)).toMatchObject({ kind: "gicv3", gicd: { address: 0x2f000000, size: 0x10000 }, redistributors: [{ address: 0x2f100000, size: 0x200000 }], gicc: { address: 0x2c000000 }, gich: { address: 0x2c010000 }, gicv: { address: 0x2c02f000 }, maintenance: 25 });
    expect(board.cpus.map((cpu) => cpu.hwId)).toEqual([0, 0x100, 0x200, 0x300, 0x10000, 0x10100, 0x10200, 0x10300]);
    const ethernet = findDevice(board, "/bus@8000000/motherboard-bus@8000000/ethernet@202000000");
    expect(ethernet).toMatchObject({ registers: [{ address: 0x1a000000, size: 0x10000 }], interrupts: [{ kind: "spi", number: 15, intid: 47, trigger: "level-high", via: ["/bus@8000000"] }] });
    const serial = findDevice(board, "/bus@8000000/motherboard-bus@8000000/iofpga-bus@300000000/serial@90000");
    expect(serial).toMatchObject({ bus: "amba", registers: [{ address: 0x1c090000, size: 0x1000 }], interrupts: [{ number: 5, intid: 37 }] });
    const nic = findDevice(addPciFunction(board, { bdf: "01:00.0", intxPin: 2, msiVectors: 1 }), "01:00.0");
    expect(nic).toMatchObject({ interrupts: [{ kind: "spi", number: 169, trigger: "level-high" }, { kind: "msi" }], msiParents: [{ deviceId: 0x100 }], iommu: { path: "/iommu@2b400000", streams: [{ id: 0x100, mask: 0 }] }, group: 0 });
  });

  it("arm-juno-r2: four v2m frames, SMMU-401s of which one serves every PCI function with one stream", () => {
    const board = real("arm-juno-r2");
    expect(kinds(board)).toEqual({ gicv2: 1, v2m: 4, other: 1 });
    expect(board.cpus.map((cpu) => cpu.hwId)).toEqual([0, 1, 0x100, 0x101, 0x102, 0x103]);
    expect(board.iommus.filter((each) => each.kind === "smmuv2" && each.enabled)).not.toHaveLength(0);
    const one = addPciFunction(board, { bdf: "01:00.0", intxPin: 1 });
    const two = addPciFunction(one, { bdf: "03:00.0", intxPin: 2 });
    expect(findDevice(two, "01:00.0").interrupts).toMatchObject([{ number: 136, intid: 168, trigger: "level-high" }]);
    expect(findDevice(two, "03:00.0")).toMatchObject({ group: findDevice(two, "01:00.0").group, interrupts: [{ number: 137 }] });
  });

  it("cavium-thunderx2-99xx: GICv3 with one redistributor region, ITS by plain msi-parent, no IOMMU", () => {
    const board = real("cavium-thunderx2-99xx");
    expect(root(board)).toMatchObject({ gicd: { address: 0x400080000 }, redistributors: [{ address: 0x401000000, size: 0x1000000 }], gicc: null });
    expect(board.controllers.find((each) => each.kind === "its")).toMatchObject({ frame: { address: 0x400100000, size: 0x20000 } });
    const nic = findDevice(addPciFunction(board, { bdf: "05:00.1", intxPin: 3, msiVectors: 2 }), "05:00.1");
    expect(nic).toMatchObject({ msiParents: [{ deviceId: 0x501 }], group: null, whyNoGroup: "the tree names no IOMMU for it", interrupts: [{ number: 2 }, { name: "MSI 0" }, { name: "MSI 1" }] });
  });

  it("hisilicon-hip07-d05: 64 CPUs, eight ITSs, eighteen pin groups, pins beyond num-pins, SMMUv3", () => {
    const board = real("hisilicon-hip07-d05");
    expect(kinds(board)).toEqual({ gicv3: 1, its: 8, mbigen: 18 });
    expect(board.cpus).toHaveLength(64);
    expect(root(board)).toMatchObject({ redistributorStride: 0x40000, gicv: { address: 0xfe020000 } });
    expect((root(board) as { redistributors?: unknown[] }).redistributors).toHaveLength(4);
    expect(findDevice(board, "/soc/usb@a7030000").interrupts).toMatchObject([{ kind: "mbigen pin", number: 640, intid: null, trigger: "level-high", controller: "/interrupt-controller@a0080000/intc_usb" }]);
    expect(board.controllers.find((each) => each.path.endsWith("a0080000/intc_usb"))).toMatchObject({ pinCount: 2, deviceId: 0x40080, its: "/interrupt-controller@4d000000/msi-controller@c6000000" });
    const crypto = findDevice(board, "/soc/crypto@400,d2000000");
    expect(crypto).toMatchObject({ group: 2, iommu: { path: "/iommu@400d0040000", streams: [{ id: 0x600, mask: 0 }] } });
    expect(crypto.interrupts[1]).toMatchObject({ number: 577, trigger: "edge-rising" });
    expect(board.iommus.map((each) => each.enabled)).toEqual([false, true, true, true, true]);
    const nic = findDevice(addPciFunction(board, { bdf: "f8:00.0", intxPin: 1, msiVectors: 4 }), "f8:00.0");
    expect(nic).toMatchObject({ msiParents: [{ deviceId: 0xf800, controller: "/interrupt-controller@4d000000/msi-controller@c6000000" }], interrupts: [{ kind: "mbigen pin", number: 671 }, {}, {}, {}, {}] });
  });

  it("nxp-lx2160a-rdb: external interrupts whose map leaves the parent's address out", () => {
    const board = real("nxp-lx2160a-rdb");
    expect(board.cpus).toHaveLength(16);
    expect(root(board)).toMatchObject({ kind: "gicv3", redistributors: [{ address: 0x6200000, size: 0x200000 }], gicv: { address: 0xc0e0000, size: 0x20000 } });
    const through = board.devices.flatMap((device) => device.interrupts.filter((each) => each.via.some((path) => path.endsWith("interrupt-controller@14"))));
    expect(through.length).toBeGreaterThan(0);
    for (const each of through) expect(each).toMatchObject({ kind: "spi", trigger: "level-high" });
  });

  it("qemu-pseries-power8-xics: every source leads to the presentation controller, by PHB, virtual device and event; DMA by table, messages by RTAS", () => {
    const board = real("qemu-pseries-power8-xics");
    expect(board.cpus.map((cpu) => [cpu.hwId, cpu.compatible[0]])).toEqual([0, 1, 2, 3].map((id) => [id, "PowerPC,POWER8"]));
    expect(board.controllers.map((each) => [each.kind, each.path, each.parent])).toEqual([
      ["xics", "/event-sources", "/interrupt-controller"],
      ["xics", "/vdevice", "/interrupt-controller"],
      ["xics", "/interrupt-controller", null],
    ]);
    expect(board.controllers).toMatchObject([{ sources: [{ first: 0x1000, count: 1 }, { first: 0x1001, count: 1 }] }, {}, { servers: [{ first: 0, count: 4 }] }]);
    expect(board.rtas).toEqual({
      path: "/rtas",
      tokens: { "ibm,set-xive": 0x200a, "ibm,get-xive": 0x200b, "ibm,int-on": 0x200d, "ibm,int-off": 0x200c, "ibm,change-msi": 0x2019, "ibm,query-interrupt-source-number": 0x2018 },
    });
    expect(board.iommus).toMatchObject([{ kind: "tce", path: "/pci@800000020000000", window: { address: 0, size: 0x40000000 }, coherent: true }]);
    expect(board.groups.map((group) => group.members)).toEqual([["/pci@800000020000000/vga@0", "/pci@800000020000000/usb-xhci@1"]]);
    expect(board.pciHosts).toMatchObject([{ msiTotal: 0xd00, iommu: { entries: [{ output: 0x80000000 }] } }]);
    expect(board.pciHosts[0].intx?.entries).toHaveLength(128);
    expect(findDevice(board, "/event-sources/epow-events").interrupts).toMatchObject([{ kind: "xics", number: 0x1000, controller: "/interrupt-controller", via: ["/event-sources"] }]);
    expect(findDevice(board, "/vdevice/l-lan@71000002")).toMatchObject({ bus: "vio", group: null, interrupts: [{ controller: "/interrupt-controller", via: ["/vdevice"] }] });
    expect(findDevice(board, "/pci@800000020000000/usb-xhci@1").interrupts.slice(1)).toHaveLength(0x10);
    expect(findDevice(board, "/pci@800000020000000/usb-xhci@1").interrupts[1]).toMatchObject({ kind: "msi", controller: "/interrupt-controller" });
    expect(findDevice(board, "/pci@800000020000000/usb-xhci@1")).toMatchObject({ pci: { bdf: "00:01.0", vendor: 0x1033 }, interrupts: { 0: { kind: "xics", number: 0x1201, trigger: "level-low", controller: "/interrupt-controller" } } });
    expect(findDevice(board, "/vdevice/l-lan@71000002").interrupts).toMatchObject([{ kind: "xics", number: 0x1102, trigger: "edge-rising" }]);
    expect(board.notes).toEqual([]);
  });

  it("built-in pseries has the facts of qemu-pseries-power8-xics, with more threads and one host bridge more", () => {
    const own = builtinBoard("pseries");
    const theirs = real("qemu-pseries-power8-xics");
    if (!own) throw new Error("pseries");
    expect([own.cpus.length, new Set(own.cpus.map((cpu) => cpu.path)).size, own.cpus[63].hwId]).toEqual([64, 8, 63]);
    expect(own.pciHosts[0]).toEqual(theirs.pciHosts[0]);
    expect(own.rtas).toEqual(theirs.rtas);
    expect(own.controllers.map((each) => ({ ...each, servers: [] }))).toEqual(theirs.controllers.map((each) => ({ ...each, servers: [] })));
    for (const path of ["/vdevice/l-lan@71000002", "/vdevice/v-scsi@71000003", "/event-sources/epow-events"]) expect(findDevice(own, path)).toEqual(findDevice(theirs, path));
    expect(own.groups.map((group) => group.members)).toEqual([["/pci@800000020000000/00:01.0"], ["/pci@800000020000001/00:01.0"]]);
  });

  it("qemu-virt-gicv3-its-smmuv3: INTx swizzled by the map, MSI to the ITS, SMMUv3 groups", () => {
    const board = real("qemu-virt-gicv3-its-smmuv3");
    expect(root(board)).toMatchObject({ gicd: { address: 0x8000000, size: 0x10000 }, redistributors: [{ address: 0x80a0000, size: 0xf60000 }], maintenance: 25 });
    const with1 = addPciFunction(board, { bdf: "00:01.0", intxPin: 1, msiVectors: 3, vendor: 0x1af4, device: 0x1000 });
    expect(findDevice(with1, "00:01.0")).toMatchObject({ interrupts: [{ number: 4, trigger: "level-high" }, {}, {}, {}], msiParents: [{ deviceId: 8 }], iommu: { path: "/smmuv3@9050000", streams: [{ id: 8, mask: 0 }] }, group: 0 });
  });

  it("assume-iommu gives every usable device of Midway a group and marks it", () => {
    const board = real("calxeda-midway-ecx-2000", true);
    const device = findDevice(board, "/soc/ethernet@fff50000");
    expect(device.group === null ? null : board.groups[device.group]).toEqual({ id: device.group, iommu: null, assumed: true, members: [device.path] });
    expect(findDevice(board, "/soc/sdhci@ffe0e000").group).toBe(null);
  });

  const PAIRS: readonly [string, RealBoard, readonly string[]][] = [
    ["midway", "calxeda-midway-ecx-2000", ["/soc/ethernet@fff50000", "/soc/ethernet@fff51000", "/soc/sata@ffe08000", "/soc/serial@fff36000"]],
    ["overdrive", "amd-overdrive-rev-b1", ["/smb/xgmac@e0700000", "/smb/xgmac@e0900000", "/smb/sata@e0300000", "/smb/serial@e1010000"]],
    ["d05", "hisilicon-hip07-d05", ["/soc/uart@602b0000", "/soc/usb@a7030000", "/soc/sas@a2000000", "/soc/crypto@d2000000", "/soc/crypto@408,d2000000"]],
    ["virt", "qemu-virt-gicv3-its-smmuv3", ["/virtio_mmio@a003e00", "/pl011@9000000", "/pl031@9010000"]],
  ];
  it.each(PAIRS)("built-in %s agrees with %s on CPUs, timers, controllers, main devices and PCI", (name, file, paths) => {
    const own = builtinBoard(name);
    const theirs = real(file);
    if (!own) throw new Error(name);
    expect(own.cpus.map((cpu) => [cpu.path, cpu.hwId])).toEqual(theirs.cpus.map((cpu) => [cpu.path, cpu.hwId]));
    expect({ ...own.timer, path: "" }).toEqual({ ...theirs.timer, path: "" });
    for (const path of paths) {
      const facts = ({ interrupts, registers, bus, compatible, dmaCoherent }: Device): unknown => ({ interrupts, registers, bus, compatible, dmaCoherent });
      expect(facts(findDevice(own, path))).toEqual(facts(findDevice(theirs, path)));
    }
    for (const each of own.controllers) {
      const measured = each.kind === "v2m" ? { ...each, baseSpi: null, spiCount: null } : each;
      expect(measured).toEqual(theirs.controllers.find((other) => other.path === each.path));
    }
    expect(own.pciHosts).toEqual(theirs.pciHosts);
  });
});
