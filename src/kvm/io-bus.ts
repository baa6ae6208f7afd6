import type { IrqchipVcpu, MmioBus, MmioDevice } from "../irqchip/contract.js";
import type { PioBus, PioDevice } from "../irqchip/x86/contract.js";
import { reads, shared, writes } from "../sim/access.js";
import { Lifetime } from "../sim/lifetime.js";
import type { Step } from "../sim/step.js";
import { ENOENT, ENOMEM, ENOSPC } from "../uapi/errno.js";
import type { Ioeventfd } from "./ioeventfd.js";
import type { Vm } from "./vm.js";

/** The buses of a VM (kvm-irq-core.md 9.1). */
export const enum BusKind {
  MMIO,
  PIO,
  CCW,
  FAST_MMIO,
}
/** Devices a bus holds, ioeventfds not counted. */
const MAX_DEVICES = 1000;

/** A device on a bus. `length` 0 matches its exact address, whatever the access length. */
export abstract class BusDevice {
  abstract readonly isIoeventfd: boolean;
  /** The last read's value in int32 halves, zero-extended from the access; taken before the next access point. */
  low = 0;
  high = 0;

  constructor(
    readonly address: number,
    readonly length: number,
  ) {}

  /** False: not mine, try the next. */
  abstract write(vcpu: IrqchipVcpu | null, address: number, size: number, low: number, high: number): Step<boolean>;
  abstract read(vcpu: IrqchipVcpu | null, address: number, size: number): Step<boolean>;
  /** The bus is gone. */
  abstract destroy(): Step<void>;
}

/** The devices of a bus, in the order in which they are tried; replaced as a whole, read under srcu. */
class BusArray {
  readonly lifetime = new Lifetime("I/O bus array");
  constructor(readonly devices: readonly BusDevice[]) {}

  /** A new array with the device in front of the first that must come after it. */
  with(device: BusDevice): BusArray {
    let at = this.devices.findIndex((other) => comesAfter(other, device));
    if (at < 0) at = this.devices.length;
    return new BusArray([...this.devices.slice(0, at), device, ...this.devices.slice(at)]);
  }

  without(device: BusDevice): BusArray {
    return new BusArray(this.devices.filter((other) => other !== device));
  }

  get devicesButIoeventfds(): number {
    return this.devices.filter((device) => !device.isIoeventfd).length;
  }
}

/**
 * Must a device on the bus come after one that is added? By ascending address; but one that lies inside the added one
 * stays in front of it, so that whoever came first keeps its addresses (kvm-irq-core.md 9.3; virt/kvm/kvm_main.c,
 * kvm_io_bus_cmp).
 */
function comesAfter(device: BusDevice, added: BusDevice): boolean {
  if (device.address < added.address) return false;
  if (added.length === 0) return device.address > added.address;
  return device.address + device.length > added.address + added.length;
}

/**
 * One bus. Changes come under slots_lock by copy and swap; readers hold an srcu section, and what they found stays
 * usable until they leave it (H30).
 */
export class IoBus {
  /** The next removal cannot allocate the smaller array: the whole bus is torn down (kvm-irq-core.md 9.4). */
  failNextShrink = false;
  /** Null: torn down; every operation answers -ENOMEM. */
  private array: BusArray | null = new BusArray([]);

  constructor(
    private readonly vm: Vm,
    readonly kind: BusKind,
  ) {}

  /** slots_lock held. 0, -ENOMEM, -ENOSPC. */
  *add(device: BusDevice): Step<number> {
    this.assertLocked();
    yield reads(this, "array");
    const old = this.array;
    if (old === null) return -ENOMEM;
    if (old.devicesButIoeventfds >= MAX_DEVICES) return -ENOSPC;
    yield* this.swap(old, old.with(device));
    return 0;
  }

