import { type Board, type BoardOptions, type Cpu, freeze, type Interrupt, type IntxMap } from "../board.js";
import { addPciFunction } from "../pci.js";

const NODES = 2;
const CPUS_PER_NODE = 8;
/** A package's APIC ids begin at a multiple of this: room for a second thread of each core. */
const IDS_PER_PACKAGE = 16;
const PCI_SLOTS = 32;
const PINS = 4;
/** PIRQE to PIRQH. */
const FIRST_PCI_GSI = 20;
const GIB = 0x4000_0000;

const LAPIC = "/lapic";
const IOAPIC = "/ioapic@fec00000";
const VTD = "/dmar@fed90000";
const HOST = "/pci";

/**
 * A PC like QEMU's q35: two NUMA nodes of eight CPUs, VT-d that remaps and posts, an e1000-class function with a pin, and
 * behind a root port an NVMe-class function with a pin and MSI-X. x86 machines have no device tree: this is what their
 * firmware's tables say.
 */
export function pc(options: BoardOptions): Board {
  const board: Board = freeze({
    name: "pc",
    source: "built in",
    model: "PC with a Q35 chipset",
    compatible: ["intel,q35"],
    cpus: Array.from({ length: NODES * CPUS_PER_NODE }, (_, index) => cpu(index)),
    psci: null,
    rtas: null,
    memory: [
      { address: 0, size: 2 * GIB },
      { address: 4 * GIB, size: 2 * GIB },
    ],
    controllers: [
      { kind: "lapic", path: LAPIC, compatible: ["intel,lapic"], enabled: true, parent: null, frame: { address: 0xfee0_0000, size: 0x1000 }, x2apic: true },
      { kind: "ioapic", path: IOAPIC, compatible: ["intel,ioapic"], enabled: true, parent: LAPIC, frame: { address: 0xfec0_0000, size: 0x1000 }, pins: 24, gsiBase: 0 },
    ],
    timer: null,
    iommus: [
      { path: VTD, kind: "vt-d", messages: "posted", compatible: ["intel,vt-d"], enabled: true, frame: { address: 0xfed9_0000, size: 0x1000 }, window: null, coherent: true, interrupts: [] },
    ],
    pciHosts: [
      {
        path: HOST,
        segment: 0,
        enabled: true,
        firstBus: 0,
        lastBus: 255,
        dmaCoherent: true,
        intx: intxMap(),
        msi: { mask: 0xffff, entries: [{ first: 0, count: 0x1_0000, target: LAPIC, output: 0 }] },
        msiTotal: null,
        iommu: { mask: 0xffff, entries: [{ first: 0, count: 0x1_0000, target: VTD, output: 0 }] },
      },
    ],
    devices: [],
    groups: [],
    assumeIommu: options.assumeIommu ?? false,
    notes: [],
  });
  const withNic = addPciFunction(board, { bdf: "00:03.0", vendor: 0x8086, device: 0x100e, intxPin: 1 });
  return addPciFunction(withNic, { bdf: "01:00.0", vendor: 0x8086, device: 0x5845, intxPin: 1, msiVectors: 9, under: "00:1c.0" });
}

function cpu(index: number): Cpu {
  const numaNode = Math.floor(index / CPUS_PER_NODE);
  const hwId = numaNode * IDS_PER_PACKAGE + (index % CPUS_PER_NODE);
  return { path: `/cpus/cpu@${hwId.toString(16)}`, index, hwId, numaNode, compatible: ["GenuineIntel"], enableMethod: null, enabled: true };
}

/** Each slot's pins are turned by its number, and go to the second half of the chipset's PCI interrupts. */
function intxMap(): IntxMap {
  const entries = Array.from({ length: PCI_SLOTS * PINS }, (_, i) => {
    const slot = i >> 2;
    const pin = (i & 3) + 1;
    return { address: slot << 11, pin, interrupt: gsi(FIRST_PCI_GSI + ((slot + pin - 1) & 3)) };
  });
  return { addressMask: 0xf800, pinMask: 7, entries };
}

function gsi(number: number): Interrupt {
  return { index: 0, name: "INTx", controller: IOAPIC, kind: "gsi", number, intid: null, trigger: "level-low", via: [HOST] };
}
