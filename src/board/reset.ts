import type { Board, Device, PciFunction } from "./board.js";
import { BoardIndex, busKey } from "./board-index.js";

/** Devices that vfio-platform has a reset for (drivers/vfio/platform/reset). */
const KNOWN_RESETS = new Set(["calxeda,hb-xgmac", "amd,xgbe-seattle-v1a", "brcm,iproc-flexrm-mbox"]);

/** How a device is brought back to a known state between two owners (vfio.md 12.2, 12.5, 16). */
export interface ResetAbility {
  /**
   * "driver": vfio-platform has a module for it; "function": a PCI function's own, by FLR or by its power state, where it
   * has one, which no tree tells; "none".
   */
  readonly by: "driver" | "function" | "none";
  /** The same as a sentence. */
  readonly how: string;
  /** Functions that a hot reset takes together, the device's own among them; null on a bus that has no bridge to reset it, and off PCI. */
  readonly hotReset: readonly string[] | null;
}

/** How a device can be reset. */
export function resetOf(board: Board, device: Device): ResetAbility {
  if (device.pci !== null) return resetOfFunction(board, device, device.pci);
  if (device.bus === "amba") return { by: "none", how: "vfio-amba knows no reset, and asks for none", hotReset: null };
  const known = device.compatible.find((name) => KNOWN_RESETS.has(name));
  if (known !== undefined) return { by: "driver", how: `vfio-platform has a reset for ${known}`, hotReset: null };
  return { by: "none", how: `vfio-platform knows no reset for ${device.compatible[0] ?? "it"}`, hotReset: null };
}

function resetOfFunction(board: Board, device: Device, pci: PciFunction): ResetAbility {
  const own = "its own reset, by FLR or by its power state, if it has one";
  const host = board.pciHosts.find((each) => each.path === pci.host);
  if (host === undefined || pci.requesterId >> 8 === host.firstBus) return { by: "function", how: `${own}; its bus is a root bus, which nothing resets`, hotReset: null };
  const onBus = BoardIndex.of(board).buses.get(busKey(pci)) ?? [];
  const others = onBus.filter((path) => path !== device.path);
  const along = others.length === 0 ? "it alone is there" : `which takes ${others.join(", ")} along`;
  return { by: "function", how: `${own}; else that of its bus, ${along}`, hotReset: onBus };
}
