import type { VirtualInterface } from "../arch/gic/contract.js";
import { writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { GicField } from "./op.js";

// ICH_VMCR and GICH_VMCR agree in these places (host-irq.md 2.3, gic-v3.md A10.2).
const VMCR_GROUP0 = 1 << 0;
const VMCR_GROUP1 = 1 << 1;
const VMCR_EOI_MODE = 1 << 9;
const VMCR_BPR1_SHIFT = 18;
const VMCR_BPR0_SHIFT = 21;

/**
 * A guest's way to its CPU interface: GICC through the mapped GICV, or the ICC registers. None of these accesses exits;
 * all act on the virtual CPU interface hardware of the physical CPU.
 */
export interface GuestGic {
  readonly version: 2 | 3;
  /** The group that the guest takes as IRQ. */
  readonly group: 0 | 1;
  /** The bits of IAR that are the INTID. */
  readonly intidMask: number;
}

export const GICV2_GUEST: GuestGic = { version: 2, group: 0, intidMask: 0x3ff };
export const GICV3_GUEST: GuestGic = { version: 3, group: 1, intidMask: 0xff_ffff };

/** Writes one of the registers that only VMCR holds; list registers are not touched (gic-v3.md A10.7). */
export function* writeGicField(gic: GuestGic, cpuInterface: VirtualInterface, field: GicField, value: number): Step<void> {
  yield writes(cpuInterface, "vmcr");
  cpuInterface.vmcr = withField(cpuInterface.vmcr, gic.group, field, value);
  yield* cpuInterface.update();
}

function withField(vmcr: number, group: 0 | 1, field: GicField, value: number): number {
  switch (field) {
    case GicField.PMR:
      return (vmcr & 0x00ff_ffff) | ((value & 0xf8) << 24);
    case GicField.GROUP_ENABLE:
      return setBits(vmcr, group === 0 ? VMCR_GROUP0 : VMCR_GROUP1, value !== 0);
    case GicField.EOI_MODE:
      return setBits(vmcr, VMCR_EOI_MODE, value !== 0);
    default: {
      const shift = group === 0 ? VMCR_BPR0_SHIFT : VMCR_BPR1_SHIFT;
      return (vmcr & ~(7 << shift)) | ((value & 7) << shift);
    }
  }
}

const setBits = (word: number, bits: number, isSet: boolean): number => (isSet ? word | bits : word & ~bits);
