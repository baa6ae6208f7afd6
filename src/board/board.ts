/**
 * A machine as its device tree, or on a PC its firmware, describes it: the input of everything that builds one. Plain
 * frozen data, in tree order; addresses are bytes in the CPU's address space.
 */
export interface Board {
  readonly name: string;
  /** "device tree" (read from bytes) or "built in". */
  readonly source: "device tree" | "built in";
  readonly model: string | null;
  readonly compatible: readonly string[];
  readonly cpus: readonly Cpu[];
  readonly psci: Psci | null;
  /** The firmware of a Power machine; null elsewhere. */
  readonly rtas: Rtas | null;
  readonly memory: readonly Region[];
  readonly controllers: readonly Controller[];
  readonly timer: Timer | null;
  readonly iommus: readonly Iommu[];
  readonly pciHosts: readonly PciHost[];
  readonly devices: readonly Device[];
  readonly groups: readonly Group[];
  /** Devices without a group got one of their own, marked as assumed. */
  readonly assumeIommu: boolean;
  /** What the tree says and the model cannot hold, one sentence each. */
  readonly notes: readonly string[];
}

/** How a device tree is read where it leaves a choice. */
export interface BoardOptions {
  /** Give each device that has no IOMMU group one of its own, marked `assumed`. */
  readonly assumeIommu?: boolean;
  /** Take a GICv3 with ITSs for this GICv4, which the hardware alone could tell. */
  readonly gicv4?: "4.0" | "4.1";
}

/** A range of physical addresses, bytes. */
export interface Region {
  readonly address: number;
  readonly size: number;
}

/** One processor of the machine; on x86 one logical processor, on Power one thread of a core. */
export interface Cpu {
  /** On Power the core's: its threads have it in common. */
  readonly path: string;
  /** Position in the tree, the number that Linux gives it when all are enabled. */
  readonly index: number;
  /** MPIDR affinity on Arm (Aff3 from bit 32), the interrupt server number of a thread on Power, the APIC id on x86. */
  readonly hwId: number;
  /** Null where nothing tells. */
  readonly numaNode: number | null;
  readonly compatible: readonly string[];
  readonly enableMethod: string | null;
  readonly enabled: boolean;
}

/** Tokens of the firmware calls for interrupts, those that the tree gives. */
export type RtasTokens = { readonly [name in "ibm,set-xive" | "ibm,get-xive" | "ibm,int-on" | "ibm,int-off" | "ibm,change-msi" | "ibm,query-interrupt-source-number"]?: number };

/** Run-time abstraction services: what software of a Power machine asks its firmware for. */
export interface Rtas {
  readonly path: string;
  readonly tokens: RtasTokens;
}

/** The firmware interface that starts and stops Arm CPUs. */
export interface Psci {
  readonly path: string;
  readonly compatible: readonly string[];
  readonly method: "smc" | "hvc" | null;
}

/** What of a line is an interrupt, as the tree says it. */
export type TriggerMode = "level-high" | "level-low" | "edge-rising" | "edge-falling" | "edge-both" | "unspecified";

/**
 * What the number counts: shared, per-CPU, and extended interrupts of a GIC; a pin of an mbigen; a source of the Power
 * presentation controller; a global system interrupt of a PC; a vector that a device writes as a message; a pin of a
 * controller that virq does not know.
 */
export type InterruptKind = "spi" | "ppi" | "espi" | "eppi" | "mbigen pin" | "xics" | "gsi" | "msi" | "pin";

/** One interrupt of a device, resolved through the tree's interrupt-maps to the controller that takes it. */
export interface Interrupt {
  /** Its place in the device's list: VFIO's index for a platform device. */
  readonly index: number;
  readonly name: string | null;
  /** Path of the controller that it ends at. */
  readonly controller: string;
  readonly kind: InterruptKind;
  /** As the tree counts it: SPI 77 is number 77 and INTID 109. Null for a message, whose number is given at run time. */
  readonly number: number | null;
  /** The number that the GIC acknowledges; null where there is none or it is given at run time. */
  readonly intid: number | null;
  readonly trigger: TriggerMode;
  /** The controllers and nexus nodes that it passes through before its controller, nearest to the device first. */
  readonly via: readonly string[];
}

/** What a controller is; "other" is one that virq knows nothing of. */
export type ControllerKind = "gicv2" | "gicv3" | "its" | "v2m" | "mbigen" | "xics" | "ioapic" | "lapic" | "other";

