import { armTimer, clusters, cpus, psci } from "./parts.js";
import { type Cell, frame, labelled, node, type NodeSource, ppi, ref, spi, spiEdge, two } from "./source.js";

const GIC = 0xe1100000;

/**
 * An AMD Seattle: eight Cortex-A57, a GIC-400 with a v2m frame (SPIs 64 to 319 by INTID), and behind SMMU-401s two Ethernet
 * controllers whose interrupt 0 is level and whose interrupts 1 to 4 are edges, and a PCIe root with three ports.
 */
export const overdrive: NodeSource = node("", { model: "AMD Seattle (Overdrive)", compatible: ["amd,seattle-overdrive", "amd,seattle"], "#address-cells": [2], "#size-cells": [2], "interrupt-parent": [ref("gic")] }, [
  labelled(
    "gic",
    node(
      "interrupt-controller@e1101000",
      {
        compatible: ["arm,gic-400", "arm,cortex-a15-gic"],
        "interrupt-controller": true,
        "#interrupt-cells": [3],
        "#address-cells": [2],
        "#size-cells": [2],
        reg: [...frame(GIC + 0x10000, 0x1000), ...frame(GIC + 0x2f000, 0x2000), ...frame(GIC + 0x40000, 0x2000), ...frame(GIC + 0x60000, 0x2000)],
        interrupts: ppi(9, 0xf04),
        ranges: [...two(0), ...two(GIC), ...two(0x100000)],
      },
      [labelled("v2m", node("v2m@e0080000", { compatible: "arm,gic-v2m-frame", "msi-controller": true, reg: frame(0x80000, 0x1000), "arm,msi-base-spi": [64], "arm,msi-num-spis": [256] }))],
    ),
  ),
  armTimer("arm,armv8-timer", 0xff04),
  node("smb", { compatible: "simple-bus", "#address-cells": [2], "#size-cells": [2], ranges: true }, [
    smmu("smmu-sata", 0xe0200000, 332, 2),
    smmu("smmu-pcie", 0xe0a00000, 333, 1),
    smmu("smmu-eth0", 0xe0600000, 336, 2),
    smmu("smmu-eth1", 0xe0800000, 335, 2),
    node("sata@e0300000", { compatible: "snps,dwc-ahci", reg: frame(0xe0300000, 0xf0000), interrupts: spi(355), iommus: [ref("smmu-sata"), 0, 0x1f], "dma-coherent": true }),
    node("serial@e1010000", { compatible: ["arm,pl011", "arm,primecell"], reg: frame(0xe1010000, 0x1000), interrupts: spi(328) }),
    xgmac(0xe0700000, "smmu-eth0", [325, 346, 347, 348, 349, 323], [frame(0xe1240800, 0x400), frame(0xe1250000, 0x60), frame(0xe12500f8, 4)]),
    xgmac(0xe0900000, "smmu-eth1", [324, 341, 342, 343, 344, 322], [frame(0xe1240c00, 0x400), frame(0xe1250080, 0x60), frame(0xe12500fc, 4)]),
    node("pcie@f0000000", {
      compatible: "pci-host-ecam-generic",
      device_type: "pci",
      "#address-cells": [3],
      "#size-cells": [2],
      "#interrupt-cells": [1],
      "bus-range": [0, 0x7f],
      reg: frame(0xf0000000, 0x10000000),
      "msi-parent": [ref("v2m")],
      "interrupt-map-mask": [0xff00, 0, 0, 7],
      "interrupt-map": [1, 2, 3].flatMap(rootPort),
      "iommu-map": [0, ref("smmu-pcie"), 0, 0x10000],
      "dma-coherent": true,
    }),
  ]),
  cpus("arm,cortex-a57", clusters(4, 2), { "enable-method": "psci" }),
  node("memory@8000000000", { device_type: "memory", reg: frame(0x8000000000, 0x400000000) }),
  psci("arm,psci-0.2"),
]);

function smmu(label: string, address: number, interrupt: number, cells: number): NodeSource {
  const properties = { compatible: "arm,mmu-401", reg: frame(address, 0x10000), "#global-interrupts": [1], interrupts: [...spi(interrupt), ...spi(interrupt)], "#iommu-cells": [cells], "dma-coherent": true } as const;
  return labelled(label, node(`iommu@${address.toString(16)}`, properties));
}

/** One level line, four edges for the DMA channels, one level line for the PHY. */
function xgmac(address: number, iommu: string, lines: readonly number[], more: readonly number[][]): NodeSource {
  return node(`xgmac@${address.toString(16)}`, {
    compatible: "amd,xgbe-seattle-v1a",
    reg: [...frame(address, 0x80000), ...frame(address + 0x80000, 0x80000), ...more.flat()],
    interrupts: lines.flatMap((line, i) => (i === 0 || i === 5 ? spi(line) : spiEdge(line))),
    iommus: [ref(iommu), 0, 0x17],
    "dma-coherent": true,
  });
}

/** INTA# to INTD# of root port 00:02.`port` are four edge SPIs, from 288 on. */
function rootPort(port: number): Cell[] {
  return [1, 2, 3, 4].flatMap((pin) => [0x1000 | (port << 8), 0, 0, pin, ref("gic"), 0, 0, 0, 288 + 4 * (port - 1) + pin - 1, 1]);
}
