import { type PciFunctionRequest } from "../pci.js";
import { type Cell, labelled, node, type NodeSource, ref, two } from "./source.js";

const CORES = 8;
const THREADS = 8;
const SLOTS = 32;
const GIB = 0x4000_0000;
/** Sources of QEMU's machine, from 0x1000 on: two events, virtual devices, pins of host bridges, messages up to 0x2000. */
const EPOW = 0x1000;
const HOT_PLUG = 0x1001;
const VIO = 0x1100;
const PINS = 0x1200;
const MESSAGES = 0xd00;
const PINS_OF_HOST = 4;
/** PCI_SPACE codes of the windows: I/O, 32-bit and 64-bit memory. */
const IO = 0x0100_0000;
const MEMORY = 0x0200_0000;
const MEMORY64 = 0x0300_0000;

/**
 * A POWER8 partition like QEMU's pseries: eight cores of eight threads, a XICS whose sources RTAS sets, two PCI host
 * bridges with a DMA window each, virtual devices.
 */
export const pseries: NodeSource = node("", { model: "IBM pSeries (POWER8)", compatible: "qemu,pseries", device_type: "chrp", "#address-cells": [2], "#size-cells": [2] }, [
  node("rtas", {
    "ibm,change-msi": [0x2019],
    "ibm,query-interrupt-source-number": [0x2018],
    "ibm,int-on": [0x200d],
    "ibm,int-off": [0x200c],
    "ibm,get-xive": [0x200b],
    "ibm,set-xive": [0x200a],
    "ibm,change-msix-capable": true,
  }),
  node("event-sources", { "interrupt-ranges": [EPOW, 1, HOT_PLUG, 1], "#interrupt-cells": [2], "interrupt-controller": true }, [
    node("hot-plug-events", { interrupts: [HOT_PLUG, 0] }),
    node("epow-events", { interrupts: [EPOW, 0] }),
  ]),
  node("cpus", { "#address-cells": [1], "#size-cells": [0] }, Array.from({ length: CORES }, (_, core) => cpu(core * THREADS))),
  host(0),
  host(1),
  node("vdevice", { compatible: "IBM,vdevice", device_type: "vdevice", "#address-cells": [1], "#size-cells": [0], "#interrupt-cells": [2], "interrupt-controller": true }, [
    vio("vty", 0, "hvterm1"),
    vio("nvram", 1, "qemu,spapr-nvram"),
    vio("l-lan", 2, "IBM,l-lan"),
    vio("v-scsi", 3, "IBM,v-scsi"),
  ]),
  node("memory@0", { device_type: "memory", reg: [0, 0, 0, GIB] }),
  labelled(
    "xics",
    node("interrupt-controller", {
      compatible: "IBM,ppc-xicp",
      device_type: "PowerPC-External-Interrupt-Presentation",
      "#interrupt-cells": [2],
      "ibm,interrupt-server-ranges": [0, CORES * THREADS],
      "interrupt-controller": true,
    }),
  ),
]);

function cpu(first: number): NodeSource {
  const servers = Array.from({ length: THREADS }, (_, thread) => first + thread);
  return node(`PowerPC,POWER8@${first.toString(16)}`, { device_type: "cpu", reg: [first], "ibm,ppc-interrupt-server#s": servers, status: "okay" });
}

function host(index: number): NodeSource {
  const window = 0x2000_0000_0000 + index * 0x200_0000_0000;
  return node(`pci@80000002000000${index}`, {
    compatible: "IBM,Logical_PHB",
    device_type: "pci",
    "#address-cells": [3],
    "#size-cells": [2],
    "#interrupt-cells": [1],
    "bus-range": [0, 0xff],
    reg: [0x800_0000, 0x2000_0000 + index, 0, 0],
    ranges: [range(IO, 0, window, 0x1_0000), range(MEMORY, 0x8000_0000, window + 0x8000_0000, 0x8000_0000), range(MEMORY64, window + 0x100_0000_0000, window + 0x100_0000_0000, 0x100_0000_0000)].flat(),
    "ibm,dma-window": [0x8000_0000 + index * 0x1_0000, 0, 0, 0, GIB],
    "ibm,pe-total-#msi": [MESSAGES],
    "interrupt-map-mask": [0xf800, 0, 0, 0xffff_ffff],
    "interrupt-map": Array.from({ length: SLOTS * PINS_OF_HOST }, (_, i) => pin(index, i >> 2, (i & 3) + 1)).flat(),
  });
}

function range(space: number, address: number, parent: number, size: number): number[] {
  return [space, ...two(address), ...two(parent), ...two(size)];
}

/** A host bridge has four sources, and each slot's pins are turned by its number: all level. */
function pin(index: number, slot: number, number: number): Cell[] {
  return [slot << 11, 0, 0, number, ref("xics"), PINS + index * PINS_OF_HOST + ((slot + number - 1) % PINS_OF_HOST), 1];
}

function vio(name: string, index: number, compatible: string): NodeSource {
  const unit = 0x7100_0000 + index;
  return node(`${name}@${unit.toString(16)}`, { compatible, reg: [unit], interrupts: [VIO + index, 0] });
}

/** A NIC with a pin under the first host bridge, an NVMe-class function with a pin and nine vectors under the second. */
export const PSERIES_FUNCTIONS: readonly PciFunctionRequest[] = [
  { bdf: "00:01.0", vendor: 0x8086, device: 0x100e, intxPin: 1, host: "/pci@800000020000000" },
  { bdf: "00:01.0", vendor: 0x8086, device: 0x5845, intxPin: 1, msiVectors: 9, host: "/pci@800000020000001" },
];