interface ControllerBase {
  readonly path: string;
  readonly compatible: readonly string[];
  readonly enabled: boolean;
  /** Path of the controller that its own interrupts go to; null for the root. */
  readonly parent: string | null;
}

/** A GICv2: distributor and CPU interface, and with virtualization extensions GICH and GICV (gic.md). */
export interface GicV2 extends ControllerBase {
  readonly kind: "gicv2";
  readonly gicd: Region;
  readonly gicc: Region;
  /** Absent where the controller has no virtualization extensions. */
  readonly gich: Region | null;
  readonly gicv: Region | null;
  /** INTID of the maintenance PPI. */
  readonly maintenance: number | null;
}

/** A GICv3 or v4: distributor and redistributors (gic-v3.md). */
export interface GicV3 extends ControllerBase {
  readonly kind: "gicv3";
  readonly gicd: Region;
  readonly redistributors: readonly Region[];
  /** Bytes from one redistributor to the next; null means as GICR_TYPER.VLPIS says (128 or 256 KiB). */
  readonly redistributorStride: number | null;
  /** The memory-mapped GICv2 interfaces, where the tree gives them. */
  readonly gicc: Region | null;
  readonly gich: Region | null;
  readonly gicv: Region | null;
  readonly maintenance: number | null;
  /** The GICv4 whose virtual LPIs it has. No tree says so: null where virq does not know of any. */
  readonly virtualLpis: "4.0" | "4.1" | null;
}

/** An interrupt translation service of a GICv3 (gic-its.md). */
export interface Its extends ControllerBase {
  readonly kind: "its";
  readonly frame: Region;
  /** Of the device ids that it takes. No tree says so: 16 where virq does not know better. */
  readonly deviceBits: number;
}

/** A GICv2m frame: writes to it are SPIs. */
export interface V2mFrame extends ControllerBase {
  readonly kind: "v2m";
  readonly frame: Region;
  /** First INTID and count; null means as MSI_TYPER says. */
  readonly baseSpi: number | null;
  readonly spiCount: number | null;
}

/** One pin group of an mbigen: the node that devices name as their interrupt parent. */
export interface MbigenGroup extends ControllerBase {
  readonly kind: "mbigen";
  readonly frame: Region;
  /** A count; pin numbers may exceed it (they are 64 to 1407). */
  readonly pinCount: number;
  readonly its: string;
  readonly deviceId: number;
}

/** An IOAPIC; its interrupts go to the local APICs, through the remapping of an IOMMU where there is one. */
export interface IoApic extends ControllerBase {
  readonly kind: "ioapic";
  readonly frame: Region;
  readonly pins: number;
  /** The global system interrupt of pin 0. */
  readonly gsiBase: number;
}

/** The local APICs of all CPUs, which also take messages. */
export interface LocalApics extends ControllerBase {
  readonly kind: "lapic";
  readonly frame: Region;
  readonly x2apic: boolean;
}

/** Numbers in a row. */
export interface NumberRange {
  readonly first: number;
  readonly count: number;
}

/**
 * Power's presentation controller, and the nodes that hand its sources out to virtual devices and event sources, whose
 * parent it is (xics.md).
 */
export interface Xics extends ControllerBase {
  readonly kind: "xics";
  readonly regions: readonly Region[];
  /** Of the presentation controller: the servers that interrupts are sent to. */
  readonly servers: readonly NumberRange[];
  /** Of an event source: the sources that are its own. */
  readonly sources: readonly NumberRange[];
}

/** A controller that is described and not modelled. */
export interface OtherController extends ControllerBase {
  readonly kind: "other";
  readonly regions: readonly Region[];
}

/** Any interrupt controller of the machine; `kind` tells which. */
export type Controller = GicV2 | GicV3 | Its | V2mFrame | MbigenGroup | IoApic | LocalApics | Xics | OtherController;

/** INTIDs of the per-CPU timer interrupts. */
export interface Timer {
  readonly path: string;
  readonly secure: TimerPpi | null;
  readonly physical: TimerPpi | null;
  readonly virtual: TimerPpi | null;
  readonly hypervisor: TimerPpi | null;
  readonly hypervisorVirtual: TimerPpi | null;
}

/** A per-CPU timer interrupt as the tree gives it. */
export interface TimerPpi {
  readonly intid: number;
  readonly trigger: TriggerMode;
}

