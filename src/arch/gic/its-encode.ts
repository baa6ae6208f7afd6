import { ItsOp, ItsVOp } from "./its-command.js";

// Commands as software writes them (gic-its.md B4, gic-v4.md C1.3): eight words, DW0 first, low half first. Addresses are
// numbers, `rd` is an RDbase. Each function fills all of `dw`.

const VALID = 0x80000000 | 0;
const low = (address: number): number => address % 2 ** 32 | 0;
const high = (address: number): number => Math.floor(address / 2 ** 32);

function fill(dw: Int32Array, w0: number, w1: number, w2 = 0, w3 = 0, w4 = 0, w5 = 0, w6 = 0, w7 = 0): void {
  dw[0] = w0;
  dw[1] = w1;
  dw[2] = w2;
  dw[3] = w3;
  dw[4] = w4;
  dw[5] = w5;
  dw[6] = w6;
  dw[7] = w7;
}

/** RDbase in DW2 or DW3 [51:16]. */
const rdLow = (rd: number): number => rd << 16;
const rdHigh = (rd: number): number => rd >>> 16;

export function encodeMapd(dw: Int32Array, device: number, eventBits: number, itt: number, isValid: boolean): void {
  fill(dw, ItsOp.MAPD, device, eventBits - 1, 0, low(itt), high(itt) | (isValid ? VALID : 0));
}

export function encodeMapc(dw: Int32Array, icid: number, rd: number, isValid: boolean): void {
  fill(dw, ItsOp.MAPC, 0, 0, 0, icid | rdLow(rd), rdHigh(rd) | (isValid ? VALID : 0));
}

export function encodeMapti(dw: Int32Array, device: number, event: number, intid: number, icid: number): void {
  fill(dw, ItsOp.MAPTI, device, event, intid, icid);
}

export function encodeMovi(dw: Int32Array, device: number, event: number, icid: number): void {
  fill(dw, ItsOp.MOVI, device, event, 0, icid);
}

/** INT, CLEAR, INV, DISCARD: a device's event alone. */
export function encodeEvent(dw: Int32Array, opcode: ItsOp, device: number, event: number): void {
  fill(dw, opcode, device, event);
}

export function encodeInvall(dw: Int32Array, icid: number): void {
  fill(dw, ItsOp.INVALL, 0, 0, 0, icid);
}

export function encodeSync(dw: Int32Array, rd: number): void {
  fill(dw, ItsOp.SYNC, 0, 0, 0, rdLow(rd), rdHigh(rd));
}

/** VSYNC, VINVALL, INVDB: a vPE alone. */
export function encodeVpe(dw: Int32Array, opcode: ItsVOp, vpe: number): void {
  fill(dw, opcode, 0, 0, vpe);
}

/** What a VMAPP says beside the vPE itself. */
export interface VmappFields {
  readonly vpt: number;
  readonly idBits: number;
  readonly isValid: boolean;
}

export function encodeVmapp(dw: Int32Array, vpe: number, rd: number, fields: VmappFields): void {
  const { vpt, idBits, isValid } = fields;
  fill(dw, ItsVOp.VMAPP, 0, 0, vpe, rdLow(rd), rdHigh(rd) | (isValid ? VALID : 0), low(vpt) | (idBits - 1), high(vpt));
}

const ALLOC = 1 << 8;
const PENDING_ZERO = 1 << 9;

/** GICv4.1's additions to a VMAPP: the configuration table, the default doorbell, Alloc, and PTZ (the pending table is zero). */
export function extendVmapp(dw: Int32Array, configuration: number, doorbell: number, isAlloc: boolean, isZero: boolean): void {
  dw[0] |= low(configuration) | (isAlloc ? ALLOC : 0) | (isZero ? PENDING_ZERO : 0);
  dw[1] = high(configuration);
  dw[2] = doorbell;
}

export function encodeVmapti(dw: Int32Array, device: number, event: number, vpe: number, intid: number, doorbell: number): void {
  fill(dw, ItsVOp.VMAPTI, device, event, vpe, intid, doorbell);
}

export function encodeVmovi(dw: Int32Array, device: number, event: number, vpe: number, doorbell: number): void {
  fill(dw, ItsVOp.VMOVI, device, event, vpe, 1, doorbell);
}

/** `doorbell` -1: GICv4.0, which has none here. */
export function encodeVmovp(dw: Int32Array, vpe: number, rd: number, sequence: number, itsList: number, doorbell: number): void {
  fill(dw, ItsVOp.VMOVP, sequence, itsList, vpe, rdLow(rd), rdHigh(rd) | (doorbell < 0 ? 0 : VALID), doorbell < 0 ? 0 : doorbell);
}

/** Configures SGI `sgi` of a vPE, or with `isClear` only takes its pending state back (4.1). */
export function encodeVsgi(dw: Int32Array, vpe: number, sgi: number, config: { isEnabled: boolean; group: 0 | 1; priority: number }, isClear: boolean): void {
  const { isEnabled, group, priority } = config;
  const settings = (isEnabled ? 1 << 8 : 0) | (isClear ? 1 << 9 : 0) | (group << 10) | (((priority >>> 4) & 0xf) << 20);
  fill(dw, ItsVOp.VSGI | settings, sgi, 0, vpe);
}
