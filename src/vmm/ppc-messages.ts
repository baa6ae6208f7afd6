import { CHANGE_FN, CHANGE_MSI_FN, CHANGE_MSI_INPUTS, CHANGE_MSIX_FN, MSI_TYPE, MSIX_TYPE, type PaprFunction, QUERY_SOURCE_INPUTS, QUERY_SOURCE_OUTPUTS } from "../arch/papr.js";
import type { Step } from "../sim/step.js";

/** Status of a call. */
const SUCCESS = 0;
const HARDWARE_ERROR = -1;
export const PARAMETER_ERROR = -3;

/** ibm,change-msi answers the kind of messages to who asks for a fourth word. */
const CHANGE_OUTPUTS = [3, 4];
const IS_EDGE = 1;

/** A function that a guest may have messages of. */
export interface MessageFunction extends PaprFunction {
  /** Vectors of its capabilities, 0 without. */
  readonly msi: number;
  readonly msix: number;
  /**
   * Its vectors are the sources from `first` on, now; a count of 0: it has its pin again. 0, or a negative errno: it has its
   * pin, then, too.
   */
  setMessages(first: number, count: number): Step<number>;
}

/** Sources in a row. */
export interface SourceRange {
  readonly first: number;
  readonly count: number;
}

/** Who has the guest's controller. */
export interface SourceMaker {
  /** A message source with this number, masked and idle, whatever it was. */
  resetSource(irq: number): Step<void>;
}

/**
 * ibm,change-msi and ibm,query-interrupt-source-number of a guest's firmware, with the statuses of QEMU's: which sources of
 * the guest's controller a function's vectors are. Each function's are in a row; those of MSI, whose data have the vector's number in
 * their low bits, from a multiple of the power of two that holds them.
 */
export class MessageFirmware {
  private readonly functions: MessageFunction[] = [];
  private readonly given = new Map<MessageFunction, SourceRange>();

  constructor(
    private readonly sources: SourceRange,
    private readonly maker: SourceMaker,
  ) {}

  /** A function is on the guest's bus from now on. */
  plug(fn: MessageFunction): void {
    this.functions.push(fn);
  }

  private find([configAddress, hi, lo]: readonly number[]): MessageFunction | undefined {
    return this.functions.find((fn) => fn.configAddress === configAddress && fn.buid[0] === hi && fn.buid[1] === lo);
  }

  /**
   * Function, bus unit, how, how many, sequence number: status, how many there are, the next sequence number, their kind. For
   * more than it has vectors the function gets none, and the guest the number that it may ask for; 0 gives them back.
   */
  *changeMsi(inputs: readonly number[], outputs: number): Step<readonly number[]> {
    const [, , , how, asked, sequence] = inputs;
    const fn = inputs.length === CHANGE_MSI_INPUTS && CHANGE_OUTPUTS.includes(outputs) ? this.find(inputs) : undefined;
    const type = fn === undefined ? 0 : typeOf(fn, how);
    if (fn === undefined || type === 0) return [PARAMETER_ERROR];
    if (asked === 0) return yield* this.release(fn);
    const most = type === MSI_TYPE ? fn.msi : fn.msix;
    const count = Math.min(asked, most);
    const isGiven = count < asked || (yield* this.give(fn, count, type === MSI_TYPE));
    return isGiven ? [SUCCESS, count, (sequence + 1) >>> 0, type].slice(0, outputs) : [HARDWARE_ERROR];
  }

  private *release(fn: MessageFunction): Step<readonly number[]> {
    if (!this.given.delete(fn)) return [HARDWARE_ERROR];
    yield* fn.setMessages(0, 0);
    return [SUCCESS, 0];
  }

  /** The function's old ones are given back when it has the new ones; where there are none left it keeps them. */
  private *give(fn: MessageFunction, count: number, isMsi: boolean): Step<boolean> {
    const first = this.freeRow(count, isMsi);
    if (first < 0) return false;
    for (let i = 0; i < count; i++) yield* this.maker.resetSource(first + i);
    const error = yield* fn.setMessages(first, count);
    if (error === 0) this.given.set(fn, { first, count });
    else this.given.delete(fn);
    return error === 0;
  }

  private freeRow(count: number, isMsi: boolean): number {
    let step = 1;
    while (isMsi && step < count) step *= 2;
    const { first, count: total } = this.sources;
    const rows = [...this.given.values()];
    for (let at = Math.ceil(first / step) * step; at + count <= first + total; at += step) if (rows.every((row) => at + count <= row.first || at >= row.first + row.count)) return at;
    return -1;
  }

  /** Function, bus unit, vector: status, its source, and that it is an edge. */
  querySource(inputs: readonly number[], outputs: number): readonly number[] {
    const fn = inputs.length === QUERY_SOURCE_INPUTS && outputs === QUERY_SOURCE_OUTPUTS ? this.find(inputs) : undefined;
    if (fn === undefined) return [PARAMETER_ERROR];
    const row = this.given.get(fn);
    const vector = inputs[QUERY_SOURCE_INPUTS - 1];
    return row === undefined || vector >= row.count ? [HARDWARE_ERROR] : [SUCCESS, row.first + vector, IS_EDGE];
  }
}

/** The kind of messages that a function of ibm,change-msi asks for, as far as the PCI function has it; 0: none. Its other functions QEMU's firmware has not. */
function typeOf({ msi, msix }: MessageFunction, how: number): number {
  if ((how === CHANGE_FN || how === CHANGE_MSI_FN) && msi > 0) return MSI_TYPE;
  return (how === CHANGE_FN || how === CHANGE_MSIX_FN) && msix > 0 ? MSIX_TYPE : 0;
}
