import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { DeliveryMode } from "../../irqchip/x86/contract.js";
import { ApicReg, LVT_MASKED, LVT_MODE_SHIFT } from "../../irqchip/x86/lapic/registers.js";
import { IrqSource } from "../../irqchip/x86/line-sources.js";
import { Pit, PIT_FLAGS_HPET_LEGACY, type PitOutput } from "../../irqchip/x86/pit.js";
import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { WorkItem, WorkQueue } from "../../sim/workqueue.js";
import { EEXIST, EFAULT, ENOENT, ENXIO } from "../../uapi/errno.js";
import * as X from "../../uapi/x86.js";
import { AckNotifier, MaskNotifier, registerAckNotifier, registerMaskNotifier, unregisterAckNotifier, unregisterMaskNotifier } from "../notifiers.js";
import { setIrq } from "../routing.js";
import type { Vm } from "../vm.js";
import { X86Vm } from "./x86.js";

const GSI = 0;

/** The PIT's worker: one pulse of GSI 0 where the tick before it was acknowledged, and the NMI watchdog's. */
class Expired extends WorkItem {
  constructor(private readonly pit: KvmPit) {
    super();
  }

  override *work(): Step<void> {
    const mayPulse = yield* this.pit.takeAck();
    if (mayPulse) yield* this.pit.pulse();
  }
}

class PitAck extends AckNotifier {
  constructor(private readonly pit: KvmPit) {
    super(GSI);
  }
  override *acked(): Step<void> {
    yield* this.pit.acked();
  }
}

/** The guest unmasks GSI 0: what it missed while it was masked is not made up for. */
class PitMask extends MaskNotifier {
  constructor(private readonly pit: KvmPit) {
    super(GSI);
  }
  override *masked(isMasked: boolean): Step<void> {
    if (!isMasked) yield* this.pit.restarted();
  }
}

/** The in-kernel PIT of a VM: the model of an acknowledge client (kvm-irq-core.md 5.5). */
export class KvmPit implements PitOutput {
  readonly chip: Pit;
  /** Ticks that the guest has not had; the tick before was acknowledged; are missed ticks made up for at all? */
  private pending = 0;
  private isAcked = true;
  private isReinjecting = false;
  private readonly expired = new Expired(this);
  private readonly worker: WorkQueue;
  private readonly ack = new PitAck(this);
  private readonly mask = new PitMask(this);

  constructor(
    private readonly vm: Vm,
    private readonly arch: X86Vm,
  ) {
    this.worker = new WorkQueue(vm.sim, "kvm-pit");
    this.chip = new Pit(arch, this);
  }

  *tick(): Step<void> {
    yield reads(this, "isReinjecting");
    if (this.isReinjecting) {
      yield writes(this, "pending");
      this.pending++;
    }
    yield* this.worker.queue(this.expired);
  }

  *restarted(): Step<void> {
    yield writes(this, "pending");
    this.pending = 0;
    yield writes(this, "isAcked");
    this.isAcked = true;
  }

  /** May this tick be sent? Uses the acknowledge of the last one up. */
  *takeAck(): Step<boolean> {
    yield reads(this, "isReinjecting");
    if (!this.isReinjecting) return true;
    yield writes(this, "isAcked");
    const wasAcked = this.isAcked;
    this.isAcked = false;
    return wasAcked;
  }

  *pulse(): Step<void> {
    yield* setIrq(this.vm, IrqSource.PIT, GSI, 1, false);
    yield* setIrq(this.vm, IrqSource.PIT, GSI, 0, false);
    yield* this.watchdog();
  }

  /** The guest ended the tick: that comes first. Read before it, a tick that comes between would wait for the next (5.5). */
  *acked(): Step<void> {
    yield writes(this, "isAcked");
    this.isAcked = true;
    yield writes(this, "pending");
    if (this.pending === 0) return;
    this.pending--;
    if (this.pending > 0) yield* this.worker.queue(this.expired);
  }

  /** x86-irqchip.md 7.8: a tick through LINT0 of every vCPU while any has it in NMI mode. */
  private *watchdog(): Step<void> {
    const { apics, vcpus } = this.arch;
    if (apics === null) return;
    let isWatched = false;
    for (let i = 0; i < vcpus.length && !isWatched; i++) {
      const lapic = apics.lapics[vcpus[i].index];
      yield reads(lapic, "addressing");
      const lint0 = lapic.addressing[ApicReg.LVT0 >> 2];
      isWatched = (lint0 & LVT_MASKED) === 0 && ((lint0 >> LVT_MODE_SHIFT) & 7) === DeliveryMode.NMI;
    }
    if (!isWatched) return;
    for (let i = 0; i < vcpus.length; i++) yield* apics.lapics[vcpus[i].index].deliverLocal(ApicReg.LVT0);
  }

  /** KVM_REINJECT_CONTROL. AVIC does not see the ends of edge interrupts, which reinjection needs (11). */
  *setReinject(isOn: boolean): Step<void> {
    yield reads(this, "isReinjecting");
    if (this.isReinjecting === isOn) return;
    const { vm, arch } = this;
    if (arch.apics !== null) yield* arch.apics.inhibits.set("PIT_REINJ", isOn);
    if (isOn) {
      yield* this.restarted();
      yield* registerAckNotifier(vm, this.ack);
      yield* registerMaskNotifier(vm, this.mask);
    } else {
      yield* unregisterAckNotifier(vm, this.ack);
      yield* unregisterMaskNotifier(vm, this.mask);
    }
    yield writes(this, "isReinjecting");
    this.isReinjecting = isOn;
  }