  /** slots_lock held; after it returns no reader has the device. 0, -ENOMEM, -ENOENT. */
  *remove(device: BusDevice): Step<number> {
    this.assertLocked();
    yield reads(this, "array");
    const old = this.array;
    if (old === null) return -ENOMEM;
    if (!old.devices.includes(device)) return -ENOENT;
    const isTornDown = this.failNextShrink;
    this.failNextShrink = false;
    yield* this.swap(old, isTornDown ? null : old.without(device));
    if (isTornDown)
      for (let i = 0; i < old.devices.length; i++) if (old.devices[i] !== device) yield* old.devices[i].destroy();
    return isTornDown ? -ENOMEM : 0;
  }

  private *swap(old: BusArray, next: BusArray | null): Step<void> {
    yield writes(this, "array");
    this.array = next;
    if (!this.vm.hazards.freeBusEarly) yield* this.vm.srcu.synchronize();
    old.lifetime.free();
  }

  /** A guest's write, inside srcu: true if a device took it, else it is user space's. */
  *write(vcpu: IrqchipVcpu | null, address: number, size: number, low: number, high: number): Step<boolean> {
    yield reads(this, "array");
    const { array } = this;
    if (array === null) return false;
    for (let i = 0; i < array.devices.length; i++) {
      const device = alive(array).devices[i];
      if (covers(device, address, size) && (yield* device.write(vcpu, address, size, low, high))) return true;
    }
    return false;
  }

  /** A guest's read, inside srcu: the device that answered, with the value in it, or null. */
  *read(vcpu: IrqchipVcpu | null, address: number, size: number): Step<BusDevice | null> {
    yield reads(this, "array");
    const { array } = this;
    if (array === null) return null;
    for (let i = 0; i < array.devices.length; i++) {
      const device = alive(array).devices[i];
      if (covers(device, address, size) && (yield* device.read(vcpu, address, size))) return device;
    }
    return null;
  }

  /** The devices in the order in which they are tried; slots_lock held, or for tests and dumps. */
  *devices(): Step<readonly BusDevice[]> {
    yield reads(this, "array");
    return this.array?.devices ?? [];
  }

  /** VM destruction: nobody reads any more. */
  *destroy(): Step<void> {
    yield writes(this, "array");
    const { array } = this;
    this.array = null;
    if (array === null) return;
    array.lifetime.free();
    for (let i = 0; i < array.devices.length; i++) yield* array.devices[i].destroy();
  }

  private assertLocked(): void {
    if (!this.vm.slotsLock.heldByCurrent()) throw new Error("an I/O bus changes without slots_lock");
  }
}
shared(IoBus, "array");

function alive(array: BusArray): BusArray {
  array.lifetime.touch();
  return array;
}

function covers(device: BusDevice, address: number, size: number): boolean {
  if (device.length === 0) return address === device.address;
  return address >= device.address && address + size <= device.address + device.length;
}

/** A register frame of an in-kernel device: takes every access inside it. */
class MmioRegion extends BusDevice {
  readonly isIoeventfd = false;

  constructor(
    address: number,
    length: number,
    readonly device: MmioDevice,
  ) {
    super(address, length);
  }

  override *write(vcpu: IrqchipVcpu | null, address: number, size: number, low: number, high: number): Step<boolean> {
    if (vcpu === null || !(yield* this.claims(vcpu, address))) return false;
    yield* this.device.mmioWrite(vcpu, address - this.address, size, low, high);
    return this.device.isRefused !== true;
  }

  override *read(vcpu: IrqchipVcpu | null, address: number, size: number): Step<boolean> {
    if (vcpu === null || !(yield* this.claims(vcpu, address))) return false;
    this.low = yield* this.device.mmioRead(vcpu, address - this.address, size);
    this.high = size === 8 ? this.device.high : 0;
    return this.device.isRefused !== true;
  }

  private *claims(vcpu: IrqchipVcpu, address: number): Step<boolean> {
    return this.device.claims === undefined || (yield* this.device.claims(vcpu, address - this.address));
  }

  /** The frame belongs to its irqchip, which is destroyed later. */
  override *destroy(): Step<void> {}
}

