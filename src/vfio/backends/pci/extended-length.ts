import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { Step } from "../../../sim/step.js";

/** Extended capabilities that say themselves how long they are (PCI Express 6.0, 7.7 to 7.9), by where they say it. */
export type ExtendedLength = "own" | "vc" | "acs" | "rebar" | "dpa" | "tph";

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** Bytes of the extended capability at `at`. */
export function* extendedLength(pci: PciDevice, at: number, kind: ExtendedLength): Step<number> {
  const first = yield* pci.readConfig(at + 4, 4);
  switch (kind) {
    case "own":
      return first >>> 20;
    case "vc":
      return channels(first & 7, yield* pci.readConfig(at + 8, 4));
    // An egress vector, of 256 bits where its size is written as 0.
    case "acs":
      return first & 0x20 ? 8 + roundUp((first >>> 8) & 0xff || 256, 32) / 8 : 8;
    case "rebar":
      return 4 + 8 * (((yield* pci.readConfig(at + 8, 4)) >>> 5) & 7);
    case "dpa":
      return 16 + (first & 0x1f) + 1;
    // Steering tags are here, or in the MSI-X table.
    case "tph":
      return ((first >>> 9) & 3) === 1 ? 12 + 2 * ((first >>> 16) & 0x7ff) + 2 : 12;
  }
}

/** Of virtual channels: 12 bytes for each, and the arbitration table of as many phases as the port can do, 4 bits a phase. */
function channels(extended: number, arbitration: number): number {
  const bytes = 16 + 12 * (1 + extended);
  const phases = arbitration & 8 ? 128 : arbitration & 4 ? 64 : arbitration & 2 ? 32 : 0;
  return phases === 0 ? bytes : roundUp(bytes, 16) + phases / 2;
}
