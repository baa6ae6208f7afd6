import { armTimer, cpus, psci } from "./parts.js";
import { labelled, node, type NodeSource, ppi, ref, spi } from "./source.js";

/**
 * A Calxeda ECX-2000: four Cortex-A15, a GICv2 with virtual interface, two Ethernet controllers with three level lines each.
 * Its SMMU-400 is there, which the machine's own device tree does not name.
 */
export const midway: NodeSource = node("", { model: "Calxeda ECX-2000", compatible: "calxeda,ecx-2000", "#address-cells": [2], "#size-cells": [2] }, [
  cpus("arm,cortex-a15", [0, 1, 2, 3]),
  node("memory@0", { device_type: "memory", reg: [0, 0, 0, 0xff800000] }),
  node("memory@200000000", { device_type: "memory", reg: [2, 0, 3, 0] }),
  node("soc", { compatible: "simple-bus", "#address-cells": [1], "#size-cells": [1], ranges: [0, 0, 0, 0xffffffff], "interrupt-parent": [ref("gic")] }, [
    armTimer("arm,armv7-timer", 0xf08),
    labelled(
      "gic",
      node("interrupt-controller@fff11000", {
        compatible: "arm,cortex-a15-gic",
        "#interrupt-cells": [3],
        "#address-cells": [0],
        "interrupt-controller": true,
        interrupts: ppi(9, 0xf04),
        reg: [0xfff11000, 0x1000, 0xfff12000, 0x2000, 0xfff14000, 0x2000, 0xfff16000, 0x2000],
      }),
    ),
    labelled("smmu", node("iommu@fff40000", { compatible: "arm,mmu-400", reg: [0xfff40000, 0x10000], "#iommu-cells": [1], "#global-interrupts": [1], interrupts: [...spi(96), ...spi(97)], "dma-coherent": true })),
    node("sata@ffe08000", { compatible: "calxeda,hb-ahci", reg: [0xffe08000, 0x10000], interrupts: spi(83), iommus: [ref("smmu"), 2], "dma-coherent": true }),
    node("serial@fff36000", { compatible: ["arm,pl011", "arm,primecell"], reg: [0xfff36000, 0x1000], interrupts: spi(20) }),
    ethernet(0xfff50000, 77, 0),
    ethernet(0xfff51000, 80, 1),
  ]),
  psci("arm,psci"),
]);

function ethernet(address: number, first: number, stream: number): NodeSource {
  return node(`ethernet@${address.toString(16)}`, {
    compatible: "calxeda,hb-xgmac",
    reg: [address, 0x1000],
    interrupts: [...spi(first), ...spi(first + 1), ...spi(first + 2)],
    iommus: [ref("smmu"), stream],
    "dma-coherent": true,
  });
}
