import { isX86 } from "../board/assign.js";
import type { Board, Device } from "../board/board.js";
import { isPower } from "../board/power.js";
import type { IommuUnit } from "../host/iommu/unit.js";
import { Smmu } from "../host/smmu.js";
import { DmaRemapping } from "../host/x86/dma-remapping.js";
import { TceUnit } from "../host/xics/tce-unit.js";
import type { Sim } from "../sim/sim.js";

/** What the board has between the device and memory; where its tree names nothing (--assume-iommu), what such machines have. */
export function iommuUnitOf(sim: Sim, board: Board, device: Device): IommuUnit {
  if (isX86(board)) return new DmaRemapping(sim);
  if (isPower(board)) return new TceUnit(sim);
  const kind = board.iommus.find((iommu) => iommu.path === device.iommu?.path)?.kind;
  return new Smmu(sim, kind === "smmuv2" ? "smmuv2" : "smmuv3");
}
