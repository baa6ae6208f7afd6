import type { Step } from "../../sim/step.js";
import { H_CPPR, H_EOI, H_HARDWARE, H_IPI, H_IPOLL, H_PARAMETER, H_SUCCESS, H_XIRR, H_XIRR_X, INDEX_MASK, isSource, XICS_IPI } from "./constants.js";
import type { HypercallRegisters } from "./contract.js";
import { argument, type Icp, IcpState, type Presenter, RESEND_DUE } from "./icp.js";
import type { Xics } from "./xics.js";

// The hypercalls of a presentation controller (xics.md 9.1), as both halves of xics.md 14 share them, and the virtual half.

const XIRR_IRQ_MASK = 0xff_ffff;
const XIRR_CPPR_SHIFT = 24;

/** H_XIRR: the XIRR before the acceptance. */
export function* acceptInterrupt(icp: Icp, by: Presenter): Step<number> {
  yield* icp.vcpu.lowerExternal(); // the owner alone, before its transaction, which asserts again what is still due (R8)
  return yield* icp.accept(by);
}

/** 8.5 with the scan that it asks for. */
export function* lowerPriority(xics: Xics, icp: Icp, cppr: number, by: Presenter): Step<void> {
  const isDue = yield* icp.lowerPriority(cppr, by);
  if (isDue) yield* xics.resend(icp, by);
}

/** H_CPPR's other half: a more favoured priority may reject what is presented. */
export function* raisePriority(xics: Xics, icp: Icp, cppr: number, by: Presenter): Step<void> {
  yield* icp.vcpu.lowerExternal();
  const rejected = yield* icp.raisePriority(cppr, by);
  if (isSource(rejected)) yield* xics.deliver(rejected, icp, false, by); // an IPI's MFRR still holds it
}

/** The priority of the owner, which alone changes it: no transaction is needed to compare. */
export function* priorityOf(icp: Icp): Step<number> {
  yield* icp.read(STATE);
  return STATE.cppr;
}

/** H_IPI to a server, by any vCPU's. */
export function* requestIpi(xics: Xics, own: Icp, regs: HypercallRegisters, by: Presenter): Step<number> {
  const icp = yield* serverOf(xics, own, regs);
  if (icp === null) return H_PARAMETER;
  const result = yield* icp.requestIpi(argument(regs.lo[5], regs.hi[5]), by, isOwn(own, regs));
  const rejected = result & ~RESEND_DUE;
  if (isSource(rejected)) yield* xics.deliver(rejected, icp, false, by);
  if ((result & RESEND_DUE) !== 0) yield* xics.resend(icp, by);
  return H_SUCCESS;
}

/** Does r4 name the caller's own server? It is compared whole: with bits above 31 the call is another's, which kicks. */
const isOwn = ({ server }: Icp, { lo, hi }: HypercallRegisters): boolean => hi[4] === 0 && lo[4] >>> 0 === server;

/** The server in r4; those of others are looked up by the low 32 bits. */
function* serverOf(xics: Xics, own: Icp, regs: HypercallRegisters): Step<Icp | null> {
  return isOwn(own, regs) ? own : yield* xics.findServer(regs.lo[4] >>> 0);
}

/** The source's part of an EOI: false where its block is missing. The CPPR has changed by then. */
export function* endSource(xics: Xics, icp: Icp, irq: number, by: Presenter): Step<boolean> {
  const block = yield* xics.findBlock(irq);
  if (block === null) return false;
  const presentsAgain = yield* xics.endOf(block, irq & INDEX_MASK, icp);
  if (presentsAgain) yield* xics.deliver(irq, icp, false, by);
  return true;
}

/** What r4 of H_EOI names. */
export const irqOf = (xirr: number): number => xirr & XIRR_IRQ_MASK;
export const cpprOf = (xirr: number): number => xirr >>> XIRR_CPPR_SHIFT;

/** A copy that is used up before the next access point. */
const STATE = new IcpState();

/** Is this a hypercall of the presentation controller? */
export const isXicsHypercall = (number: number): boolean =>
  number === H_XIRR || number === H_CPPR || number === H_EOI || number === H_IPI || number === H_IPOLL || number === H_XIRR_X;

/** A hypercall in virtual mode: the status for r3; outputs go to r4 and r5. */
export function* virtualHypercall(xics: Xics, icp: Icp, number: number, regs: HypercallRegisters): Step<number> {
  const by = xics.virtualMode;
  switch (number) {
    case H_XIRR:
      setRegister(regs, 4, yield* acceptInterrupt(icp, by));
      return H_SUCCESS;
    case H_XIRR_X:
      setRegister(regs, 4, yield* acceptInterrupt(icp, by));
      setTimebase(regs, xics.vm.timebase());
      return H_SUCCESS;
    case H_CPPR:
      yield* setPriority(xics, icp, argument(regs.lo[4], regs.hi[4]));
      return H_SUCCESS;
    case H_EOI:
      return yield* eoi(xics, icp, regs.lo[4]);
    case H_IPI:
      return yield* requestIpi(xics, icp, regs, by);
    case H_IPOLL: {
      const of = yield* serverOf(xics, icp, regs);
      if (of === null) return H_PARAMETER;
      yield* of.read(STATE);
      setRegister(regs, 4, STATE.xirr);
      setRegister(regs, 5, STATE.mfrr);
      return H_SUCCESS;
    }
    default:
      return H_HARDWARE;
  }
}

export function setRegister(regs: HypercallRegisters, register: number, value: number): void {
  regs.lo[register] = value;
  regs.hi[register] = 0;
}

function setTimebase(regs: HypercallRegisters, ticks: number): void {
  regs.lo[5] = ticks | 0;
  regs.hi[5] = Math.floor(ticks / 0x1_0000_0000) | 0;
}

/** H_CPPR: after lowering, virtual mode goes on into the raise, which changes nothing for a legal value. */
function* setPriority(xics: Xics, icp: Icp, cppr: number): Step<void> {
  const before = yield* priorityOf(icp);
  if (cppr === before) return;
  if (cppr > before) yield* lowerPriority(xics, icp, cppr & 0xff, xics.virtualMode);
  yield* raisePriority(xics, icp, cppr, xics.virtualMode);
}

/** H_EOI: the source is tested for another presentation before its listeners lower the line (R22). */
function* eoi(xics: Xics, icp: Icp, xirr: number): Step<number> {
  const { acks, sim } = xics.vm;
  yield* restorePriority(xics, icp, cpprOf(xirr));
  const irq = irqOf(xirr);
  if (irq === XICS_IPI) return H_SUCCESS;
  if (sim.hazards.ackBeforeEnd) yield* acks.notifyAcked(0, irq);
  const isEnded = yield* endSource(xics, icp, irq, xics.virtualMode);
  if (!isEnded) return H_PARAMETER;
  if (!sim.hazards.ackBeforeEnd && !sim.hazards.eoiTellsNobody) yield* acks.notifyAcked(0, irq);
  return H_SUCCESS;
}

/** An EOI's CPPR goes the way of a lower one even where it is higher: what is presented stays, without its external interrupt (R27). */
function* restorePriority(xics: Xics, icp: Icp, cppr: number): Step<void> {
  const rejects = xics.vm.sim.hazards.rejectAtEoi && cppr < (yield* priorityOf(icp));
  if (rejects) yield* raisePriority(xics, icp, cppr, xics.virtualMode);
  else yield* lowerPriority(xics, icp, cppr, xics.virtualMode);
}
