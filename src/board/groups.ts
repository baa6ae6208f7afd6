import { type Device, type Group, type Iommu, type Stream } from "./board.js";

/** SMMUv2 has at most this many stream-match entries (host-irq.md 5.1). */
const STREAM_MATCH_ENTRIES = 128;

interface MatchEntry extends Stream {
  readonly group: number;
}

/** What decides a device's group; the rest of it does not matter here. */
export type Candidate = Pick<Device, "path" | "bus" | "enabled" | "hostBridge" | "iommu" | "pci">;

export interface Placement {
  readonly group: number | null;
  readonly whyNoGroup: string | null;
}

/** Puts devices into IOMMU groups in the order in which they appear (host-irq.md 5.2). */
export class Grouping {
  readonly groups: { id: number; iommu: string | null; assumed: boolean; members: string[] }[] = [];
  private readonly iommus = new Map<string, Iommu>();
  private readonly entries = new Map<string, MatchEntry[]>();
  private readonly slots = new Map<string, { group: number; isolated: boolean }[]>();

  constructor(
    iommus: readonly Iommu[],
    private readonly assume: boolean,
  ) {
    for (const iommu of iommus) this.iommus.set(iommu.path, iommu);
  }

  /** Takes over the groups of a board that is already described. */
  resume(groups: readonly Group[], devices: readonly Device[]): void {
    for (const group of groups) this.groups.push({ ...group, members: [...group.members] });
    for (const device of devices) if (device.group !== null) this.remember(device, device.group);
  }

  place(device: Candidate): Placement {
    if (device.hostBridge) return { group: null, whyNoGroup: "it is a PCI host bridge: its functions are assigned, never itself" };
    if (!device.enabled) return { group: null, whyNoGroup: "the tree disables it" };
    if (device.bus === "vio") return { group: null, whyNoGroup: "it is a virtual device of the hypervisor's, and VFIO has no driver for those" };
    if (device.bus === "other") return { group: null, whyNoGroup: "it sits on a bus behind another device and does no DMA of its own" };
    const why = this.obstacle(device);
    if (why === null) return { group: this.join(device, false), whyNoGroup: null };
    return this.assume ? { group: this.join(device, true), whyNoGroup: null } : { group: null, whyNoGroup: why };
  }

  private obstacle(device: Candidate): string | null {
    if (!device.iommu) return "the tree names no IOMMU for it";
    const { path, streams, second } = device.iommu;
    if (second !== null) return `the tree names two IOMMUs for it, ${path} and ${second}`;
    const iommu = this.iommus.get(path);
    if (!iommu) return `${path}, which it names as its IOMMU, is none`;
    if (!iommu.enabled) return `the tree disables its IOMMU, ${path}`;
    if (iommu.kind === "other") return `its IOMMU, ${path} (${iommu.compatible[0] ?? "no compatible"}), is no Arm SMMU`;
    if (iommu.kind === "smmuv3" || iommu.kind === "vt-d" || iommu.kind === "tce") return null;
    const entries = this.entries.get(path) ?? [];
    const hits = new Set<number>();
    let fresh = 0;
    for (const stream of streams) {
      const overlap = entries.filter((entry) => ((entry.id ^ stream.id) & ~(entry.mask | stream.mask)) === 0);
      if (overlap.some((entry) => !contains(entry, stream))) return `stream ${stream.id} (mask ${stream.mask}) overlaps an entry of ${path} that another device has`;
      for (const entry of overlap) hits.add(entry.group);
      if (overlap.length === 0) fresh++;
    }
    if (hits.size > 1) return `its streams belong to ${hits.size} groups of ${path}`;
    return entries.length + fresh > STREAM_MATCH_ENTRIES ? `${path} has at most ${STREAM_MATCH_ENTRIES} stream-match entries, and they are taken` : null;
  }

  private join(device: Candidate, assumed: boolean): number {
    const id = this.shared(device, assumed) ?? this.groups.length;
    if (id === this.groups.length) this.groups.push({ id, iommu: assumed ? null : (device.iommu?.path ?? null), assumed, members: [] });
    this.groups[id].members.push(device.path);
    this.remember(device, id);
    return id;
  }

  /** An existing group that the device must share: by its slot on PCI, by its streams on an SMMUv2. */
  private shared(device: Candidate, assumed: boolean): number | null {
    const { pci, iommu } = device;
    if (pci && !pci.isolated) {
      const sibling = this.slots.get(slot(pci.host, pci.requesterId))?.find((other) => !other.isolated);
      if (sibling) return sibling.group;
    }
    if (assumed || !iommu || !this.groupsByStream(iommu.path)) return null;
    const entries = this.entries.get(iommu.path) ?? [];
    for (const stream of iommu.streams) {
      const hit = entries.find((entry) => contains(entry, stream));
      if (hit) return hit.group;
    }
    return null;
  }

  /** Devices of one stream are one group: of an SMMUv2's entries, and of the tables of a Power host bridge. */
  private groupsByStream(path: string): boolean {
    const kind = this.iommus.get(path)?.kind;
    return kind === "smmuv2" || kind === "tce";
  }

  private remember(device: Candidate, group: number): void {
    const { pci, iommu } = device;
    if (pci) {
      const key = slot(pci.host, pci.requesterId);
      const slots = this.slots.get(key) ?? [];
      slots.push({ group, isolated: pci.isolated });
      this.slots.set(key, slots);
    }
    if (!iommu || this.groups[group].iommu !== iommu.path || !this.groupsByStream(iommu.path)) return;
    const entries = this.entries.get(iommu.path) ?? [];
    for (const stream of iommu.streams) if (!entries.some((entry) => contains(entry, stream))) entries.push({ ...stream, group });
    this.entries.set(iommu.path, entries);
  }
}

function contains(entry: Stream, stream: Stream): boolean {
  return (stream.mask & ~entry.mask) === 0 && ((stream.id ^ entry.id) & ~entry.mask) === 0;
}

/** Functions of one device share a requester id but for its last three bits. */
function slot(host: string, requesterId: number): string {
  return `${host} ${requesterId >> 3}`;
}
