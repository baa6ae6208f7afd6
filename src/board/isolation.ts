import type { Board, Device, Group } from "./board.js";
import { BoardIndex } from "./board-index.js";

/** Can a member of a group forge another's interrupts by writing where messages go? Why, as a sentence. */
export interface Isolation {
  readonly isIsolated: boolean;
  readonly why: string;
}

/**
 * What the kernel finds of a group (vfio.md 20.1; iommu_group_has_isolated_msi): isolated if somebody checks who writes each
 * member's messages. A member that sends none has nobody who does, and counts as not isolated.
 */
export function isolationOf(board: Board, group: Group): Isolation {
  const known = found.get(group);
  if (known !== undefined) return known;
  const { devices } = BoardIndex.of(board);
  const all = group.members.flatMap((path) => devices.get(path) ?? []).map((device) => isolationOfDevice(board, device));
  const isolation = all.find((each) => !each.isIsolated) ?? all[0] ?? { isIsolated: false, why: "it has no members" };
  found.set(group, isolation);
  return isolation;
}

/** What the person does about a group that is not isolated. */
export function unsafeInterrupts({ why }: Isolation): string {
  return `${why}: load vfio_iommu_type1 with allow_unsafe_interrupts=1`;
}

const found = new WeakMap<Group, Isolation>();

function isolationOfDevice(board: Board, device: Device): Isolation {
  const { iommus, controllers } = BoardIndex.of(board);
  const iommu = device.iommu === null ? undefined : iommus.get(device.iommu.path);
  if (iommu !== undefined && iommu.messages !== "untouched") return { isIsolated: true, why: `${iommu.path} lets through what its table has for the sender` };
  if (iommu?.kind === "tce") return { isIsolated: true, why: `${iommu.path} takes from an endpoint its own messages alone` };
  for (const { controller: path } of device.msiParents) {
    const kind = controllers.get(path)?.kind;
    if (kind === "its") return { isIsolated: true, why: `${path} looks up who writes a message` };
    if (kind !== undefined) return { isIsolated: false, why: `${path} does not know who writes a message` };
  }
  return { isIsolated: false, why: "no controller of messages vouches for it, which the kernel takes for unsafe" };
}
