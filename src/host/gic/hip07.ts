import { GicrTyper } from "../../arch/gic/gicr-vlpi.js";
import { TYPER_PTA } from "../../arch/gic/gits.js";
import { type GicV3Implementation, QEMU_GICV4 } from "./implementation.js";
import { type ItsImplementation, QEMU_ITS_V4 } from "./its/implementation.js";

// The GICv4.0 of HiSilicon's Hip07, as Linux reports it when it boots a D05: direct LPIs, ITSs that are told apart by number
// because no VMOVP reaches all of them, 19 bits of device id, erratum 161600802. What it does not report is as QEMU has it.

const DEVICE_BITS = 19;
const DEVBITS_SHIFT = 13;
const DEVBITS = 0x1f << DEVBITS_SHIFT;

export const HIP07_GIC: GicV3Implementation = { ...QEMU_GICV4, gicrTyper: QEMU_GICV4.gicrTyper | GicrTyper.DIRECT_LPI };

export const HIP07_ITS: ItsImplementation = {
  ...QEMU_ITS_V4,
  typerLow: (QEMU_ITS_V4.typerLow & ~DEVBITS) | ((DEVICE_BITS - 1) << DEVBITS_SHIFT) | TYPER_PTA,
  typerHigh: 0,
  iidr: 0x4,
  vlpiRedistOffset: 0x20000,
};