  /** Before the routing table goes (H26): no tick, and none on its way. */
  *destroy(): Step<void> {
    yield* this.chip.stop();
    yield* this.setReinject(false);
    yield* this.worker.flush(this.expired);
  }
}
shared(KvmPit, "pending", "isAcked", "isReinjecting");

function archOf(vm: Vm): X86Vm {
  if (!(vm.arch instanceof X86Vm)) throw new Error("an x86 request reached another architecture's VM");
  return vm.arch;
}

const CONFIG = new UserArgument(X.kvm_pit_config.size);
const STATE = new UserArgument(X.kvm_pit_state2.size);
const REINJECT = new UserArgument(X.kvm_reinject_control.size);

/** KVM_CREATE_PIT2: beside the PIC of a full irqchip, once. */
export function* createPit2(vm: Vm, process: Process, argument: number): Step<number> {
  if (!CONFIG.copyIn(process, argument)) return -EFAULT;
  const hasSpeaker = (X.kvm_pit_config.flags.get(CONFIG.view) & X.KVM_PIT_SPEAKER_DUMMY) !== 0;
  const arch = archOf(vm);
  yield* vm.lock.lock();
  const result = arch.pit !== null ? -EEXIST : arch.pic === null ? -ENOENT : yield* makePit(vm, arch, hasSpeaker);
  yield* vm.lock.unlock();
  return result;
}

function* makePit(vm: Vm, arch: X86Vm, hasSpeaker: boolean): Step<number> {
  const pit = new KvmPit(vm, arch);
  const registered = yield* pit.chip.register(hasSpeaker);
  if (registered !== 0) return registered;
  yield* pit.setReinject(true);
  arch.pit = pit;
  return 0;
}

/** KVM_REINJECT_CONTROL */
export function* reinjectControl(vm: Vm, process: Process, argument: number): Step<number> {
  if (!REINJECT.copyIn(process, argument)) return -EFAULT;
  const isOn = X.kvm_reinject_control.pit_reinject.get(REINJECT.view) !== 0;
  const { pit } = archOf(vm);
  if (pit === null) return -ENXIO;
  yield* pit.chip.lock.lock();
  yield* pit.setReinject(isOn);
  yield* pit.chip.lock.unlock();
  return 0;
}

/** KVM_GET_PIT2 */
export function* getPit2(vm: Vm, process: Process, argument: number): Step<number> {
  const { pit } = archOf(vm);
  if (pit === null) return -ENXIO;
  const { chip } = pit;
  yield* chip.lock.lock();
  STATE.bytes.fill(0);
  for (const [i, channel] of chip.channels.entries()) {
    const fields = X.kvm_pit_state2.channels[i];
    fields.count.set(STATE.view, channel.count);
    fields.latched_count.set(STATE.view, channel.latchedCount);
    fields.count_latched.set(STATE.view, channel.countLatched);
    fields.status_latched.set(STATE.view, channel.statusLatched);
    fields.status.set(STATE.view, channel.status);
    fields.read_state.set(STATE.view, channel.readState);
    fields.write_state.set(STATE.view, channel.writeState);
    fields.write_latch.set(STATE.view, channel.writeLatch);
    fields.rw_mode.set(STATE.view, channel.rwMode);
    fields.mode.set(STATE.view, channel.mode);
    fields.bcd.set(STATE.view, channel.bcd);
    fields.gate.set(STATE.view, channel.gate);
    fields.count_load_time.setNumber(STATE.view, channel.loadedNs);
  }
  X.kvm_pit_state2.flags.set(STATE.view, chip.flags);
  const isCopied = STATE.copyOut(process, argument);
  yield* chip.lock.unlock();
  return isCopied ? 0 : -EFAULT;
}

/** KVM_SET_PIT2: every field as given, then each channel's count is loaded anew. */
export function* setPit2(vm: Vm, process: Process, argument: number): Step<number> {
  if (!STATE.copyIn(process, argument)) return -EFAULT;
  const { pit } = archOf(vm);
  if (pit === null) return -ENXIO;
  const { chip } = pit;
  const view = new DataView(STATE.bytes.slice().buffer);
  yield* chip.lock.lock();
  const flags = X.kvm_pit_state2.flags.get(view);
  const isLegacyStart = (chip.flags & PIT_FLAGS_HPET_LEGACY) === 0 && (flags & PIT_FLAGS_HPET_LEGACY) !== 0;
  for (const [i, channel] of chip.channels.entries()) {
    const fields = X.kvm_pit_state2.channels[i];
    channel.latchedCount = fields.latched_count.get(view);
    channel.countLatched = fields.count_latched.get(view);
    channel.statusLatched = fields.status_latched.get(view);
    channel.status = fields.status.get(view);
    channel.readState = fields.read_state.get(view);
    channel.writeState = fields.write_state.get(view);
    channel.writeLatch = fields.write_latch.get(view);
    channel.rwMode = fields.rw_mode.get(view);
    channel.mode = fields.mode.get(view);
    channel.bcd = fields.bcd.get(view);
    channel.gate = fields.gate.get(view);
    channel.loadedNs = fields.count_load_time.getNumber(view);
  }
  chip.flags = flags;
  for (let i = 0; i < chip.channels.length; i++) yield* chip.load(i, X.kvm_pit_state2.channels[i].count.get(view), isLegacyStart && i === 0);
  yield* chip.lock.unlock();
  return 0;
}
