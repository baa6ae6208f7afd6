import { isRestorable } from "../irqchip/xics/icp.js";
import type { Step } from "../sim/step.js";
import { EINVAL } from "../uapi/errno.js";
import { KVM_IRQ_PENDING_HI } from "../uapi/powerpc.js";
import { must } from "./must.js";
import type { Word64 } from "./ppc-kvm.js";
import type { PpcVmm } from "./ppc-vmm.js";

// A guest on POWER moves to a fresh VM, by the uAPI alone, at any instant (xics.md 12): out of its vCPUs, out of its sources,
// and into those of the other in the order that loses nothing.

/** Any signal that KVM_RUN does not block. */
const STOP_SIGNAL = 10;
const COUNTER_BYTES = 8;

/** A stopped guest: its memory, vCPUs and sources. What tells KVM of interrupts (irqfds) is the VMM's, and no part of it. */
export interface PpcGuestState {
  readonly ram: Uint8Array;
  /** By index; `regs` is struct kvm_regs, `icp` the word of KVM_REG_PPC_ICP_STATE. */
  readonly vcpus: readonly { readonly regs: Uint8Array; readonly icp: Word64 }[];
  readonly sources: readonly { readonly irq: number; readonly word: Word64 }[];
}

/** Every vCPU out of KVM_RUN, with nothing left that user space would have to complete. */
export function* stopGuest(vmm: PpcVmm): Step<void> {
  const { threads } = vmm;
  for (let i = 0; i < threads.length; i++) if (!threads[i].isStopped) yield* threads[i].signal(STOP_SIGNAL);
  for (let i = 0; i < threads.length; i++) {
    yield* vmm.host.sim.wait(threads[i]);
    yield* threads[i].consume(STOP_SIGNAL);
  }
}

/**
 * What signals interrupts is not listened to any more: it counts in its eventfd. Before the sources are read: what came
 * between a source's word and this would be in neither VM.
 */
export function* detachIrqfds(vmm: PpcVmm): Step<void> {
  const { irqfds, vm } = vmm;
  for (let i = 0; i < irqfds.length; i++) must(yield* vm.deassignIrqfd(irqfds[i].trigger, irqfds[i].gsi), "KVM_IRQFD deassign");
}

/** The state of a guest that has stopped and that nothing interrupts. */
export function* saveGuest(vmm: PpcVmm): Step<PpcGuestState> {
  const { process, ram, sources: known } = vmm;
  const bytes = new Uint8Array(ram.size);
  process.memory.copyIn(ram.user, bytes);
  const vcpus: { regs: Uint8Array; icp: Word64 }[] = [];
  for (let i = 0; i < vmm.vcpus.length; i++) {
    const regs = found(yield* vmm.vcpus[i].regs(), "KVM_GET_REGS");
    vcpus.push({ regs, icp: found(yield* vmm.vcpus[i].icp(), "KVM_REG_PPC_ICP_STATE") });
  }
  const sources: { irq: number; word: Word64 }[] = [];
  for (let i = 0; i < known.length; i++) {
    const { irq } = known[i];
    sources.push({ irq, word: found(yield* vmm.xics.source(irq), "KVM_DEV_XICS_GRP_SOURCES") });
  }
  return { ram: bytes, vcpus, sources };
}

/** How a guest is restored, other than as {@link restoreGuest} does by itself. */
export interface PpcRestoreOptions {
  /** In the order that loses sight of what is pending (R17), which KVM takes as well: told by `warn`. */
  readonly sourcesFirst?: boolean;
  /** A server whose IPI was withdrawn after it was presented gets the MFRR of that IPI, so that its word is taken (12.4). */
  readonly normalise?: boolean;
  /** Hears, in sentences, what the guest will not see at once, and what was changed. */
  readonly warn?: (sentence: string) => void;
}

/** Servers whose words KVM_SET_ONE_REG would refuse (12.4), each in a sentence: to be asked before the VM of a state is given up. */
export function notRestorable({ vcpus }: PpcGuestState): readonly string[] {
  return vcpus.flatMap(({ icp }, i) => (isRestorable(icp) ? [] : [`vCPU ${i} has an inter-processor interrupt presented that its MFRR does not ask for any more: KVM_SET_ONE_REG refuses its word`]));
}

/** The word with the MFRR of the IPI that is presented, as it was when that was latched. */
const normalised = ({ hi, lo }: Word64): Word64 => ({ hi, lo: (lo & 0xff_ffff) | ((lo << 8) & 0xff00_0000) });

