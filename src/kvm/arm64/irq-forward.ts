import { reads, writes } from "../../sim/access.js";
import type { Process } from "../../host/process.js";
import { Ev } from "../../sim/event.js";
import type { Mutex } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { EAGAIN, EBADF, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT } from "../../uapi/errno.js";
import { kvm_arch_forwarded_irq } from "../../uapi/kvm.js";
import { type ForwardableIrq, type ForwardingDevice, VfioDeviceFile } from "../../vfio/contract.js";
import type { IrqForwarding } from "../arch.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Vm } from "../vm.js";

/** One forwarded interrupt. Identity: device, index, subindex. */
interface ForwardNode {
  readonly device: ForwardingDevice;
  readonly index: number;
  readonly subindex: number;
  readonly gsi: number;
  readonly irq: ForwardableIrq;
  /** Each does, of its own (H38). */
  readonly holdsReference: boolean;
}

interface Request {
  readonly device: ForwardingDevice;
  readonly index: number;
  readonly subindex: number;
  readonly gsi: number;
}

const argument = new UserArgument(kvm_arch_forwarded_irq.size);
const { view } = argument;

/**
 * IRQ forward control (kvm-irq-core.md 8.3): the physical interrupts whose completion belongs to the guest. One flat
 * list of nodes; lookup, insertion and hook under one hold of the device's mutex (H39).
 */
export class ForwardedIrqs {
  private readonly nodes: ForwardNode[] = [];

  constructor(
    private readonly vm: Vm,
    private readonly mutex: Mutex,
  ) {}

  /** The caller has found that the architecture forwards (check 1). */
  *forward(process: Process, address: number): Step<number> {
    if (!argument.copyIn(process, address)) return -EFAULT; // 2
    const fd = kvm_arch_forwarded_irq.fd.get(view) | 0;
    const index = kvm_arch_forwarded_irq.index.get(view);
    const subindex = kvm_arch_forwarded_irq.subindex.get(view);
    const gsi = kvm_arch_forwarded_irq.gsi.get(view);
    const file = yield* process.fdget(fd);
    if (file === null) return -EBADF; // 3
    let result = -EINVAL; // 4
    if (file instanceof VfioDeviceFile) {
      const request = { device: file.device, index, subindex, gsi };
      const { lookUpOutsideMutex } = this.vm.hazards;
      let isKnown = false;
      if (lookUpOutsideMutex) {
        yield reads(this, "nodes");
        isKnown = this.find(request) !== null;
      }
      yield* this.mutex.lock(); // 5
      if (!lookUpOutsideMutex) isKnown = this.find(request) !== null; // under the same hold as the insertion (H39)
      result = isKnown ? -EEXIST : yield* this.forwardLocked(request);
      yield* this.mutex.unlock();
    }
    yield* file.put();
    return result;
  }

  private *forwardLocked(request: Request): Step<number> {
    const { device, index, subindex, gsi } = request;
    const irq = device.isPlatform ? device.forwardable(index, subindex) : null; // 7, 8
    if (irq === null) return -EINVAL;
    const holdsReference = !this.vm.hazards.shareDeviceReference || this.nodes.every((node) => node.device !== device);
    if (holdsReference) device.get(); // 6
    const result = yield* this.hook(irq, request);
    if (this.vm.hazards.lookUpOutsideMutex) yield writes(this, "nodes"); // what the mutex orders otherwise
    if (result === 0) this.nodes.push({ device, index, subindex, gsi, irq, holdsReference });
    else if (holdsReference) yield* device.put(); // 15
    return result;
  }

  /** The architecture hook, forward = true: 9 to 14. */
  private *hook(irq: ForwardableIrq, { device, index, gsi }: Request): Step<number> {
    const { forwarding } = this.vm.arch;
    if (forwarding === null) return -EINVAL;
    const refused = forwarding.check(gsi); // 9, 10, 11
    if (refused !== 0) return refused;
    yield* irq.lock.lock();
    let result = 0;
    if (irq.isSignalling && !this.vm.hazards.forwardWhileSignalling) result = -EBUSY; // 12
    else if (yield* irq.isMasked()) result = -EAGAIN; // 13
    else result = yield* mark(forwarding, irq, gsi);
    if (result === 0) this.vm.sim.emit(Ev.irq_forward, device.name, index, gsi, 1, "ioctl");
    yield* irq.lock.unlock();
    return result;
  }

  /** The gsi of the argument plays no role. */
  *unforward(process: Process, address: number): Step<number> {
    if (!argument.copyIn(process, address)) return -EFAULT;
    const fd = kvm_arch_forwarded_irq.fd.get(view) | 0;
    const index = kvm_arch_forwarded_irq.index.get(view);
    const subindex = kvm_arch_forwarded_irq.subindex.get(view);
    const file = yield* process.fdget(fd);
    if (file === null) return -EBADF;
    let result = -EINVAL;
    if (file instanceof VfioDeviceFile) {
      yield* this.mutex.lock();
      const node = this.find({ device: file.device, index, subindex });
      result = node === null ? -ENOENT : yield* this.unforwardNode(node, false);
      yield* this.mutex.unlock();
    }
    yield* file.put();
    return result;
  }

  /** The KVM-VFIO descriptor is gone: every node goes, even where signalling is still set. */
  *release(): Step<void> {
    while (this.nodes.length > 0) yield* this.unforwardNode(this.nodes[0], true);
  }

  private *unforwardNode(node: ForwardNode, isForced: boolean): Step<number> {
    const { irq } = node;
    yield* irq.lock.lock();
    const isRefused = irq.isSignalling && !isForced;
    if (!isRefused) {
      yield* this.unmark(node);
      this.vm.sim.emit(Ev.irq_forward, node.device.name, node.index, node.gsi, 0, isForced ? "release" : "ioctl");
    }
    yield* irq.lock.unlock();
    if (isRefused) return -EBUSY;
    this.nodes.splice(this.nodes.indexOf(node), 1);
    if (node.holdsReference) yield* node.device.put();
    return 0;
  }

  /** Hook, forward = false: who takes the mark from an active interrupt deactivates it, or its line is dead (H37). */
  private *unmark({ irq, gsi }: ForwardNode): Step<void> {
    yield* irq.descriptorLock.lock();
    yield* irq.setForwarded(false);
    if (this.vm.arch.forwarding !== null) yield* this.vm.arch.forwarding.unlink(gsi);
    const isActive = yield* irq.isActive();
    if (isActive && !this.vm.hazards.unmarkWithoutDeactivate) yield* irq.deactivate();
    yield* irq.descriptorLock.unlock();
  }

  private find({ device, index, subindex }: Omit<Request, "gsi">): ForwardNode | null {
    return this.nodes.find((node) => node.device === device && node.index === index && node.subindex === subindex) ?? null;
  }
}

/** The rest of check 13, and 14: mark and link change together under the descriptor's lock. */
function* mark(forwarding: IrqForwarding, irq: ForwardableIrq, gsi: number): Step<number> {
  yield* irq.descriptorLock.lock();
  let result = -EAGAIN;
  const isActive = yield* irq.isActive();
  if (!isActive) {
    yield* irq.setForwarded(true);
    result = yield* forwarding.link(gsi, irq.hostIntid);
    if (result !== 0) yield* irq.setForwarded(false); // 15
  }
  yield* irq.descriptorLock.unlock();
  return result;
}
