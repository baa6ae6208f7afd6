import { describe, expect, it } from "vitest";
import { encodeVmapp, encodeVmapti, encodeVsgi } from "./its-encode.js";

const dw = new Int32Array(8);
const words = (): string[] => [0, 2, 4, 6].map((i) => ((BigInt(dw[i + 1] >>> 0) << 32n) | BigInt(dw[i] >>> 0)).toString(16));

describe("GICv4 commands", () => {
  it("VG33: a VMAPP of vPE 3 on CPU 1", () => {
    encodeVmapp(dw, 3, 1, { vpt: 0x40010000, idBits: 16, isValid: true });
    expect(words()).toEqual(["29", "300000000", "8000000000010000", "4001000f"]);
  });

  it("a VMAPTI without doorbell (gic-v4.md C1.3)", () => {
    encodeVmapti(dw, 0x100, 7, 3, 8200, 1023);
    expect(words()).toEqual(["1000000002a", "300000007", "3ff00002008", "0"]);
  });

  it("a VSGI that configures (gic-v4.md C1.3)", () => {
    encodeVsgi(dw, 3, 5, { isEnabled: true, group: 1, priority: 0xa0 }, false);
    expect(words()).toEqual(["500a00523", "300000000", "0", "0"]);
  });
});
