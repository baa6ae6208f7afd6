import { IchVmcr } from "../../arch/gic/gich.js";
import type { Vgic } from "../../irqchip/gic/vgic.js";
import { VGIC_NR_PRIVATE_IRQS } from "../../irqchip/gic/vgic-irq.js";
import { setEnabled, writeDistEnable, writePriority } from "../../irqchip/gic/vgic-state.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import * as K from "../../uapi/kvm.js";
import * as V from "../../uapi/vfio.js";
import { ArmMachine } from "./arm-machine.js";
import { AssignedDevice } from "./assigned-device.js";
import { ioctl, Thread } from "./threads.js";

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

  /** The first interrupt has fired, and the guest on vCPU 0 is in its handler: active in both distributors, tied together by the list register. */
  guestTakes({ gsi }: Forwarding): void {
    const { dist } = this.guest;
    const intid = gsi + VGIC_NR_PRIVATE_IRQS;
    dist.cpus[0].vmcr = (0xf0 << IchVmcr.PMR_SHIFT) | IchVmcr.ENG1;
    run(this.guest.load(0, 0));
    run(writeDistEnable(dist, true, false));
    run(writePriority(dist, this.irq(this.vmFd, intid), 0x80));
    run(setEnabled(dist, this.irq(this.vmFd, intid), false));
    run(this.gic.setActive(0, this.spi, true)); // the host has taken it, and left it active for the guest's end
    run(this.guest.inject(-1, intid, true, null));
    run(this.guest.flush(0));
    const taken = run(this.gic.virtualInterface(0).acknowledge(1));
    if (taken !== intid) throw new Error(`the guest takes ${taken}`);
  }

  /** vCPU 0 leaves its guest in the middle of that handler and comes back; then the handler ends the interrupt. */
  guestEnds({ gsi }: Forwarding): Thread {
    const { guest, gic } = this;
    function* work(): Step<void> {
      yield* guest.sync(0);
      yield* guest.flush(0);
      yield* gic.virtualInterface(0).endOfInterrupt(1, gsi + VGIC_NR_PRIVATE_IRQS);
      yield* guest.sync(0);
    }
    return new Thread("vcpu0", "vcpu", work);
  }

  private get guest(): Vgic {
    return this.vgic(this.vmFd);
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
