// Configuration space by name: what functions, the host kernel and VFIO share (PCI Local Bus 3.0, PCI Express Base;
// linux/pci_regs.h).

/** Offsets of a type 0 header. */
export const enum Pci {
  VENDOR_ID = 0x00,
  DEVICE_ID = 0x02,
  COMMAND = 0x04,
  STATUS = 0x06,
  REVISION = 0x08,
  CLASS = 0x09,
  CACHE_LINE_SIZE = 0x0c,
  LATENCY_TIMER = 0x0d,
  HEADER_TYPE = 0x0e,
  BIST = 0x0f,
  BAR0 = 0x10,
  SUBSYSTEM_VENDOR = 0x2c,
  SUBSYSTEM_ID = 0x2e,
  ROM = 0x30,
  CAP_POINTER = 0x34,
  INT_LINE = 0x3c,
  INT_PIN = 0x3d,
  FIRST_CAP = 0x40,
  LEGACY_SIZE = 0x100,
  EXPRESS_SIZE = 0x1000,
}

export const enum Command {
  IO = 1 << 0,
  MEMORY = 1 << 1,
  MASTER = 1 << 2,
  PARITY = 1 << 6,
  SERR = 1 << 8,
  INTX_DISABLE = 1 << 10,
}

export const enum Status {
  INTERRUPT = 1 << 3,
  CAP_LIST = 1 << 4,
}

/** STATUS, in a read of COMMAND and STATUS at once. */
export const STATUS_SHIFT = 16;

/** Capability ids. */
export const enum CapId {
  NULL = 0x00,
  PM = 0x01,
  VPD = 0x03,
  MSI = 0x05,
  PCIX = 0x07,
  VENDOR = 0x09,
  EXPRESS = 0x10,
  MSIX = 0x11,
  AF = 0x13,
}

/** Extended capability ids. */
export const enum ExtCapId {
  AER = 0x01,
}

/** Of an extended capability's header, from bit 20 on: where the next one is. */
export const EXTENDED_NEXT = 0xffc;
/** Extended capabilities of 8 bytes that there is room for: a list that names itself ends. */
export const MAX_EXTENDED = (Pci.EXPRESS_SIZE - Pci.LEGACY_SIZE) / 8;

/** Power management: offsets in the capability, and PMCSR's bits. */
export const Pm = {
  PMC: 2,
  PMCSR: 4,
  LENGTH: 8,
  /** Of PMC. */
  HAS_D1: 1 << 9,
  HAS_D2: 1 << 10,
  STATE_MASK: 3,
  D1: 1,
  D2: 2,
  D3HOT: 3,
  NO_SOFT_RESET: 1 << 3,
} as const;

/** Vital product data: offsets in the capability; the flag that tells whose turn it is. */
export const enum Vpd {
  ADDRESS = 2,
  DATA = 4,
  LENGTH = 8,
  FLAG = 1 << 15,
}

/** MSI: offsets in the capability, and the bits of its message control. */
export const Msi = {
  FLAGS: 2,
  ADDRESS_LO: 4,
  ADDRESS_HI: 8,
  DATA_32: 8,
  DATA_64: 12,
  MASK_32: 12,
  MASK_64: 16,
  ENABLE: 1 << 0,
  QMASK: 7 << 1,
  QMASK_SHIFT: 1,
  QSIZE: 7 << 4,
  QSIZE_SHIFT: 4,
  IS_64: 1 << 7,
  IS_MASKABLE: 1 << 8,
} as const;

/** MSI-X: offsets in the capability, its message control, and a table entry. */
export const enum Msix {
  FLAGS = 2,
  TABLE = 4,
  PBA = 8,
  LENGTH = 12,
  QSIZE = 0x7ff,
  MASK_ALL = 1 << 14,
  ENABLE = 1 << 15,
  BIR = 7,
  ENTRY_SIZE = 16,
  ENTRY_MASKED = 1,
}

/** PCI Express: offsets in the capability, and bits of DEVCAP and DEVCTL. */
export const enum Exp {
  FLAGS = 2,
  DEVCAP = 4,
  DEVCTL = 8,
  DEVSTA = 10,
  LNKCTL = 16,
  DEVCAP2 = 36,
  DEVCTL2 = 40,
  LENGTH = 60,
  DEVCAP_FLR = 1 << 28,
  DEVCTL_MPS = 7 << 5,
  DEVCTL_PHANTOM = 1 << 9,
  DEVCTL_MRRS = 7 << 12,
  DEVCTL_FLR = 1 << 15,
  /** Sizes of atomic operations that it completes, 32, 64 and 128 bits, from this bit on. */
  DEVCAP2_ATOMIC_SHIFT = 7,
  DEVCTL2_ARI = 1 << 5,
  DEVCTL2_ATOMIC_REQ = 1 << 6,
}

/** PCI-X: offsets in the capability. */
export const enum PciX {
  COMMAND = 2,
}

/** Advanced error reporting: offsets in the extended capability. */
export const enum Aer {
  UNCOR_MASK = 0x08,
  UNCOR_SEVERITY = 0x0c,
  COR_MASK = 0x14,
  CONTROL = 0x18,
  LENGTH = 0x2c,
}

/** AF: offsets in the capability. */
export const Af = {
  LENGTH_FIELD: 2,
  CAPABILITIES: 3,
  CONTROL: 4,
  LENGTH: 6,
  /** Both have to be there for a reset: pending transactions can be told, and a function can be reset. */
  CAP_TP_FLR: 3,
  CONTROL_FLR: 1,
} as const;

/** Bytes of an MSI capability, by its message control. */
export function msiLength(flags: number): number {
  return 10 + (flags & Msi.IS_64 ? 4 : 0) + (flags & Msi.IS_MASKABLE ? 10 : 0);
}

/** log2 of a number of MSI vectors, rounded up: what QMASK and QSIZE hold. */
export function logOfVectors(vectors: number): number {
  return 32 - Math.clz32(Math.max(vectors, 1) - 1);
}