/** An IOMMU: what devices' DMA, and on x86 their messages, go through (host-irq.md 5). */
export interface Iommu {
  readonly path: string;
  /** "tce": a Power host bridge's own, by tables that the hypervisor keeps. */
  readonly kind: "smmuv2" | "smmuv3" | "vt-d" | "tce" | "other";
  /** What it does with the messages of its devices: it may check them against its table, and post them into guests. */
  readonly messages: "untouched" | "remapped" | "posted";
  readonly compatible: readonly string[];
  readonly enabled: boolean;
  readonly frame: Region | null;
  /** The bus addresses that its table translates; null where users choose. */
  readonly window: Region | null;
  /** Its table walks snoop the caches, so its masters are coherent. */
  readonly coherent: boolean;
  readonly interrupts: readonly Interrupt[];
}

/** One stream of an SMMU, requester id of a PCI function, or number of a table (LIOBN) on Power. */
export interface Stream {
  readonly id: number;
  /** Bits of the id that do not matter (SMMUv2 stream matching). */
  readonly mask: number;
}

/** The IOMMU that a device's DMA goes through, with its streams there. */
export interface DeviceIommu {
  readonly path: string;
  readonly streams: readonly Stream[];
  /** A second one that the tree names; a device may have only one (host-irq.md 5.2). */
  readonly second: string | null;
}

/** Where a device's messages go. */
export interface MsiParent {
  readonly controller: string;
  /** Id that the device's messages carry to an ITS; null where the controller takes none. */
  readonly deviceId: number | null;
}

/** The bus that a device is driven on; decides between vfio-platform, vfio-amba and vfio-pci. "vio": a Power hypervisor's own devices. */
export type BusKind = "platform" | "amba" | "pci" | "vio" | "other";

/** A device of the machine, with everything that its assignment depends on. */
export interface Device {
  readonly path: string;
  readonly compatible: readonly string[];
  readonly bus: BusKind;
  readonly enabled: boolean;
  readonly registers: readonly Region[];
  readonly interrupts: readonly Interrupt[];
  readonly msiParents: readonly MsiParent[];
  readonly iommu: DeviceIommu | null;
  /** Id of its IOMMU group, or null and the reason. */
  readonly group: number | null;
  readonly whyNoGroup: string | null;
  readonly dmaCoherent: boolean;
  readonly pci: PciFunction | null;
  /** A PCI host bridge: its functions are assigned, never itself. */
  readonly hostBridge: boolean;
}

/** What makes a device a PCI function. */
export interface PciFunction {
  /** "bus:device.function" in hexadecimal, as lspci prints it. */
  readonly bdf: string;
  /** Within its host bridge's segment. */
  readonly requesterId: number;
  readonly segment: number;
  readonly host: string;
  readonly vendor: number | null;
  readonly device: number | null;
  readonly bridge: boolean;
  /** Access control services keep it apart from the other functions of its device. */
  readonly isolated: boolean;
  readonly msiVectors: number;
}

/** A PCI host bridge: the buses below it, and where their interrupts, messages and DMA go. */
export interface PciHost {
  readonly path: string;
  /** Which hierarchy of buses, as lspci -D prints it: two may have the same bus numbers. */
  readonly segment: number;
  readonly enabled: boolean;
  readonly firstBus: number;
  readonly lastBus: number;
  readonly dmaCoherent: boolean;
  readonly intx: IntxMap | null;
  readonly msi: IdMap | null;
  /** The most vectors that firmware gives its functions together (ibm,pe-total-#msi); null elsewhere. */
  readonly msiTotal: number | null;
  readonly iommu: IdMap | null;
}

/** The host bridge's interrupt-map, resolved to controllers: by masked phys.hi and pin. */
export interface IntxMap {
  readonly addressMask: number;
  readonly pinMask: number;
  readonly entries: readonly { readonly address: number; readonly pin: number; readonly interrupt: Interrupt }[];
}

/** msi-map, iommu-map, or the plain msi-parent: requester ids to ids at the target. */
export interface IdMap {
  readonly mask: number;
  readonly entries: readonly { readonly first: number; readonly count: number; readonly target: string; readonly output: number }[];
}

/** Devices that the IOMMU cannot tell apart: they are assigned together (host-irq.md 5, vfio.md 1.1). */
export interface Group {
  readonly id: number;
  /** Path of the IOMMU; null for an assumed group. */
  readonly iommu: string | null;
  readonly assumed: boolean;
  readonly members: readonly string[];
}

/** The value itself, it and everything in it frozen. */
export function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const field of Object.values(value)) freeze(field);
  return value;
}
