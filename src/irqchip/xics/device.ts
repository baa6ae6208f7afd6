import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOENT, ENXIO } from "../../uapi/errno.js";
import { KVM_DEV_XICS_GRP_SOURCES } from "../../uapi/powerpc.js";
import type { KvmDeviceOps } from "../contract.js";
import { type SourceController, SourceWord } from "../sources.js";
import { FIRST_IRQ, isSource, LAST_IRQ } from "./constants.js";
import { type Icp, IcpState, isConsistent } from "./icp.js";
import { isSourceNumber, readSource, writeSource } from "./source-word.js";
import type { Xics } from "./xics.js";

const WORD = new UserArgument(8);

/** KVM_DEV_TYPE_XICS: a controller behind a device descriptor (xics.md 5.3, 5.4), and behind the calls of 2013 (4). */
export class XicsDevice implements KvmDeviceOps, SourceController {
  readonly name = "kvm-xics";
  readonly firstSource = FIRST_IRQ;
  readonly lastSource = LAST_IRQ;

  /** @param released detaches what is outside, then the sources go */
  constructor(
    readonly xics: Xics,
    private readonly released: { detach(): Step<void> },
  ) {}

  *setAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    if (group !== KVM_DEV_XICS_GRP_SOURCES) return -ENXIO;
    const irq = attrLo >>> 0;
    if (attrHi !== 0 || !isSourceNumber(irq)) return -ENOENT;
    const block = yield* this.xics.findOrCreateBlock(irq); // before the word is read: it stays when that fails
    if (!WORD.copyIn(process, address)) return -EFAULT;
    const word = new SourceWord();
    word.lo = WORD.view.getInt32(0, true);
    word.hi = WORD.view.getInt32(4, true);
    return yield* writeSource(this.xics, block, irq, word);
  }

  /** No range is tested here, and only the low half of the number counts. */
  *getAttr(process: Process, group: number, attrLo: number, _attrHi: number, address: number): Step<number> {
    if (group !== KVM_DEV_XICS_GRP_SOURCES) return -ENXIO;
    const word = new SourceWord();
    const result = yield* readSource(this.xics, attrLo >>> 0, word);
    if (result !== 0) return result;
    WORD.view.setInt32(0, word.lo, true);
    WORD.view.setInt32(4, word.hi, true);
    return WORD.copyOut(process, address) ? 0 : -EFAULT;
  }

  *hasAttr(_process: Process, group: number, attrLo: number, attrHi: number): Step<number> {
    return group === KVM_DEV_XICS_GRP_SOURCES && attrHi === 0 && isSourceNumber(attrLo >>> 0) ? 0 : -ENXIO;
  }

  /** vCPUs first, each kept out of the controller meanwhile, then the sources (R24). */
  *release(): Step<void> {
    yield* this.released.detach();
    yield* this.xics.free();
  }

  *setSource(irq: number, word: SourceWord): Step<number> {
    const block = (yield* this.xics.findBlock(irq)) ?? (yield* this.xics.createBlock(irq));
    return yield* writeSource(this.xics, block, irq, word);
  }

  *getSource(irq: number, word: SourceWord): Step<number> {
    return yield* readSource(this.xics, irq, word);
  }
}

const STATE = new IcpState();

/** KVM_REG_PPC_ICP_STATE, read (6.2): CPPR and XISR in the high half, MFRR and pending priority in the low one. */
export function* readIcpWord(icp: Icp, word: SourceWord): Step<void> {
  yield* icp.read(STATE);
  word.hi = STATE.xirr;
  word.lo = (STATE.mfrr << 24) | (STATE.pendingPriority << 16);
}

/** KVM_REG_PPC_ICP_STATE, written (12.2): 0, or -EINVAL where the fields contradict each other. vcpu.mutex held (R25). */
export function* writeIcpWord(xics: Xics, icp: Icp, lo: number, hi: number): Step<number> {
  const cppr = hi >>> 24;
  const xisr = hi & 0xff_ffff;
  const mfrr = lo >>> 24;
  const pending = (lo >>> 16) & 0xff;
  const block = yield* xics.findBlock(xisr);
  if (!isConsistent(cppr, xisr, mfrr, pending) || (isSource(xisr) && block === null)) return -EINVAL;
  yield* icp.vcpu.lowerExternal();
  const isDue = yield* icp.restore(cppr, xisr, mfrr, pending, xics.virtualMode);
  if (isDue) yield* xics.resend(icp, xics.virtualMode);
  return 0;
}
