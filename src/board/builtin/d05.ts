import { armTimer, cpus, psci } from "./parts.js";
import type { PciFunctionRequest } from "../pci.js";
import { frame, labelled, node, type NodeSource, ppi, ref, two } from "./source.js";

/** ITSs by what hangs on them: two for each of four dies. */
const ITS = [0x4c000000, 0x6c000000, 0xc6000000, 0x8c6000000, 0x4004c000000, 0x4006c000000, 0x400c6000000, 0x408c6000000];

/** Offsets of the four dies that have a crypto engine, with the ITS and the first device id there. */
const DIES = [
  { base: 0, its: 2, id: 0x40000 },
  { base: 0x800000000, its: 3, id: 0x42000 },
  { base: 0x40000000000, its: 6, id: 0x44000 },
  { base: 0x40800000000, its: 7, id: 0x46000 },
] as const;

/** An Intel I350's first virtual function, with three vectors, and a virtio-block function with one for each of eight queues and its configuration. */
export const D05_FUNCTIONS: readonly PciFunctionRequest[] = [
  { bdf: "f9:10.0", vendor: 0x8086, device: 0x1520, msiVectors: 3, isolated: true },
  { bdf: "fa:00.0", vendor: 0x1af4, device: 0x1042, msiVectors: 9, isolated: true },
];

/**
 * A Hip07 board: 64 Cortex-A72, a GICv3 with four redistributor regions and eight ITSs, wired devices behind mbigens, crypto engines
 * behind SMMUv3s, and a PCIe root without an IOMMU, with {@link D05_FUNCTIONS} on it.
 */
export const d05: NodeSource = node("", { model: "Hisilicon Hip07 D05", compatible: "hisilicon,hip07-d05", "#address-cells": [2], "#size-cells": [2], "interrupt-parent": [ref("gic")] }, [
  psci("arm,psci-0.2"),
  cpus("arm,cortex-a72", mpidrs(), { "enable-method": "psci" }),
  gic(),
  armTimer("arm,armv8-timer", 8),
  mbigen(0x60080000, [["uart", "uart_intc", 1, 0x120c7, 1]]),
  mbigen(0xa0080000, [["pcie", "intc_pcie2_a", 2, 0x40087, 10], ["usb", "intc_usb", 2, 0x40080, 2], ["sas1", "intc_sas1", 2, 0x40000, 128]]),
  ...DIES.map((die) => mbigen(die.base + 0xd0080000, [[`sec${die.its}`, "intc_sec", die.its, die.id + 0x400, 33], [`smmu${die.its}`, "intc_smmu_alg", die.its, die.id + 0xb1b, 3]])),
  ...DIES.map((die) => smmu(die.base + 0xd0040000, die.its)),
  node("soc", { compatible: "simple-bus", "#address-cells": [2], "#size-cells": [2], ranges: true }, [
    node("uart@602b0000", { compatible: "arm,sbsa-uart", reg: frame(0x602b0000, 0x1000), "interrupt-parent": [ref("uart")], interrupts: [807, 4] }),
    node("usb@a7030000", { compatible: "generic-ohci", reg: frame(0xa7030000, 0x10000), "interrupt-parent": [ref("usb")], interrupts: [640, 4], "dma-coherent": true }),
    node("usb@a7020000", { compatible: "generic-ehci", reg: frame(0xa7020000, 0x10000), "interrupt-parent": [ref("usb")], interrupts: [641, 4], "dma-coherent": true }),
    node("sas@a2000000", { compatible: "hisilicon,hip07-sas-v2", reg: frame(0xa2000000, 0x10000), "interrupt-parent": [ref("sas1")], interrupts: sasPins(), "dma-coherent": true }),
    pcie(),
    ...DIES.map((die) => crypto(die.base, die.its)),
  ]),
]);

/** Two sockets of two dies with four clusters of four cores; Aff2 counts dies from 1 within a socket, sockets by 4. */
function mpidrs(): number[] {
  const all: number[] = [];
  for (const die of [0x10000, 0x30000, 0x50000, 0x70000]) for (let core = 0; core < 16; core++) all.push(die | ((core >> 2) << 8) | (core & 3));
  return all;
}

