import { Aer, Af, CapId, Command, Exp, Msix, Pci, Pm, Status, Vpd } from "../../../arch/pci/config-registers.js";
import type { ExtendedLength } from "./extended-length.js";

/**
 * What the user of a device sees of one register (vfio.md 13.1): `virt` are the bits served from the virtual copy,
 * `write` those that the user may change; writable bits that are not virtual reach the hardware.
 */
export interface Permission {
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  readonly virt: number;
  readonly write: number;
}

const ALL = 0xffff_ffff;
const NONE = 0;
const PME_SUPPORT = 0xf800;
const PME = 0x8100;

/** 13.2. What is not named is read from the hardware and never written. */
export const HEADER_PERMISSIONS: readonly Permission[] = [
  { offset: Pci.VENDOR_ID, size: 4, virt: ALL, write: NONE },
  { offset: Pci.COMMAND, size: 2, virt: Command.INTX_DISABLE, write: ALL },
  { offset: Pci.STATUS, size: 2, virt: Status.CAP_LIST, write: NONE },
  { offset: Pci.CACHE_LINE_SIZE, size: 1, virt: NONE, write: ALL },
  { offset: Pci.LATENCY_TIMER, size: 1, virt: NONE, write: ALL },
  { offset: Pci.BIST, size: 1, virt: NONE, write: ALL },
  { offset: Pci.BAR0, size: 4, virt: ALL, write: ALL },
  { offset: Pci.BAR0 + 4, size: 4, virt: ALL, write: ALL },
  { offset: Pci.BAR0 + 8, size: 4, virt: ALL, write: ALL },
  { offset: Pci.BAR0 + 12, size: 4, virt: ALL, write: ALL },
  { offset: Pci.BAR0 + 16, size: 4, virt: ALL, write: ALL },
  { offset: Pci.BAR0 + 20, size: 4, virt: ALL, write: ALL },
  { offset: Pci.ROM, size: 4, virt: ALL, write: ALL },
  { offset: Pci.CAP_POINTER, size: 1, virt: ALL, write: NONE },
  { offset: Pci.INT_LINE, size: 1, virt: ALL, write: ALL },
  { offset: Pci.INT_PIN, size: 1, virt: ALL, write: NONE },
];

/** Bytes of a capability: fixed, as it says itself, or 0: hidden. */
export type CapabilityLength = number | "msi" | "pcix" | "own" | "express";

export interface CapabilityRule {
  readonly length: CapabilityLength;
  readonly fields: readonly Permission[];
  /** Every byte is written through. */
  readonly isRaw?: boolean;
}

/** 13.5, by id: those that are not here are hidden. All of them have their next pointer virtual. */
export const CAPABILITY_RULES: ReadonlyMap<number, CapabilityRule> = new Map<number, CapabilityRule>([
  [
    CapId.PM,
    {
      length: Pm.LENGTH,
      fields: [
        { offset: Pm.PMC, size: 2, virt: PME_SUPPORT, write: NONE },
        { offset: Pm.PMCSR, size: 4, virt: PME, write: ~(PME | Pm.STATE_MASK) },
      ],
    },
  ],
  [CapId.VPD, { length: Vpd.LENGTH, fields: [{ offset: Vpd.ADDRESS, size: 2, virt: ALL, write: ALL }, { offset: Vpd.DATA, size: 4, virt: ALL, write: ALL }] }],
  [CapId.MSI, { length: "msi", fields: [] }],
  [CapId.PCIX, { length: "pcix", fields: [{ offset: 2, size: 2, virt: NONE, write: ALL }] }],
  [CapId.VENDOR, { length: "own", fields: [], isRaw: true }],
  [
    CapId.EXPRESS,
    {
      length: "express",
      fields: [
        { offset: Exp.DEVCTL, size: 2, virt: Exp.DEVCTL_FLR | Exp.DEVCTL_MPS | Exp.DEVCTL_MRRS, write: ~Exp.DEVCTL_PHANTOM },
        { offset: Exp.LNKCTL, size: 2, virt: NONE, write: ALL },
        { offset: Exp.DEVCTL2, size: 2, virt: NONE, write: ~Exp.DEVCTL2_ARI },
      ],
    },
  ],
  [CapId.MSIX, { length: Msix.LENGTH, fields: [] }],
  [CapId.AF, { length: Af.LENGTH, fields: [{ offset: Af.CONTROL, size: 1, virt: Af.CONTROL_FLR, write: Af.CONTROL_FLR }] }],
]);

/** Extended capabilities, by id. */
const ExtId = {
  AER: 0x01,
  VC: 0x02,
  DSN: 0x03,
  PWR: 0x04,
  MFVC: 0x08,
  VC9: 0x09,
  VNDR: 0x0b,
  ACS: 0x0d,
  ARI: 0x0e,
  ATS: 0x0f,
  SRIOV: 0x10,
  MCAST: 0x12,
  PRI: 0x13,
  REBAR: 0x15,
  DPA: 0x16,
  TPH: 0x17,
  LTR: 0x18,
  DVSEC: 0x23,
} as const;

export interface ExtendedRule {
  readonly length: number | ExtendedLength;
  readonly fields: readonly Permission[];
  readonly isRaw?: boolean;
}

/** 13.5: those that are not here are hidden: 05, 06, 07, 0a, 0c, 11, 14, 19, 1a, 1b, and what came later. */
export const EXTENDED_RULES: ReadonlyMap<number, ExtendedRule> = new Map<number, ExtendedRule>([
  [
    ExtId.AER,
    {
      length: Aer.LENGTH,
      fields: [
        { offset: 0x04, size: 4, virt: NONE, write: ALL },
        { offset: 0x08, size: 4, virt: NONE, write: ALL },
        { offset: 0x0c, size: 4, virt: NONE, write: ALL },
        { offset: 0x10, size: 4, virt: NONE, write: ALL },
        { offset: 0x14, size: 4, virt: NONE, write: ALL },
        { offset: 0x18, size: 4, virt: NONE, write: ALL },
      ],
    },
  ],
  [ExtId.VC, { length: "vc", fields: [] }],
  [ExtId.DSN, { length: 12, fields: [] }],
  [ExtId.PWR, { length: 16, fields: [{ offset: 4, size: 4, virt: NONE, write: ALL }] }],
  [ExtId.MFVC, { length: "vc", fields: [] }],
  [ExtId.VC9, { length: "vc", fields: [] }],
  [ExtId.VNDR, { length: "own", fields: [], isRaw: true }],
  [ExtId.ACS, { length: "acs", fields: [] }],
  [ExtId.ARI, { length: 8, fields: [] }],
  [ExtId.ATS, { length: 8, fields: [] }],
  [ExtId.SRIOV, { length: 0x40, fields: [] }],
  [ExtId.MCAST, { length: 0x28, fields: [] }],
  [ExtId.PRI, { length: 0x10, fields: [] }],
  [ExtId.REBAR, { length: "rebar", fields: [] }],
  [ExtId.DPA, { length: "dpa", fields: [] }],
  [ExtId.TPH, { length: "tph", fields: [] }],
  [ExtId.LTR, { length: 8, fields: [] }],
  [ExtId.DVSEC, { length: "own", fields: [], isRaw: true }],
]);
