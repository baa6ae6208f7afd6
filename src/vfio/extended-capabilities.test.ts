import { describe, expect, it } from "vitest";
import { expressCapability } from "../device/pci/capabilities.js";
import { PciFunction } from "../device/pci/function.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { PciStage } from "../explore/stages/pci-stage.js";
import { run } from "../sim/step.js";
import { ConfigMap, Owner } from "./backends/pci/config-map.js";

// vfio.md 13.5: which extended capabilities a user sees, and how far they reach: behind one, bytes are raw again.

const HIDDEN = [0x05, 0x06, 0x07, 0x0a, 0x0c, 0x11, 0x14, 0x19, 0x1a, 0x1b];
const VISIBLE = [0x01, 0x02, 0x03, 0x04, 0x08, 0x09, 0x0b, 0x0d, 0x0e, 0x0f, 0x10, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x23];
const PLACE = 0x200;

/** What a user sees of a function whose second extended capability has this id, and these words. */
function mapOf(id: number, words: readonly number[] = []): ConfigMap {
  const world = new PciStage();
  const fn = new PciFunction({ name: "0000:06:00.2", requesterId: 0x602, vendor: 1, device: 2, classCode: 0, capabilities: [expressCapability()] });
  fn.setRegister(0x100, 4, (PLACE << 20) | 0x1_0003);
  for (const [i, word] of [0x1_0000 | id, ...words].entries()) fn.setRegister(PLACE + 4 * i, 4, word | 0);
  const map = new ConfigMap(new PciDevice(world.root, fn, { bus: world.A.bus }), fn.configSize);
  run(map.build());
  return map;
}

/** Bytes up to the first word that nobody claims. */
function reach({ owner }: ConfigMap): number {
  let at = PLACE;
  while (owner[at >> 2] !== Owner.RAW) at += 4;
  return at - PLACE;
}

describe("extended capabilities 01 to 23", () => {
  it("are hidden where the specification says so, and visible where there is a rule", () => {
    const isSeen = (id: number, word = 0x0181_0001): boolean => mapOf(id, [word]).copy.getUint32(0x100, true) >>> 20 === PLACE;
    const seen = Array.from({ length: 0x23 }, (_, i) => i + 1).filter((id) => isSeen(id));
    expect(seen).toEqual(VISIBLE);
    expect(seen.filter((id) => HIDDEN.includes(id))).toEqual([]);
    // A vendor's that says that it has no bytes.
    expect([isSeen(0x0b, 0), isSeen(0x23, 0)]).toEqual([false, false]);
  });

  it.each([
    ["AER", 0x01, [], 0x2c],
    ["VC, one channel", 0x02, [0, 0], 0x1c],
    ["VC, three more channels and 64 phases", 0x02, [3, 4], 0x40 + 32],
    ["MFVC, 128 phases", 0x08, [0, 8], 0x20 + 64],
    ["VC9, 32 phases", 0x09, [0, 2], 0x20 + 16],
    ["DSN", 0x03, [], 12],
    ["PWR", 0x04, [], 16],
    ["a vendor's of 0x18 bytes", 0x0b, [0x0181_0001], 0x18],
    ["ACS", 0x0d, [0], 8],
    ["ACS with an egress vector of 40 bits", 0x0d, [0x2820], 16],
    ["ACS with one of 256", 0x0d, [0x20], 40],
    ["MCAST", 0x12, [], 40],
    ["PRI", 0x13, [], 16],
    ["REBAR of three", 0x15, [0, 3 << 5], 28],
    ["DPA of eight states", 0x16, [7], 24],
    ["TPH without tags", 0x17, [0], 12],
    ["TPH with 8 tags of its own", 0x17, [0x7_0200], 28],
    ["TPH with tags in the MSI-X table", 0x17, [0x7_0400], 12],
    ["DVSEC of 0x20 bytes", 0x23, [0x0201_1e98], 0x20],
  ])("%s reaches as far as it says", (_name, id, words, length) => {
    expect(reach(mapOf(id, words))).toBe(length);
  });
});