function gic(): NodeSource {
  const regions = [0x4d100000, 0x6d100000, 0x4004d100000, 0x4006d100000].flatMap((address) => frame(address, 0x400000));
  const interfaces = [0xfe000000, 0xfe010000, 0xfe020000].flatMap((address) => frame(address, 0x10000));
  const properties = {
    compatible: "arm,gic-v3",
    "#interrupt-cells": [3],
    "#address-cells": [2],
    "#size-cells": [2],
    ranges: true,
    "interrupt-controller": true,
    "#redistributor-regions": [4],
    "redistributor-stride": two(0x40000),
    reg: [...frame(0x4d000000, 0x10000), ...regions, ...interfaces],
    interrupts: ppi(9),
  } as const;
  const its = ITS.map((address, i) => labelled(`its${i}`, node(`msi-controller@${address.toString(16)}`, { compatible: "arm,gic-v3-its", "msi-controller": true, "#msi-cells": [1], reg: frame(address, 0x40000) })));
  return labelled("gic", node("interrupt-controller@4d000000", properties, its));
}

/** Pin groups: label, node name, ITS, device id, number of pins. */
function mbigen(address: number, groups: readonly (readonly [string, string, number, number, number])[]): NodeSource {
  const upper = Math.floor(address / 0x1_0000_0000);
  const place = upper === 0 ? address.toString(16) : `${upper.toString(16)},${(address % 0x1_0000_0000).toString(16)}`;
  const pins = groups.map(([label, name, its, id, count]) =>
    labelled(label, node(name, { "msi-parent": [ref(`its${its}`), id], "interrupt-controller": true, "#interrupt-cells": [2], "num-pins": [count] })),
  );
  return node(`interrupt-controller@${place}`, { compatible: "hisilicon,mbigen-v2", reg: frame(address, 0x10000) }, pins);
}

function smmu(address: number, die: number): NodeSource {
  const properties = {
    compatible: "arm,smmu-v3",
    reg: frame(address, 0x20000),
    "interrupt-parent": [ref(`smmu${die}`)],
    interrupts: [733, 1, 734, 1, 735, 1],
    "interrupt-names": ["eventq", "gerror", "priq"],
    "#iommu-cells": [1],
    "dma-coherent": true,
  } as const;
  return labelled(`iommu${die}`, node(`iommu@${address.toString(16)}`, properties));
}

/** 96 level pins for the phys, and from pin 576 on 32 edges for the queues. */
function sasPins(): number[] {
  return Array.from({ length: 128 }, (_, i) => (i < 96 ? [64 + i, 4] : [480 + i, 1])).flat();
}

/** Pins alternate between level (an engine's errors) and edge (its queue). */
function crypto(base: number, die: number): NodeSource {
  const upper = Math.floor(base / 0x1_0000_0000);
  const place = upper === 0 ? "d2000000" : `${upper.toString(16)},d2000000`;
  const frames = [0xd0000000, ...Array.from({ length: 17 }, (_, i) => 0xd2000000 + 0x10000 * i)].flatMap((address) => frame(base + address, 0x10000));
  const pins = Array.from({ length: 33 }, (_, i) => [576 + i, i % 2 === 0 ? 4 : 1]).flat();
  return node(`crypto@${place}`, { compatible: "hisilicon,hip07-sec", reg: frames, "interrupt-parent": [ref(`sec${die}`)], interrupts: pins, iommus: [ref(`iommu${die}`), 0x600], "dma-coherent": true });
}

function pcie(): NodeSource {
  return node("pcie@a00a0000", {
    compatible: "hisilicon,hip07-pcie-ecam",
    device_type: "pci",
    "#address-cells": [3],
    "#size-cells": [2],
    "#interrupt-cells": [1],
    "bus-range": [0xf8, 0xff],
    reg: [...frame(0xaf800000, 0x800000), ...frame(0xa00a0000, 0x10000)],
    "msi-map": [0xf800, ref("its2"), 0xf800, 0x800],
    "msi-map-mask": [0xffff],
    "interrupt-map-mask": [0xf800, 0, 0, 7],
    "interrupt-map": [1, 2, 3, 4].flatMap((pin) => [0, 0, 0, pin, ref("pcie"), 671, 4]),
    "dma-coherent": true,
  });
}
