import type { Step } from "../sim/step.js";
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
  const { process, ram, options } = vmm;
  const bytes = new Uint8Array(ram.size);
  process.memory.copyIn(ram.user, bytes);
  const vcpus: { regs: Uint8Array; icp: Word64 }[] = [];
  for (let i = 0; i < vmm.vcpus.length; i++) {
    const regs = found(yield* vmm.vcpus[i].regs(), "KVM_GET_REGS");
    vcpus.push({ regs, icp: found(yield* vmm.vcpus[i].icp(), "KVM_REG_PPC_ICP_STATE") });
  }
  const sources: { irq: number; word: Word64 }[] = [];
  for (let i = 0; i < options.sources.length; i++) {
    const { irq } = options.sources[i];
    sources.push({ irq, word: found(yield* vmm.xics.source(irq), "KVM_DEV_XICS_GRP_SOURCES") });
  }
  return { ram: bytes, vcpus, sources };
}

/**
 * Into a fresh VM of the same servers, whose sources are there and masked. Presentation controllers before sources: a
 * source that is pending then meets the real priorities; in the other order it would wait for the guest's next EOI (R17),
 * and a controller that presents a source whose block is missing is refused (R18). 0, or the errno of a controller whose
 * fields contradict each other, as one's do whose IPI was withdrawn after it was presented (12.4).
 */
export function* restoreGuest(vmm: PpcVmm, state: PpcGuestState): Step<number> {
  const { process, ram, vcpus, xics } = vmm;
  for (let i = 0; i < state.vcpus.length; i++) {
    const result = yield* vcpus[i].setIcp(state.vcpus[i].icp);
    if (result < 0) return result;
  }
  for (let i = 0; i < state.sources.length; i++) must(yield* xics.setSource(state.sources[i].irq, state.sources[i].word), "KVM_DEV_XICS_GRP_SOURCES");
  for (let i = 0; i < state.vcpus.length; i++) must(yield* vcpus[i].setRegs(state.vcpus[i].regs), "KVM_SET_REGS");
  process.memory.copyOut(ram.user, state.ram);
  return 0;
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
 * All of it within one process, as a VMM does that replaces itself: a fresh VM takes the guest, and it runs on. The
 * errno of {@link restoreGuest} leaves it stopped.
 * @param order indexes of the vCPUs in the order in which the fresh VM makes them
 */
export function* moveGuest(vmm: PpcVmm, order: readonly number[]): Step<number> {
  yield* stopGuest(vmm);
  yield* detachIrqfds(vmm);
  const state = yield* saveGuest(vmm);
  yield* vmm.renew(order);
  const result = yield* restoreGuest(vmm, state);
  if (result < 0) return result;
  yield* attachIrqfds(vmm);
  vmm.run();
  return 0;
}

function found<T>(result: T | number, what: string): T {
  if (typeof result === "number") must(result, what);
  return result as T;
}
