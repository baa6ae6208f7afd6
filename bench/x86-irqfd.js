// An irqfd of an x86 VM from the signal of its eventfd to the guest's EOI, without the guest's own exits. Every cycle looks
// whether its interrupt came and ended.
import { path } from "./measure.js";

const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const { KvmMachine } = await from("explore/stages/kvm-machine");
const { X86 } = await from("kvm/x86/x86");
const K = await from("uapi/kvm");

const VECTOR = 0x31;
const LEVEL = 0x8000;
const MESSAGE_GSI = 40;
const MESSAGES = 0xfee00000;
const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOI = 0xb0;

/** A VM with one vCPU, whose local APIC is enabled; nobody traces. */
function machine() {
  const m = new KvmMachine({ arch: new X86() });
  const fd = m.createVm();
  m.ioctl(fd, K.KVM_CREATE_IRQCHIP, 0);
  m.ioctl(fd, K.KVM_CREATE_VCPU, 0);
  m.sim.traceTo(null);
  const { arch, vcpus } = m.vm(fd);
  const { apic } = vcpus[0];
  apic.mmioWrite(0xf0, 4, 0x1ff);
  for (const port of [0x21, 0xa1]) arch.pic.ports.pioWrite(vcpus[0], port, 1, 0xff);
  return { m, fd, arch, vcpu: vcpus[0], apic };
}

/** The guest takes the vector and writes EOI. */
function serve(apic) {
  const vector = apic.nextInterrupt();
  if (vector !== VECTOR) throw new Error(`vector ${vector} came`);
  apic.take(vector);
  apic.mmioWrite(EOI, 4, 0);
}

/**
 * Eventfd, irqfd, its worker, pin, local APIC, acknowledge, EOI, resampler, de-assert, resamplefd.
 * @param pin below 16 it is a line of the PICs too, which are told of every change
 */
function levelCycle(pin) {
  const { m, fd, arch, vcpu, apic } = machine();
  const { ioapic } = arch;
  ioapic.mmioWrite(vcpu, IOREGSEL, 4, 0x10 + 2 * pin, 0);
  ioapic.mmioWrite(vcpu, IOWIN, 4, LEVEL | VECTOR, 0);
  const [trigger, resample] = [m.eventfd(), m.eventfd()];
  m.irqfd(fd, trigger, pin, K.KVM_IRQFD_FLAG_RESAMPLE, resample);
  apic.handled.rescan();
  const [raised, told] = [m.context(trigger), m.context(resample)];
  return () => {
    const { signals } = told;
    raised.signal();
    m.sim.settle();
    serve(apic);
    if (told.signals !== signals + 1 || ioapic.irr !== 0) throw new Error("the level cycle does not come round");
  };
}

/** Eventfd, irqfd, its cached route, local APIC, acknowledge, EOI: all in the call that signals. */
function messageCycle() {
  const { m, fd, apic } = machine();
  const trigger = m.eventfd();
  m.route(fd, [{ gsi: MESSAGE_GSI, type: K.KVM_IRQ_ROUTING_MSI, words: [MESSAGES, 0, VECTOR] }]);
  m.irqfd(fd, trigger, MESSAGE_GSI);
  const raised = m.context(trigger);
  return () => {
    raised.signal();
    serve(apic);
  };
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  level: (note) => path(note, "level cycle with resample, IOAPIC", levelCycle(20), { budget: 400, kernel: "8000-15000 ns" }),
  pic: (note) => path(note, "level cycle with resample, IOAPIC and PIC", levelCycle(11), { budget: 400, kernel: "8000-15000 ns" }),
  message: (note) => path(note, "message by irqfd, to the EOI", messageCycle(), { budget: 150 }),
};
