// One level interrupt of an x86 VM through irqfd, IOAPIC, local APIC, EOI and resampler, without the guest's own exits.
const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const { KvmMachine } = await from("explore/stages/kvm-machine");
const { X86 } = await from("kvm/x86");
const K = await from("uapi/kvm");

const LEVEL_VECTOR = 0x8031;
const IOREGSEL = 0x00;
const IOWIN = 0x10;

/**
 * Signals the irqfd; the vCPU takes and ends; the line falls and the owner is told.
 * @param pin below 16 it is a line of the PICs too, which are told of every change
 */
export function ioapicCycle(pin) {
  const m = new KvmMachine({ arch: new X86() });
  const fd = m.createVm();
  m.ioctl(fd, K.KVM_CREATE_IRQCHIP, 0);
  m.ioctl(fd, K.KVM_CREATE_VCPU, 0);
  m.sim.traceTo(null);
  const { arch, vcpus } = m.vm(fd);
  const { apic } = vcpus[0];
  apic.mmioWrite(0xf0, 4, 0x1ff);
  for (const port of [0x21, 0xa1]) arch.pic.ports.pioWrite(vcpus[0], port, 1, 0xff);
  arch.ioapic.mmioWrite(vcpus[0], IOREGSEL, 4, 0x10 + 2 * pin, 0);
  arch.ioapic.mmioWrite(vcpus[0], IOWIN, 4, LEVEL_VECTOR, 0);
  const [trigger, resample] = [m.eventfd(), m.eventfd()];
  m.irqfd(fd, trigger, pin, K.KVM_IRQFD_FLAG_RESAMPLE, resample);
  apic.handled.rescan();
  const [raised, told] = [m.context(trigger), m.context(resample)];
  const cycle = () => {
    raised.signal();
    m.sim.settle();
    apic.take(apic.nextInterrupt());
    apic.eoi();
  };
  cycle();
  if (Number(told.count) !== 1) throw new Error("the level cycle does not come round");
  return cycle;
}
