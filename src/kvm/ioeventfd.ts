import { type EventfdContext, eventfdContextOf } from "../host/eventfd.js";
import type { Process } from "../host/process.js";
import type { IrqchipVcpu } from "../irqchip/contract.js";
import type { Step } from "../sim/step.js";
import { EEXIST, EFAULT, EINVAL, ENOENT } from "../uapi/errno.js";
import {
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY,
  KVM_IOEVENTFD_VALID_FLAG_MASK,
  kvm_ioeventfd,
} from "../uapi/kvm.js";
import { UserArgument } from "../host/user-argument.js";
import { BusDevice, BusKind } from "./io-bus.js";
import type { Vm } from "./vm.js";

const TWO32 = 0x1_0000_0000;

/** What KVM_IOEVENTFD says; 64-bit values in unsigned halves. */
interface Request {
  readonly kind: BusKind;
  readonly addressLo: number;
  readonly addressHi: number;
  readonly length: number;
  readonly isWildcard: boolean;
  readonly matchLo: number;
  readonly matchHi: number;
}

/** An address whose write signals an eventfd instead of leaving the kernel (kvm-irq-core.md 9). */
export class Ioeventfd extends BusDevice {
  readonly isIoeventfd = true;
  readonly request: Request;

  /** @param list the VM's ioeventfds; slots_lock */
  constructor(
    request: Request,
    readonly eventfd: EventfdContext,
    private readonly list: BusDevice[],
  ) {
    // Above 2^53 the number is not exact; no guest access has such an address.
    super(request.addressHi * TWO32 + request.addressLo, request.length);
    this.request = request;
  }

  override *write(_vcpu: IrqchipVcpu | null, address: number, size: number, low: number, high: number): Step<boolean> {
    const { length, isWildcard, matchLo, matchHi } = this.request;
    if (address !== this.address) return false;
    if (length !== 0) {
      if (size !== length) return false;
      if (!isWildcard && (low >>> 0 !== matchLo || high >>> 0 !== matchHi)) return false;
    }
    yield* this.eventfd.signal();
    return true;
  }

  override *read(_vcpu: IrqchipVcpu | null, _address: number, _size: number): Step<boolean> {
    return false;
  }

  override *destroy(): Step<void> {
    const at = this.list.indexOf(this);
    if (at >= 0) this.list.splice(at, 1);
    yield* this.eventfd.put();
  }

  /** 9.2 check 8; the eventfd plays no role. */
  collidesWith(request: Request): boolean {
    const mine = this.request;
    if (mine.kind !== request.kind || !isSameAddress(mine, request)) return false;
    if (mine.length === 0 || request.length === 0) return true;
    return mine.length === request.length && (mine.isWildcard || request.isWildcard || isSameMatch(mine, request));
  }

  /** 9.4: everything equal. */
  is(request: Request, eventfd: EventfdContext): boolean {
    const mine = this.request;
    if (mine.kind !== request.kind || this.eventfd !== eventfd || !isSameAddress(mine, request)) return false;
    if (mine.length !== request.length || mine.isWildcard !== request.isWildcard) return false;
    return mine.isWildcard || isSameMatch(mine, request);
  }
}

function isSameAddress(a: Request, b: Request): boolean {
  return a.addressLo === b.addressLo && a.addressHi === b.addressHi;
}

function isSameMatch(a: Request, b: Request): boolean {
  return a.matchLo === b.matchLo && a.matchHi === b.matchHi;
}

const argument = new UserArgument(kvm_ioeventfd.size);
const { view } = argument;

/** KVM_IOEVENTFD (kvm-irq-core.md 9.2, 9.4). */
export function* ioeventfd(vm: Vm, process: Process, address: number): Step<number> {
  if (!argument.copyIn(process, address)) return -EFAULT; // 1
  const flags = kvm_ioeventfd.flags.get(view);
  const fd = kvm_ioeventfd.fd.get(view);
  const request = decode(flags);
  if ((flags & KVM_IOEVENTFD_FLAG_DEASSIGN) !== 0) return yield* deassign(vm, process, fd, request);
  const refused = validate(request, flags);
  if (refused !== 0) return refused;
  return yield* assign(vm, process, fd, request);
}

