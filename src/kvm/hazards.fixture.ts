import type { Process } from "../host/process.js";
import { Context } from "../sim/context.js";
import type { Step } from "../sim/step.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC as IOAPIC } from "../uapi/x86.js";
import * as V from "../uapi/vfio.js";
import { ArmMachine } from "./arm.fixture.js";
import type { Hazards } from "../sim/hazards.js";
import { routingBytes, TestMachine } from "./kvm.fixture.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";
import { AssignedDevice } from "./platform-device.fixture.js";
import type { Vm } from "./vm.js";

export type Switches = Partial<Hazards>;

export const GSI = 5;
/** Each call of a program has its argument to itself. */
const ARGUMENTS = 0x20000;
const ROOM = 0x200;

/** A thread that makes one call: an ioctl, or what `instead` does. */
export class Call extends Context {
  /** Null until it has returned. */
  result: number | null = null;

  constructor(
    name: string,
    private readonly process: Process,
    private readonly fd: number,
    private readonly request: number,
    private readonly argument: number,
    private readonly instead: (() => Step<void>) | null = null,
  ) {
    super(name, "user", 0);
  }

  override *body(): Step<void> {
    if (this.instead !== null) yield* this.instead();
    this.result = this.instead === null ? yield* this.process.ioctl(this.fd, this.request, this.argument) : 0;
  }
}

/** The guest acknowledges the pin that GSI 5 leads to. */
export function acknowledge(vm: Vm): Context {
  return new Call("acknowledge", vm.process, 0, 0, 0, () => vm.notifyAcked(IOAPIC, GSI));
}

function machine(switches: Switches) {
  const m = new TestMachine({ arch: new LineChip(), hazards: switches });
  const fd = m.createVm();
  const vm = m.vm(fd);
  const { arch: chip } = vm;
  if (!(chip instanceof LineChipVm)) throw new Error("not the line chip");
  let next = ARGUMENTS;
  const place = (bytes: Uint8Array): number => {
    const at = next;
    next += ROOM;
    m.process.memory.copyOut(at, bytes);
    return at;
  };
  return { m, fd, vm, chip, place };
}

/** A VM whose GSI 5 leads to a wire; arguments for irqfds on it and for ioeventfds at 0x1000. */
export function wires(switches: Switches) {
  const world = machine(switches);
  const { m, fd, place } = world;
  m.route(fd, [{ gsi: GSI, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [IOAPIC, GSI] }]);
  const argument = (e: number, flags = 0, resamplefd = 0): number => {
    const view = new DataView(new ArrayBuffer(K.kvm_irqfd.size));
    K.kvm_irqfd.fd.set(view, e);
    K.kvm_irqfd.gsi.set(view, GSI);
    K.kvm_irqfd.flags.set(view, flags);
    K.kvm_irqfd.resamplefd.set(view, resamplefd);
    return place(new Uint8Array(view.buffer));
  };
  const irqfd = Object.assign((e: number, flags = 0, resamplefd = 0) => m.irqfd(fd, e, GSI, flags, resamplefd), { argument });
  const ioeventfd = (e: number, flags: number): number => {
    const view = new DataView(new ArrayBuffer(K.kvm_ioeventfd.size));
    K.kvm_ioeventfd.fd.set(view, e);
    K.kvm_ioeventfd.addr.setNumber(view, 0x1000);
    K.kvm_ioeventfd.len.set(view, 4);
    K.kvm_ioeventfd.flags.set(view, flags);
    return place(new Uint8Array(view.buffer));
  };
  return { ...world, irqfd, ioeventfd };
}

/** An irqfd whose GSI leads to message 1 at address 1; the argument of a change to message 2 at address 2. */
export function messages(switches: Switches) {
  const world = machine(switches);
  const { m, fd, chip, place } = world;
  const message = (n: number) => routingBytes([{ gsi: GSI, type: K.KVM_IRQ_ROUTING_MSI, words: [n, 0, n] }]);
  m.ioctl(fd, K.KVM_SET_GSI_ROUTING, place(message(1)));
  const e = m.eventfd();
  m.irqfd(fd, e, GSI);
  chip.deliversInline = true;
  return { ...world, e, argument: place(message(2)) };
}

/** An arm64 VM with a KVM-VFIO device and an assigned platform device: calls that forward its interrupt or signal it. */
export function forwarding(switches: Switches = {}) {
  const m = new ArmMachine(3, switches);
  const vm = m.a3();
  const dev = m.createDevice(vm, K.KVM_DEV_TYPE_VFIO);
  const d = new AssignedDevice(m.kernel, m.process, 0x4e000, [50]);
  for (const [i, word] of [d.fd, 0, 0, 8].entries()) m.process.memory.setU32(0x30000 + 4 * i, word);
  const view = new DataView(new ArrayBuffer(K.kvm_device_attr.size));
  K.kvm_device_attr.group.set(view, K.KVM_DEV_VFIO_DEVICE);
  K.kvm_device_attr.attr.setNumber(view, K.KVM_DEV_VFIO_DEVICE_FORWARD_IRQ);
  K.kvm_device_attr.addr.setNumber(view, 0x30000);
  m.process.memory.copyOut(ARGUMENTS, new Uint8Array(view.buffer));
  const words = [24, V.VFIO_IRQ_SET_DATA_EVENTFD | V.VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, 1, m.eventfd()];
  for (const [i, word] of words.entries()) m.process.memory.setU32(0x31000 + 4 * i, word);
  const forward = (name: string) => new Call(name, m.process, dev, K.KVM_SET_DEVICE_ATTR, ARGUMENTS);
  const trigger = (name: string) => new Call(name, m.process, d.fd, V.VFIO_DEVICE_SET_IRQS, 0x31000);
  return { m, d, forward, trigger };
}
