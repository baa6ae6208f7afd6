import { H_RTAS } from "../kvm/powerpc/hypercall.js";
import { type PpcAssembler, PpcOp } from "./ppc-op.js";

// Firmware calls of a guest on POWER: token, counts and arguments in memory, then H_RTAS.

/** Tokens of the firmware calls that the guest makes, as its device tree has them. */
export interface PpcTokens {
  readonly setXive: number;
  readonly intOff: number;
  readonly intOn: number;
  readonly changeMsi: number;
  readonly querySource: number;
}

/** What the guest's calls need of its options. */
export interface RtasCaller {
  readonly tokens: PpcTokens;
  /** Guest real address of the arguments. */
  readonly rtas: number;
  /** Interrupt server numbers, by index of the vCPU. */
  readonly servers: readonly number[];
}

/** A word that is known when the program is written, or in a register when it runs. */
export type RtasInput = number | { readonly register: number };

const WORD = 4;
/** Token, and the counts of inputs and outputs. */
const HEAD = 3;
/** What Linux gives every source. */
const DEFAULT_PRIORITY = 5;

export function writeRtas(code: PpcAssembler, address: number, token: number, inputs: readonly RtasInput[], outputs: number): void {
  [token, inputs.length, outputs, ...inputs].forEach((word, i) => {
    if (typeof word === "number") code.wideOp(PpcOp.STW, address + WORD * i, word);
    else code.wideOp(PpcOp.STR, address + WORD * i, word.register);
  });
  code.hypercall(H_RTAS, address);
}

/** r[register] = output `index` of the call before, which had `inputs` inputs; the first is its status. */
export function writeOutput(code: PpcAssembler, address: number, inputs: number, index: number, register: number): void {
  code.wideOp(PpcOp.LWZ, address + WORD * (HEAD + inputs + index), register);
}

/** xics_unmask_irq: where the source goes and how urgently, then on. */
export function writeUnmask(code: PpcAssembler, { tokens, rtas, servers }: RtasCaller, source: RtasInput, { vcpu = 0, priority = DEFAULT_PRIORITY }: { readonly vcpu?: number; readonly priority?: number }): void {
  writeRtas(code, rtas, tokens.setXive, [source, servers[vcpu], priority], 1);
  writeRtas(code, rtas, tokens.intOn, [source], 1);
}

export function writeMask(code: PpcAssembler, { tokens, rtas }: RtasCaller, source: RtasInput): void {
  writeRtas(code, rtas, tokens.intOff, [source], 1);
}
