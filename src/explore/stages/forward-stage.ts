import type { Hazards } from "../../sim/hazards.js";
import * as K from "../../uapi/kvm.js";
import * as V from "../../uapi/vfio.js";
import { ArmMachine } from "./arm-machine.js";
import { AssignedDevice } from "./assigned-device.js";
import { ioctl, type Thread } from "./threads.js";

const SCRATCH = 0x4e000;
const ARGUMENTS = 0x20000;
const ROOM = 0x100;
const SPIS = [50, 51];

/** A GSI that a physical interrupt of the device is forwarded as. */
export interface Forwarding {
  readonly index: number;
  readonly gsi: number;
}

/** An arm64 VM with a KVM-VFIO device and a platform device of two interrupts: calls that forward them, or signal the first. */
export class ForwardStage extends ArmMachine {
  readonly vmFd: number;
  /** The KVM-VFIO device. */
  readonly kvmVfio: number;
  readonly device: AssignedDevice;
  /** The physical interrupt of index 0. */
  readonly spi = SPIS[0];
  private nextArgument = ARGUMENTS;

  constructor(hazards: Partial<Hazards> = {}) {
    super(3, hazards);
    this.vmFd = this.a3();
    this.kvmVfio = this.createDevice(this.vmFd, K.KVM_DEV_TYPE_VFIO);
    this.device = new AssignedDevice(this.kernel, this.process, SCRATCH, SPIS);
    this.sim.traceTo(null);
  }

  /** KVM_DEV_VFIO_DEVICE_FORWARD_IRQ. */
  forward(name: string, forwarding: Forwarding): Thread {
    return this.change(name, K.KVM_DEV_VFIO_DEVICE_FORWARD_IRQ, forwarding);
  }

  unforward(name: string, forwarding: Forwarding): Thread {
    return this.change(name, K.KVM_DEV_VFIO_DEVICE_UNFORWARD_IRQ, forwarding);
  }

  /** VFIO_DEVICE_SET_IRQS: a trigger for index 0. */
  trigger(name: string, eventfd: number): Thread {
    const words = [24, V.VFIO_IRQ_SET_DATA_EVENTFD | V.VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, 1, eventfd];
    return ioctl(name, this.process, this.device.fd, V.VFIO_DEVICE_SET_IRQS, this.placeWords(words));
  }

  /** Runs threads one after the other, before the race begins. */
  before(...threads: readonly Thread[]): void {
    for (const thread of threads) {
      this.sim.wake(thread, 0);
      this.settle();
      if (thread.result !== 0) throw new Error(`${thread.name}: ${thread.result}`);
    }
  }

  private change(name: string, attr: number, { index, gsi }: Forwarding): Thread {
    const words = this.placeWords([this.device.fd, index, 0, gsi]);
    const view = new DataView(new ArrayBuffer(K.kvm_device_attr.size));
    K.kvm_device_attr.group.set(view, K.KVM_DEV_VFIO_DEVICE);
    K.kvm_device_attr.attr.setNumber(view, attr);
    K.kvm_device_attr.addr.setNumber(view, words);
    return ioctl(name, this.process, this.kvmVfio, K.KVM_SET_DEVICE_ATTR, this.place(new Uint8Array(view.buffer)));
  }

  private placeWords(words: readonly number[]): number {
    return this.place(new Uint8Array(Uint32Array.from(words).buffer));
  }

  private place(bytes: Uint8Array): number {
    const at = this.nextArgument;
    this.nextArgument += ROOM;
    this.process.memory.copyOut(at, bytes);
    return at;
  }
}
