import { z } from "zod";
import { MECHANISMS } from "../board/assign.js";

const path = z.string().describe("path of a node of the device tree");
const region = z.object({ address: z.number().int(), size: z.number().int() }).describe("bytes, in the CPU's address space");
const trigger = z.enum(["level-high", "level-low", "edge-rising", "edge-falling", "edge-both", "unspecified"]);

const mechanism = z.object({
  mechanism: z.enum(MECHANISMS),
  applicable: z.boolean(),
  why: z.string().nullable().describe("why it does not fit; null when it does"),
});

const interrupt = z.object({
  index: z.number().int().describe("place in the device's list; what --irq takes"),
  name: z.string().nullable(),
  controller: path,
  kind: z.enum(["spi", "ppi", "espi", "eppi", "mbigen pin", "xics", "gsi", "msi", "pin"]),
  number: z.number().int().nullable().describe("as the tree counts: SPI 77 is 77"),
  intid: z.number().int().nullable().describe("as the GIC counts: SPI 77 is 109"),
  trigger,
  via: z.array(path).describe("nexus nodes and pass-through controllers, nearest to the device first"),
});

const cpu = z.object({
  path,
  index: z.number().int(),
  hwId: z.number().int(),
  numaNode: z.number().int().nullable(),
  compatible: z.array(z.string()),
  enableMethod: z.string().nullable(),
  enabled: z.boolean(),
});
const ppi = z.object({ intid: z.number().int(), trigger }).nullable();
const timer = z.object({ path, secure: ppi, physical: ppi, virtual: ppi, hypervisor: ppi, hypervisorVirtual: ppi });

const numbers = z.object({ first: z.number().int(), count: z.number().int() });
const anyController = { path, compatible: z.array(z.string()), enabled: z.boolean(), parent: path.nullable() };
const controller = z.discriminatedUnion("kind", [
  z.object({ ...anyController, kind: z.literal("gicv2"), gicd: region, gicc: region, gich: region.nullable(), gicv: region.nullable(), maintenance: z.number().int().nullable() }),
  z.object({
    ...anyController,
    kind: z.literal("gicv3"),
    gicd: region,
    redistributors: z.array(region),
    redistributorStride: z.number().int().nullable(),
    gicc: region.nullable(),
    gich: region.nullable(),
    gicv: region.nullable(),
    maintenance: z.number().int().nullable(),
    virtualLpis: z.enum(["4.0", "4.1"]).nullable().describe("the GICv4 whose virtual LPIs it has; null where virq knows of none"),
  }),
  z.object({ ...anyController, kind: z.literal("its"), frame: region, deviceBits: z.number().int().describe("of the device ids that it takes") }),
  z.object({ ...anyController, kind: z.literal("v2m"), frame: region, baseSpi: z.number().int().nullable(), spiCount: z.number().int().nullable() }),
  z.object({ ...anyController, kind: z.literal("mbigen"), frame: region, pinCount: z.number().int(), its: path, deviceId: z.number().int() }),
  z.object({ ...anyController, kind: z.literal("ioapic"), frame: region, pins: z.number().int(), gsiBase: z.number().int() }),
  z.object({ ...anyController, kind: z.literal("lapic"), frame: region, x2apic: z.boolean() }),
  z.object({ ...anyController, kind: z.literal("xics"), regions: z.array(region), servers: z.array(numbers), sources: z.array(numbers) }),
  z.object({ ...anyController, kind: z.literal("other"), regions: z.array(region) }),
]);

const iommu = z.object({
  path,
  kind: z.enum(["smmuv2", "smmuv3", "vt-d", "tce", "other"]),
  messages: z.enum(["untouched", "remapped", "posted"]).describe("what it does with the messages of its devices"),
  compatible: z.array(z.string()),
  enabled: z.boolean(),
  frame: region.nullable(),
  window: region.nullable().describe("bus addresses that its table translates (Power); null where users choose"),
  coherent: z.boolean(),
  interrupts: z.array(interrupt),
});

