import { physicalAddress } from "./physical-address.js";

/** Opcodes in DW0[7:0] (gic-its.md B4). */
export const enum ItsOp {
  MOVI = 0x01,
  INT = 0x03,
  CLEAR = 0x04,
  SYNC = 0x05,
  MAPD = 0x08,
  MAPC = 0x09,
  MAPTI = 0x0a,
  MAPI = 0x0b,
  INV = 0x0c,
  INVALL = 0x0d,
  MOVALL = 0x0e,
  DISCARD = 0x0f,
}

/** Opcodes of GICv4, and of GICv4.1 where it says so (gic-v4.md C1.3). */
export const enum ItsVOp {
  VMOVI = 0x21,
  VMOVP = 0x22,
  /** 4.1 */
  VSGI = 0x23,
  VSYNC = 0x25,
  VMAPP = 0x29,
  VMAPTI = 0x2a,
  VMAPI = 0x2b,
  VINVALL = 0x2d,
  /** 4.1 */
  INVDB = 0x2e,
}

/** The doorbell field of a VMAPTI or VMOVI that asks for none. */
export const NO_DOORBELL = 1023;

/** Bytes of a command, and 32-bit words. */
export const ITS_COMMAND_SIZE = 32;
export const ITS_COMMAND_WORDS = 8;

/** Command errors as the architecture numbers them (gic-its.md B4.1). */
export const enum ItsError {
  MOVI_UNMAPPED_INTERRUPT = 0x010107,
  MOVI_UNMAPPED_COLLECTION = 0x010109,
  INT_UNMAPPED_INTERRUPT = 0x010307,
  CLEAR_UNMAPPED_INTERRUPT = 0x010507,
  MAPD_DEVICE_OOR = 0x010801,
  MAPD_ITTSIZE_OOR = 0x010802,
  MAPC_PROCNUM_OOR = 0x010902,
  MAPC_COLLECTION_OOR = 0x010903,
  MAPTI_UNMAPPED_DEVICE = 0x010a04,
  MAPTI_ID_OOR = 0x010a05,
  MAPTI_PHYSICALID_OOR = 0x010a06,
  INV_UNMAPPED_INTERRUPT = 0x010c07,
  INVALL_UNMAPPED_COLLECTION = 0x010d09,
  MOVALL_PROCNUM_OOR = 0x010e01,
  DISCARD_UNMAPPED_INTERRUPT = 0x010f07,
}

// Fields of a command's eight words.

export const opcodeOf = (dw: Int32Array): number => dw[0] & 0xff;
export const deviceIdOf = (dw: Int32Array): number => dw[1] >>> 0;
/** MAPD: bits of an event id, less one. */
export const sizeFieldOf = (dw: Int32Array): number => dw[2] & 0x1f;
export const eventIdOf = (dw: Int32Array): number => dw[2] >>> 0;
export const physicalIdOf = (dw: Int32Array): number => dw[3] >>> 0;
export const icidOf = (dw: Int32Array): number => dw[4] & 0xffff;
export const isValid = (dw: Int32Array): boolean => dw[5] < 0;
/** ITT address, bits [51:8]. */
export const ittOf = (dw: Int32Array): number => physicalAddress(dw[5] & 0xfffff, dw[4] & 0xffffff00);
/** RDbase as a processor number, bits [47:16]. */
export const rdbaseOf = (dw: Int32Array): number => ((dw[4] >>> 16) | (dw[5] << 16)) >>> 0;
/** MOVALL's second redistributor. */
export const rdbase2Of = (dw: Int32Array): number => ((dw[6] >>> 16) | (dw[7] << 16)) >>> 0;

// Fields of the GICv4 commands.

/** DW1[47:32]. */
export const vpeidOf = (dw: Int32Array): number => dw[3] & 0xffff;
/** VMAPTI, VMOVI: DW2[63:32]. */
export const doorbellOf = (dw: Int32Array): number => dw[5] >>> 0;
/** VMAPTI: DW2[31:0]. */
export const virtualIdOf = (dw: Int32Array): number => dw[4] >>> 0;
/** VMOVI: the doorbell field is valid. */
export const hasDoorbell = (dw: Int32Array): boolean => (dw[4] & 1) !== 0;
/** VMAPP: ID bits, less one. */
export const vptSizeOf = (dw: Int32Array): number => dw[6] & 0x1f;
/** VMAPP: address of the virtual pending table, bits [51:16]. */
export const vptAddressOf = (dw: Int32Array): number => physicalAddress(dw[7] & 0xfffff, dw[6] & 0xffff0000);
/** VMAPP of 4.1: address of the virtual configuration table, bits [51:16]. */
export const vconfAddressOf = (dw: Int32Array): number => physicalAddress(dw[1] & 0xfffff, dw[0] & 0xffff0000);
/** VMAPP of 4.1: the first mapping of a vPE, the last unmapping. */
export const isAlloc = (dw: Int32Array): boolean => (dw[0] & 0x100) !== 0;
/** VMAPP of 4.1: the pending table is zero. */
export const isPendingZero = (dw: Int32Array): boolean => (dw[0] & 0x200) !== 0;
/** VMOVP: where several ITSs have to agree. */
export const sequenceOf = (dw: Int32Array): number => dw[1] & 0xffff;
export const itsListOf = (dw: Int32Array): number => dw[2] & 0xffff;
