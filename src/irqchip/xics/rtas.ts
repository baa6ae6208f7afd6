import { reads } from "../../sim/access.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EEXIST, ENODEV, ENOENT } from "../../uapi/errno.js";
import { getXive, intOff, intOn, setXive, XiveEntry } from "./xive-entries.js";
import type { Xics } from "./xics.js";

/** Words of an argument block (xics.md 9.2): token, counts, then inputs and outputs. */
export const RTAS_WORDS = 19;
const NARGS = 1;
const NRET = 2;
export const RTAS_ARGS = 3;
/** Words that inputs and outputs share. */
export const RTAS_MAX_ARGS = 16;

const RTAS_SUCCESS = 0;
const RTAS_PARAMETER_ERROR = -3;

/** One function of RTAS that the kernel can serve; `count` of inputs and outputs is fixed. */
interface RtasFunction {
  readonly nargs: number;
  readonly nret: number;
  /** Inputs from `args` on; outputs behind the status, which is the result: 0 or a negative errno. */
  call(xics: Xics, words: Int32Array): Step<number>;
}

const input = (words: Int32Array, i: number): number => words[RTAS_ARGS + i] >>> 0;

class SetXive implements RtasFunction {
  readonly nargs = 3;
  readonly nret = 1;
  *call(xics: Xics, words: Int32Array): Step<number> {
    return yield* setXive(xics, input(words, 0), input(words, 1), input(words, 2));
  }
}

class GetXive implements RtasFunction {
  readonly nargs = 1;
  readonly nret = 3;
  private readonly entry = new XiveEntry();
  *call(xics: Xics, words: Int32Array): Step<number> {
    const result = yield* getXive(xics, input(words, 0), this.entry);
    if (result !== 0) return result;
    words[RTAS_ARGS + 2] = this.entry.server;
    words[RTAS_ARGS + 3] = this.entry.priority;
    return 0;
  }
}

class IntOff implements RtasFunction {
  readonly nargs = 1;
  readonly nret = 1;
  *call(xics: Xics, words: Int32Array): Step<number> {
    return yield* intOff(xics, input(words, 0));
  }
}

class IntOn implements RtasFunction {
  readonly nargs = 1;
  readonly nret = 1;
  *call(xics: Xics, words: Int32Array): Step<number> {
    return yield* intOn(xics, input(words, 0));
  }
}

const FUNCTIONS: ReadonlyMap<string, RtasFunction> = new Map<string, RtasFunction>([
  ["ibm,set-xive", new SetXive()],
  ["ibm,get-xive", new GetXive()],
  ["ibm,int-off", new IntOff()],
  ["ibm,int-on", new IntOn()],
]);

/** The names that KVM_PPC_RTAS_DEFINE_TOKEN takes. */
export const RTAS_NAMES: readonly string[] = [...FUNCTIONS.keys()];

/** A VM as far as its XICS goes: null where it has none, or no more. */
export interface XicsHolder {
  readonly xicsDevice: { readonly xics: Xics } | null;
}

/** The RTAS calls that a VM's kernel serves by their tokens; one call at a time. */
export class Rtas {
  /** rtas_token_lock: the release of the XICS takes it as well, so that no call is in what is freed (R24). */
  readonly lock: Mutex;
  /** Name by token, in the order of definition; a bigint above 32 bits: such a token can be defined, and no guest can name it. */
  private readonly tokens = new Map<number | bigint, string>();

  constructor(sim: Sim) {
    this.lock = new Mutex(sim, "rtas_token_lock");
  }

  get hasTokens(): boolean {
    return this.tokens.size > 0;
  }

  /**
   * KVM_PPC_RTAS_DEFINE_TOKEN (5.7): 0, -EEXIST for a token in use, then -ENOENT for a name that is none.
   * @param lo halves of the token, which is 64 bits wide; 0 takes the oldest token of the name away, or none
   */
  *define(name: string, lo: number, hi: number): Step<number> {
    yield* this.lock.lock();
    const token = hi === 0 ? lo >>> 0 : (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
    const result = token === 0 ? this.undefine(name) : this.add(name, token);
    yield* this.lock.unlock();
    return result;
  }

  private undefine(name: string): number {
    for (const [token, of] of this.tokens)
      if (of === name) {
        this.tokens.delete(token);
        break;
      }
    return 0;
  }

  private add(name: string, token: number | bigint): number {
    if (this.tokens.has(token)) return -EEXIST;
    if (!FUNCTIONS.has(name)) return -ENOENT;
    this.tokens.set(token, name);
    return 0;
  }

  /**
   * A guest's call with fewer than {@link RTAS_MAX_ARGS} inputs. False: user space's.
   * @param vm looked at under the lock; without a XICS every call fails
   * @param words the argument block, in the byte order of numbers; outputs are written into it
   */
  *call(vm: XicsHolder, words: Int32Array): Step<boolean> {
    yield* this.lock.lock();
    yield reads(vm, "xicsDevice");
    const { xicsDevice } = vm;
    const of = FUNCTIONS.get(this.tokens.get(words[0] >>> 0) ?? "");
    if (of !== undefined) {
      const isCounted = words[NARGS] === of.nargs && words[NRET] === of.nret;
      let result = -ENODEV;
      if (isCounted && xicsDevice !== null) result = yield* of.call(xicsDevice.xics, words);
      words[RTAS_ARGS + words[NARGS]] = result === 0 ? RTAS_SUCCESS : RTAS_PARAMETER_ERROR;
    }
    yield* this.lock.unlock();
    return of !== undefined;
  }
}