const idMap = z.object({ mask: z.number().int(), entries: z.array(z.object({ first: z.number().int(), count: z.number().int(), target: path, output: z.number().int() })) });
const segment = z.number().int().describe("which hierarchy of buses: 1 is 0001 in 0001:01:00.0");

const pciHost = z.object({
  path,
  segment,
  enabled: z.boolean(),
  firstBus: z.number().int(),
  lastBus: z.number().int(),
  dmaCoherent: z.boolean(),
  intx: z.object({ addressMask: z.number().int(), pinMask: z.number().int(), entries: z.array(z.object({ address: z.number().int(), pin: z.number().int(), interrupt })) }).nullable(),
  msi: idMap.nullable(),
  msiTotal: z.number().int().nullable().describe("most vectors of its functions together, where firmware says so (Power)"),
  iommu: idMap.nullable(),
});

const pciFunction = z.object({
  bdf: z.string(),
  requesterId: z.number().int(),
  segment,
  host: path,
  vendor: z.number().int().nullable(),
  device: z.number().int().nullable(),
  bridge: z.boolean(),
  isolated: z.boolean(),
  msiVectors: z.number().int(),
});

const device = z.object({
  path,
  compatible: z.array(z.string()),
  bus: z.enum(["platform", "amba", "pci", "vio", "other"]),
  enabled: z.boolean(),
  registers: z.array(region),
  interrupts: z.array(interrupt.extend({ mechanisms: z.array(mechanism) })),
  msiParents: z.array(z.object({ controller: path, deviceId: z.number().int().nullable() })),
  iommu: z.object({ path, streams: z.array(z.object({ id: z.number().int(), mask: z.number().int() })), second: path.nullable() }).nullable(),
  group: z.number().int().nullable(),
  whyNoGroup: z.string().nullable(),
  dmaCoherent: z.boolean(),
  pci: pciFunction.nullable(),
  hostBridge: z.boolean(),
  assignment: z.object({ driver: z.enum(["vfio-platform", "vfio-pci", "none"]), why: z.string().nullable(), conditions: z.array(z.string()) }),
  reset: z.object({
    by: z.enum(["driver", "function", "none"]).describe("vfio-platform's module for it; a PCI function's own, where it has one; none"),
    how: z.string(),
    hotReset: z.array(path).nullable().describe("PCI functions that a hot reset takes together; null where the bus has no bridge to reset it, and off PCI"),
  }),
});
const isolation = z.object({ isIsolated: z.boolean(), why: z.string() }).describe("can a member forge another's message interrupts?");

/** What `virq boards FILE|NAME --json` prints. */
const boardOutput = z.object({
  name: z.string(),
  source: z.enum(["device tree", "built in"]),
  model: z.string().nullable(),
  compatible: z.array(z.string()),
  cpus: z.array(cpu),
  psci: z.object({ path, compatible: z.array(z.string()), method: z.enum(["smc", "hvc"]).nullable() }).nullable(),
  rtas: z.object({ path, tokens: z.record(z.string(), z.number().int()) }).nullable().describe("firmware of a Power machine: tokens of its calls for interrupts"),
  memory: z.array(region),
  controllers: z.array(controller),
  timer: timer.nullable(),
  iommus: z.array(iommu),
  pciHosts: z.array(pciHost),
  devices: z.array(device),
  groups: z.array(z.object({ id: z.number().int(), iommu: path.nullable(), assumed: z.boolean(), members: z.array(path), isolation })),
  assumeIommu: z.boolean(),
  notes: z.array(z.string()),
});

/** What `virq boards --json` prints without a board. */
const boardList = z.object({
  boards: z.array(z.object({ name: z.string(), model: z.string().nullable(), cpus: z.number().int(), controllers: z.array(z.string()), devices: z.number().int(), groups: z.number().int(), isolatedGroups: z.number().int(), assignable: z.number().int().describe("devices that a VFIO driver can take"), resettable: z.number().int().describe("of those, the ones with a reset of their own") })),
});

export const boardsOutput = z.union([boardOutput, boardList]).describe("What `virq boards --json` prints: one board, or the list of built-in boards");
export type BoardOutput = z.infer<typeof boardOutput>;
export type BoardList = z.infer<typeof boardList>;