/**
 * Into a fresh VM of the same servers, whose sources are there and masked. Presentation controllers before sources: a
 * source that is pending then meets the real priorities; in the other order it would wait for the guest's next EOI (R17),
 * and a controller that presents a source whose block is missing is refused (R18). 0, or the errno of a controller whose
 * fields contradict each other, as one's do whose IPI was withdrawn after it was presented (12.4).
 */
export function* restoreGuest(vmm: PpcVmm, state: PpcGuestState, options: PpcRestoreOptions = {}): Step<number> {
  const { process, ram, vcpus } = vmm;
  if (options.sourcesFirst === true) yield* restoreSources(vmm, state, options);
  const result = yield* restoreServers(vmm, state, options);
  if (result < 0) return result;
  if (options.sourcesFirst !== true) yield* restoreSources(vmm, state, {});
  for (let i = 0; i < state.vcpus.length; i++) must(yield* vcpus[i].setRegs(state.vcpus[i].regs), "KVM_SET_REGS");
  process.memory.copyOut(ram.user, state.ram);
  return 0;
}

function* restoreServers({ vcpus }: PpcVmm, state: PpcGuestState, { normalise = false, warn }: PpcRestoreOptions): Step<number> {
  for (let i = 0; i < state.vcpus.length; i++) {
    const { icp } = state.vcpus[i];
    const mustChange = normalise && !isRestorable(icp);
    if (mustChange) warn?.(`vCPU ${i}: the MFRR of the inter-processor interrupt that is presented takes the place of the one that withdrew it`);
    const result = yield* vcpus[i].setIcp(mustChange ? normalised(icp) : icp);
    if (result < 0) return result;
  }
  return 0;
}

function* restoreSources({ xics }: PpcVmm, state: PpcGuestState, { warn }: PpcRestoreOptions): Step<void> {
  for (let i = 0; i < state.sources.length; i++) {
    const { irq, word } = state.sources[i];
    must(yield* xics.setSource(irq, word), "KVM_DEV_XICS_GRP_SOURCES");
    if ((word.hi & KVM_IRQ_PENDING_HI) !== 0) warn?.(`source 0x${irq.toString(16)} is pending and was restored before its server: the guest sees it at its next EOI or change of priority`);
  }
}

/**
 * The irqfds in the VM that the guest is in now: each delivers what its eventfd has counted. Then every device whose line is
 * level looks at it again: the end of the resampling irqfd has lowered a line that the guest may not have seen yet.
 */
export function* attachIrqfds(vmm: PpcVmm): Step<void> {
  const { irqfds, vm } = vmm;
  for (let i = 0; i < irqfds.length; i++) must(yield* vm.assignIrqfd(irqfds[i].trigger, irqfds[i].gsi, irqfds[i].resample), "KVM_IRQFD");
  for (let i = 0; i < irqfds.length; i++) if (irqfds[i].resample >= 0) yield* signal(vmm, irqfds[i].resample);
}

function* signal({ process, args }: PpcVmm, eventfd: number): Step<void> {
  args.view.setUint32(0, 1, true);
  args.view.setUint32(4, 0, true);
  args.store(COUNTER_BYTES);
  yield* process.write(eventfd, args.address, COUNTER_BYTES);
}

/**
 * All of it within one process, as a VMM does that replaces itself: a fresh VM takes the guest, and it runs on. -EINVAL
 * where the kernel would refuse a server's word, see {@link notRestorable}: the guest then runs on where it is.
 * @param order indexes of the vCPUs in the order in which the fresh VM makes them
 */
export function* moveGuest(vmm: PpcVmm, order: readonly number[], options: PpcRestoreOptions = {}): Step<number> {
  yield* stopGuest(vmm);
  yield* detachIrqfds(vmm);
  const state = yield* saveGuest(vmm);
  const isRefused = options.normalise !== true && notRestorable(state).length > 0;
  if (!isRefused) {
    yield* vmm.renew(order);
    must(yield* restoreGuest(vmm, state, options), "KVM_REG_PPC_ICP_STATE");
  }
  yield* attachIrqfds(vmm);
  vmm.run();
  return isRefused ? -EINVAL : 0;
}

function found<T>(result: T | number, what: string): T {
  if (typeof result === "number") must(result, what);
  return result as T;
}