function decode(flags: number): Request {
  let kind = BusKind.MMIO;
  if ((flags & KVM_IOEVENTFD_FLAG_PIO) !== 0) kind = BusKind.PIO;
  else if ((flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY) !== 0) kind = BusKind.CCW;
  return {
    kind,
    addressLo: kvm_ioeventfd.addr.lo(view),
    addressHi: kvm_ioeventfd.addr.hi(view),
    length: kvm_ioeventfd.len.get(view),
    isWildcard: (flags & KVM_IOEVENTFD_FLAG_DATAMATCH) === 0,
    matchLo: kvm_ioeventfd.datamatch.lo(view),
    matchHi: kvm_ioeventfd.datamatch.hi(view),
  };
}

/** Checks 2 to 5. */
function validate({ addressLo, addressHi, length, isWildcard }: Request, flags: number): number {
  if (length !== 0 && length !== 1 && length !== 2 && length !== 4 && length !== 8) return -EINVAL;
  const carry = addressLo + length >= TWO32 ? 1 : 0;
  if (addressHi + carry >= TWO32) return -EINVAL; // ending at 2^64 counts as a wrap
  if ((flags & ~KVM_IOEVENTFD_VALID_FLAG_MASK) !== 0) return -EINVAL;
  return length === 0 && !isWildcard ? -EINVAL : 0;
}

/** Checks 6 to 11: an MMIO request of any length has a twin on the fast bus. */
function* assign(vm: Vm, process: Process, fd: number, request: Request): Step<number> {
  const result = yield* assignOn(vm, process, fd, request);
  if (result !== 0 || request.kind !== BusKind.MMIO || request.length !== 0) return result;
  const twin = yield* assignOn(vm, process, fd, { ...request, kind: BusKind.FAST_MMIO }); // 11
  if (twin !== 0) yield* deassignOn(vm, process, fd, request);
  return twin;
}

function* assignOn(vm: Vm, process: Process, fd: number, request: Request): Step<number> {
  const eventfd = eventfdContextOf(process, fd); // 6
  if (typeof eventfd === "number") return eventfd;
  const bus = vm.buses.of(request.kind);
  yield* vm.slotsLock.lock();
  const { ioeventfds } = vm.buses;
  const collides = ioeventfds.some((other) => other.collidesWith(request)); // 8
  const device = new Ioeventfd(request, eventfd, ioeventfds);
  const result = collides ? -EEXIST : yield* bus.add(device); // 9, 10
  if (result === 0) ioeventfds.push(device);
  yield* vm.slotsLock.unlock();
  if (result !== 0) yield* eventfd.put();
  return result;
}

/** The twin's result is ignored. */
function* deassign(vm: Vm, process: Process, fd: number, request: Request): Step<number> {
  const result = yield* deassignOn(vm, process, fd, request);
  if (request.kind === BusKind.MMIO && request.length === 0)
    yield* deassignOn(vm, process, fd, { ...request, kind: BusKind.FAST_MMIO });
  return result;
}

function* deassignOn(vm: Vm, process: Process, fd: number, request: Request): Step<number> {
  const eventfd = eventfdContextOf(process, fd);
  if (typeof eventfd === "number") return eventfd;
  const bus = vm.buses.of(request.kind);
  const { ioeventfds } = vm.buses;
  yield* vm.slotsLock.lock();
  const device = ioeventfds.find((other) => other.is(request, eventfd));
  if (device !== undefined) {
    yield* bus.remove(device);
    yield* device.destroy(); // after the swap and its wait (H30)
  }
  yield* vm.slotsLock.unlock();
  yield* eventfd.put();
  return device === undefined ? -ENOENT : 0;
}
