import { CHANGE_MSI_INPUTS, FIRST_SEQUENCE, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, type PaprFunction, QUERY_SOURCE_INPUTS, QUERY_SOURCE_OUTPUTS, TCE_BYTES, TCE_PAGE, TCE_READ, TCE_WRITE } from "../arch/papr.js";
import { type PpcAssembler, PpcOp } from "./ppc-op.js";
import { type RtasCaller, writeMask, writeOutput, writeRtas, writeUnmask } from "./ppc-rtas.js";

// A driver of a PCI function on a PAPR machine, as far as Linux goes through the platform for it: DMA by entries of its
// host bridge's window (arch/powerpc/platforms/pseries/iommu.c), messages by RTAS (msi.c there).

/** How a driver serves an interrupt. */
export interface PpcService {
  /** Index of the vCPU that takes it. */
  readonly vcpu?: number;
  /** Priority, 0 the most favoured; the kernel gives all the same. */
  readonly priority?: number;
  /** Guest real address of the register whose access services the device. */
  readonly address: number;
  readonly accessesPerService: number;
  /** Written into its handler, before the end of the interrupt; r15 to r20 are free. */
  readonly onInterrupt?: (code: PpcAssembler) => void;
}

/** Memory that the function reaches: a page by an entry of its own, then pages by a list of entries; addresses are guest real. */
export interface PpcDmaSetup {
  readonly liobn: number;
  /** Entries of the window, all of which are cleared first. */
  readonly entries: number;
  /** The pages, one after the other: the function sees them from the window's beginning. */
  readonly buffers: number;
  readonly pages: number;
  /** A page for the list. */
  readonly list: number;
  /** Three words: what the three calls answered. */
  readonly statuses: number;
}

/** A vector that the driver serves. */
export interface PpcMessage extends PpcService {
  readonly vector: number;
}

export interface PpcFunctionDriver extends PaprFunction {
  /** How it asks for messages: a function of ibm,change-msi; and for how many, vectors 0 and on. None: it stays with its pin. */
  readonly change: number;
  readonly count: number;
  readonly messages: readonly PpcMessage[];
  /** Words in which it keeps the numbers of its vectors' sources, 0 for none. */
  readonly numbers: number;
  /** Source of the pin that serves it while it has no messages; null: it has none. */
  readonly pin: number | null;
  readonly dma: PpcDmaSetup | null;
}

const WORD = 4;
/** Registers that no handler uses: interrupts are taken between instructions of these calls. */
const STATUS = 21;
const NUMBER = 22;
const HAS_MESSAGES = 23;
/** The handler's. */
const SOURCE = 15;
const CHANGE_OUTPUTS = 4;

const ACCESS = TCE_READ | TCE_WRITE;

/** Every entry off, a page by H_PUT_TCE, the others by one H_PUT_TCE_INDIRECT. Interrupts are disabled. */
export function writeDmaSetup(code: PpcAssembler, { liobn, entries, buffers, pages, list, statuses }: PpcDmaSetup): void {
  code.hypercall(H_STUFF_TCE, liobn, 0, 0, entries).wideOp(PpcOp.STR, statuses, 3);
  code.hypercall(H_PUT_TCE, liobn, 0, buffers | ACCESS).wideOp(PpcOp.STR, statuses + WORD, 3);
  for (let page = 1; page < pages; page++) {
    const entry = list + TCE_BYTES * (page - 1);
    code.wideOp(PpcOp.STW, entry, 0).wideOp(PpcOp.STW, entry + WORD, (buffers + page * TCE_PAGE) | ACCESS);
  }
  code.hypercall(H_PUT_TCE_INDIRECT, liobn, TCE_PAGE, list, pages - 1).wideOp(PpcOp.STR, statuses + 2 * WORD, 3);
}

/**
 * Over from the pin to messages: the pin masked, then ibm,change-msi, then which source each vector has, and that source on. A
 * driver that does not get as many as it asked for goes back to its pin.
 */
export function writeProbe(code: PpcAssembler, caller: RtasCaller, driver: PpcFunctionDriver): void {
  const { count, pin } = driver;
  if (count === 0) return;
  code.op(PpcOp.LI, HAS_MESSAGES, 0);
  if (pin !== null) writeMask(code, caller, pin);
  writeChange(code, caller, driver, count);
  writeOutput(code, caller.rtas, CHANGE_MSI_INPUTS, 0, STATUS);
  writeOutput(code, caller.rtas, CHANGE_MSI_INPUTS, 1, NUMBER);
  code.when(STATUS, 0, () => code.when(NUMBER, count, () => writeUse(code, caller, driver)));
  if (pin !== null) code.when(HAS_MESSAGES, 0, () => writeUnmask(code, caller, pin, {}));
}

/** Back to the pin: every source masked, no messages, the pin on. */
export function writeRelease(code: PpcAssembler, caller: RtasCaller, driver: PpcFunctionDriver): void {
  const { messages, numbers, pin } = driver;
  for (const { vector } of messages) {
    code.wideOp(PpcOp.LWZ, numbers + WORD * vector, NUMBER);
    writeMask(code, caller, { register: NUMBER });
    code.wideOp(PpcOp.STW, numbers + WORD * vector, 0);
  }
  writeChange(code, caller, driver, 0);
  if (pin !== null) writeUnmask(code, caller, pin, {});
}

function writeChange(code: PpcAssembler, { rtas, tokens }: RtasCaller, { buid, change, configAddress }: PpcFunctionDriver, count: number): void {
  writeRtas(code, rtas, tokens.changeMsi, [configAddress, ...buid, change, count, FIRST_SEQUENCE], CHANGE_OUTPUTS);
}

function writeUse(code: PpcAssembler, caller: RtasCaller, { buid, configAddress, messages, numbers }: PpcFunctionDriver): void {
  for (const { vector, ...service } of messages) {
    writeRtas(code, caller.rtas, caller.tokens.querySource, [configAddress, ...buid, vector], QUERY_SOURCE_OUTPUTS);
    writeOutput(code, caller.rtas, QUERY_SOURCE_INPUTS, 1, NUMBER);
    code.wideOp(PpcOp.STR, numbers + WORD * vector, NUMBER);
    writeUnmask(code, caller, { register: NUMBER }, service);
  }
  code.op(PpcOp.LI, HAS_MESSAGES, 1);
}

/** Of an external interrupt whose XIRR is in a register: the driver's part, by the numbers that it was told. */
export function writeMessageHandlers(code: PpcAssembler, { messages, numbers }: PpcFunctionDriver, xirr: number, serve: (message: PpcService) => void): void {
  for (const message of messages) {
    code.wideOp(PpcOp.LWZ, numbers + WORD * message.vector, SOURCE);
    code.whenSame(xirr, SOURCE, () => serve(message));
  }
}
