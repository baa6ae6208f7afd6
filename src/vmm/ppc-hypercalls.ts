import { H_PARAMETER, H_SUCCESS } from "../irqchip/xics/constants.js";
import { RTAS_ARGS, RTAS_MAX_ARGS } from "../irqchip/xics/rtas.js";
import { H_RTAS } from "../kvm/powerpc/hypercall.js";
import type { Step } from "../sim/step.js";
import type { GuestWords } from "./guest-words.js";
import type { PaprCall } from "./papr-call.js";
import { isTceCall, type TceTable } from "./ppc-dma.js";
import { type MessageFirmware, PARAMETER_ERROR } from "./ppc-messages.js";

const H_FUNCTION = -2;
const WORD = 4;
const TWO32 = 0x1_0000_0000;
/** The top four bits of the block's address are no part of it. */
const REAL_ADDRESS_HI = 0x0fff_ffff;

/** The hypercalls that KVM leaves to user space (KVM_EXIT_PAPR_HCALL): entries of DMA windows, and firmware (RTAS) as far as it is no source's. */
export class PpcHypercalls {
  readonly tables: TceTable[] = [];

  /** @param tokens of the firmware calls, as the guest's device tree has them */
  constructor(
    private readonly words: GuestWords,
    private readonly messages: MessageFirmware,
    private readonly tokens: { readonly changeMsi: number; readonly querySource: number },
  ) {}

  /** The status for r3. */
  *serve(call: PaprCall): Step<number> {
    const { number } = call;
    if (number === H_RTAS) return yield* this.rtas(call);
    if (!isTceCall(number)) return H_FUNCTION;
    const liobn = call.value(0);
    const table = this.tables.find((each) => each.liobn === liobn);
    return table === undefined ? H_PARAMETER : yield* table.serve(call);
  }

  /** Token and counts, inputs, outputs, a word each. A block that is no RAM, or holds more than it can, is not touched. */
  private *rtas(call: PaprCall): Step<number> {
    const { words } = this;
    const { hi, lo } = call.word(0);
    const at = (hi & REAL_ADDRESS_HI) * TWO32 + (lo >>> 0);
    if (words.userAt(at, WORD * RTAS_ARGS) < 0) return H_PARAMETER;
    const [token, nargs, nret] = [words.get(at), words.get(at + WORD), words.get(at + 2 * WORD)];
    const count = nargs + nret;
    const args = at + WORD * RTAS_ARGS;
    if (nret === 0 || count > RTAS_MAX_ARGS || words.userAt(args, WORD * count) < 0) return H_PARAMETER;
    const inputs = Array.from({ length: nargs }, (_, i) => words.get(args + WORD * i));
    const answer = yield* this.firmware(token, inputs, nret);
    (answer ?? [PARAMETER_ERROR]).forEach((word, i) => words.set(args + WORD * (nargs + i), word));
    return answer === null ? H_PARAMETER : H_SUCCESS;
  }

  /** Its outputs, of which the first is the status; null: no such call. */
  private *firmware(token: number, inputs: readonly number[], outputs: number): Step<readonly number[] | null> {
    if (token === this.tokens.changeMsi) return yield* this.messages.changeMsi(inputs, outputs);
    return token === this.tokens.querySource ? this.messages.querySource(inputs, outputs) : null;
  }
}
