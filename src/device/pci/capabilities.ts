// The capabilities of a PCI function, as tables of their fields (vfio.md 13): what a device model is made of.
import { Aer, Af, CapId, Exp, ExtCapId, logOfVectors, Msi, msiLength, Msix, Pm, Vpd } from "../../arch/pci/config-registers.js";
import type { ConfigField } from "./config-space.js";

/** One entry of a function's capability list; its fields count from its own start, where id and next pointer are. */
export interface Capability {
  readonly id: number;
  readonly length: number;
  readonly fields: readonly ConfigField[];
}

const PME_SUPPORT = 0xf800;
const PME_ENABLE = 1 << 8;
const PME_STATUS = 1 << 15;

/** Power management, version 3. Without NO_SOFT_RESET the way from D3hot to D0 resets the function. */
export function pmCapability(options: { noSoftReset?: boolean } = {}): Capability {
  const csr = options.noSoftReset ? Pm.NO_SOFT_RESET : 0;
  return {
    id: CapId.PM,
    length: Pm.LENGTH,
    fields: [
      { offset: Pm.PMC, size: 2, value: PME_SUPPORT | 3 },
      { offset: Pm.PMCSR, size: 2, value: csr, writable: Pm.STATE_MASK | PME_ENABLE, clears: PME_STATUS },
    ],
  };
}

/** @param options.vectors 1, 2, 4, 8, 16 or 32 */
export function msiCapability(options: { vectors: number; is64?: boolean; isMaskable?: boolean }): Capability {
  const { vectors, is64 = true, isMaskable = false } = options;
  const flags = (logOfVectors(vectors) << Msi.QMASK_SHIFT) | (is64 ? Msi.IS_64 : 0) | (isMaskable ? Msi.IS_MASKABLE : 0);
  const fields: ConfigField[] = [
    { offset: Msi.FLAGS, size: 2, value: flags, writable: Msi.ENABLE | Msi.QSIZE },
    { offset: Msi.ADDRESS_LO, size: 4, writable: 0xffff_fffc },
    { offset: is64 ? Msi.DATA_64 : Msi.DATA_32, size: 2, writable: 0xffff },
  ];
  if (is64) fields.push({ offset: Msi.ADDRESS_HI, size: 4, writable: 0xffff_ffff });
  // Mask bits, then the pending bits, which software only reads.
  if (isMaskable) fields.push({ offset: is64 ? Msi.MASK_64 : Msi.MASK_32, size: 4, writable: 2 ** vectors - 1 });
  return { id: CapId.MSI, length: msiLength(flags), fields };
}

export interface MsixLayout {
  /** 1 to 2048. */
  readonly vectors: number;
  readonly tableBar: number;
  readonly tableOffset: number;
  readonly pbaBar: number;
  readonly pbaOffset: number;
}

export function msixCapability(layout: MsixLayout): Capability {
  return {
    id: CapId.MSIX,
    length: Msix.LENGTH,
    fields: [
      { offset: Msix.FLAGS, size: 2, value: layout.vectors - 1, writable: Msix.ENABLE | Msix.MASK_ALL },
      { offset: Msix.TABLE, size: 4, value: layout.tableOffset | layout.tableBar },
      { offset: Msix.PBA, size: 4, value: layout.pbaOffset | layout.pbaBar },
    ],
  };
}

const ENDPOINT_V2 = 2;
const MRRS_512 = 2 << 12;
const DEVCTL_WRITABLE = 0x7fff;

/**
 * PCI Express, version 2, an endpoint.
 * @param options.atomicCompletions sizes of atomic operations that meet memory of its own: bits for 32, 64 and 128 bits; default 0
 */
export function expressCapability(options: { hasFlr?: boolean; atomicCompletions?: number } = {}): Capability {
  return {
    id: CapId.EXPRESS,
    length: Exp.LENGTH,
    fields: [
      { offset: Exp.FLAGS, size: 2, value: ENDPOINT_V2 },
      { offset: Exp.DEVCAP, size: 4, value: options.hasFlr ? Exp.DEVCAP_FLR : 0 },
      { offset: Exp.DEVCTL, size: 2, value: MRRS_512, writable: DEVCTL_WRITABLE | (options.hasFlr ? Exp.DEVCTL_FLR : 0) },
      { offset: Exp.DEVSTA, size: 2, clears: 0xf },
      { offset: Exp.LNKCTL, size: 2, writable: 0x1ff },
      { offset: Exp.DEVCAP2, size: 4, value: (options.atomicCompletions ?? 0) << Exp.DEVCAP2_ATOMIC_SHIFT },
      { offset: Exp.DEVCTL2, size: 2, writable: 0xffff },
    ],
  };
}

/** Advanced features: a reset for functions that are not PCI Express. */
export function afCapability(): Capability {
  return {
    id: CapId.AF,
    length: Af.LENGTH,
    fields: [
      { offset: Af.LENGTH_FIELD, size: 1, value: Af.LENGTH },
      { offset: Af.CAPABILITIES, size: 1, value: Af.CAP_TP_FLR },
    ],
  };
}

/** Advanced error reporting, an extended capability: masks and severities of errors, none of which the function reports. */
export function aerCapability(): Capability {
  const fields = [Aer.UNCOR_MASK, Aer.UNCOR_SEVERITY, Aer.COR_MASK, Aer.CONTROL].map((offset): ConfigField => ({ offset, size: 4, writable: -1 }));
  return { id: ExtCapId.AER, length: Aer.LENGTH, fields };
}

/** Vital product data: the function's `vpd`, 4 bytes at a time. */
export function vpdCapability(): Capability {
  return {
    id: CapId.VPD,
    length: Vpd.LENGTH,
    fields: [
      { offset: Vpd.ADDRESS, size: 2, writable: 0xffff },
      { offset: Vpd.DATA, size: 4, writable: -1 },
    ],
  };
}

/** Bytes of the function's own making: everything writable, nothing acted on. @param length with the 3 bytes of header */
export function vendorCapability(length: number): Capability {
  const fields: ConfigField[] = [{ offset: 2, size: 1, value: length }];
  for (let offset = 3; offset < length; offset++) fields.push({ offset, size: 1, writable: 0xff });
  return { id: CapId.VENDOR, length, fields };
}
