import { armTimer, cpus, psci } from "./parts.js";
import { type Cell, frame, labelled, node, type NodeSource, ppi, ref, spi, spiEdge, two } from "./source.js";

/** QEMU's `virt` machine: four CPUs, a GICv3 with an ITS, an SMMUv3 in front of the PCIe root, 32 virtio slots with edges. */
export const virt: NodeSource = node("", { model: "linux,dummy-virt", compatible: "linux,dummy-virt", "#address-cells": [2], "#size-cells": [2], "interrupt-parent": [ref("gic")] }, [
  psci("arm,psci-0.2"),
  node("memory@40000000", { device_type: "memory", reg: frame(0x40000000, 0x40000000) }),
  ...Array.from({ length: 32 }, (_, i) => virtio(0xa000000 + 0x200 * i, 16 + i)),
  node("pl061@9030000", { compatible: ["arm,pl061", "arm,primecell"], reg: frame(0x9030000, 0x1000), interrupts: spi(7) }),
  labelled(
    "smmu",
    node("smmuv3@9050000", {
      compatible: "arm,smmu-v3",
      reg: frame(0x9050000, 0x20000),
      interrupts: [74, 75, 76, 77].flatMap(spiEdge),
      "interrupt-names": ["eventq", "priq", "cmdq-sync", "gerror"],
      "#iommu-cells": [1],
      "dma-coherent": true,
    }),
  ),
  node("pcie@10000000", {
    compatible: "pci-host-ecam-generic",
    device_type: "pci",
    "#address-cells": [3],
    "#size-cells": [2],
    "#interrupt-cells": [1],
    "bus-range": [0, 0xff],
    reg: frame(0x4010000000, 0x10000000),
    "interrupt-map-mask": [0x1800, 0, 0, 7],
    "interrupt-map": [0, 1, 2, 3].flatMap(intx),
    "msi-map": [0, ref("its"), 0, 0x10000],
    "iommu-map": [0, ref("smmu"), 0, 0x10000],
    "dma-coherent": true,
  }),
  node("pl031@9010000", { compatible: ["arm,pl031", "arm,primecell"], reg: frame(0x9010000, 0x1000), interrupts: spi(2) }),
  node("pl011@9000000", { compatible: ["arm,pl011", "arm,primecell"], reg: frame(0x9000000, 0x1000), interrupts: spi(1) }),
  labelled(
    "gic",
    node(
      "intc@8000000",
      {
        compatible: "arm,gic-v3",
        "#interrupt-cells": [3],
        "#address-cells": [2],
        "#size-cells": [2],
        ranges: true,
        "interrupt-controller": true,
        "#redistributor-regions": [1],
        reg: [...frame(0x8000000, 0x10000), ...frame(0x80a0000, 0xf60000)],
        interrupts: ppi(9),
      },
      [labelled("its", node("its@8080000", { compatible: "arm,gic-v3-its", "msi-controller": true, "#msi-cells": [1], reg: frame(0x8080000, 0x20000) }))],
    ),
  ),
  cpus("arm,cortex-a57", [0, 1, 2, 3], { "enable-method": "psci" }),
  armTimer("arm,armv8-timer", 4),
]);

function virtio(address: number, line: number): NodeSource {
  return node(`virtio_mmio@${address.toString(16)}`, { compatible: "virtio,mmio", reg: frame(address, 0x200), interrupts: spiEdge(line), "dma-coherent": true });
}

/** The four pins of a slot, swizzled by its number, are SPIs 3 to 6. */
function intx(slot: number): Cell[] {
  return [1, 2, 3, 4].flatMap((pin) => [slot << 11, ...two(0), pin, ref("gic"), ...two(0), ...spi(3 + ((slot + pin - 1) % 4))]);
}