/** The MMIO bus as irqchips see it; callers hold slots_lock. */
class MmioPort implements MmioBus {
  constructor(private readonly bus: IoBus) {}

  *register(base: number, size: number, device: MmioDevice): Step<number> {
    return yield* this.bus.add(new MmioRegion(base, size, device));
  }

  *unregister(base: number, device: MmioDevice): Step<void> {
    const devices = yield* this.bus.devices();
    const region = devices.find((other) => other instanceof MmioRegion && other.address === base && other.device === device);
    if (region !== undefined) yield* this.bus.remove(region);
  }
}

/** The ports of an in-kernel device. */
class PioRegion extends BusDevice {
  readonly isIoeventfd = false;

  constructor(
    address: number,
    length: number,
    readonly device: PioDevice,
  ) {
    super(address, length);
  }

  override *write(vcpu: IrqchipVcpu | null, address: number, size: number, low: number, _high: number): Step<boolean> {
    if (vcpu === null) return false;
    yield* this.device.pioWrite(vcpu, address, size, low);
    return true;
  }

  override *read(vcpu: IrqchipVcpu | null, address: number, size: number): Step<boolean> {
    if (vcpu === null) return false;
    this.low = yield* this.device.pioRead(vcpu, address, size);
    this.high = 0;
    return true;
  }

  /** The device belongs to its irqchip, which is destroyed later. */
  override *destroy(): Step<void> {}
}

/** The PIO bus as irqchips see it; callers hold slots_lock. */
class PioPort implements PioBus {
  constructor(private readonly bus: IoBus) {}

  *register(base: number, size: number, device: PioDevice): Step<number> {
    return yield* this.bus.add(new PioRegion(base, size, device));
  }

  *unregister(base: number, device: PioDevice): Step<void> {
    const devices = yield* this.bus.devices();
    const region = devices.find((other) => other instanceof PioRegion && other.address === base && other.device === device);
    if (region !== undefined) yield* this.bus.remove(region);
  }
}

/** All buses of a VM, and the guest's way to them. */
export class Buses {
  readonly mmioPort: MmioBus;
  readonly pioPort: PioBus;
  /** The value of the last {@link guestRead} that was claimed; taken before the next access point. */
  low = 0;
  high = 0;
  /** Every ioeventfd, on whichever bus; slots_lock. */
  readonly ioeventfds: Ioeventfd[] = [];
  private readonly all: readonly IoBus[];

  constructor(private readonly vm: Vm) {
    this.all = [new IoBus(vm, BusKind.MMIO), new IoBus(vm, BusKind.PIO), new IoBus(vm, BusKind.CCW), new IoBus(vm, BusKind.FAST_MMIO)];
    this.mmioPort = new MmioPort(this.all[BusKind.MMIO]);
    this.pioPort = new PioPort(this.all[BusKind.PIO]);
  }

  of(kind: BusKind): IoBus {
    return this.all[kind];
  }

  /** True when an in-kernel device or an ioeventfd took the write; else it is user space's. */
  *guestWrite(kind: BusKind, vcpu: IrqchipVcpu | null, address: number, size: number, low: number, high: number): Step<boolean> {
    const section = yield* this.vm.srcu.readLock();
    const isTaken = yield* this.all[kind].write(vcpu, address, size, low, high);
    yield* this.vm.srcu.readUnlock(section);
    return isTaken;
  }

  /** True when an in-kernel device answered, into {@link low} and {@link high}. */
  *guestRead(kind: BusKind, vcpu: IrqchipVcpu | null, address: number, size: number): Step<boolean> {
    const section = yield* this.vm.srcu.readLock();
    const device = yield* this.all[kind].read(vcpu, address, size);
    const low = device === null ? 0 : device.low;
    const high = device === null ? 0 : device.high;
    yield* this.vm.srcu.readUnlock(section);
    this.low = low;
    this.high = high;
    return device !== null;
  }

  *destroy(): Step<void> {
    for (let i = 0; i < this.all.length; i++) yield* this.all[i].destroy();
  }
}
