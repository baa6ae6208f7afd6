// A device of one's own in sixty lines: it adds up its guest's memory and interrupts the guest, assigned by VFIO and delivered by
// KVM without user space. node examples/own-device.ts (Node 22.18 or later reads TypeScript).
import { type BarRegisters, type DmaPort, must, Pc, pciCapabilities, PciFunction, type PciSlot, X86_GUEST, X86Software } from "virq";

const REGISTER = { ADDRESS: 0, LENGTH: 4, SUM: 8, DONE: 12 };
const [VECTOR, GSI, TEXT_AT] = [0x41, 24, 0x12_0000];

/** Adds up LENGTH bytes at ADDRESS, and sends a message; the driver writes DONE. */
class Adder implements BarRegisters {
  readonly fn: PciFunction;
  readonly dma: DmaPort;
  address = 0;
  sum = 0;
  done = 0;

  constructor(slot: PciSlot) {
    const bars = [{ index: 0, size: 0x1000, kind: "mem32", registers: this }] as const;
    const capabilities = [pciCapabilities.expressCapability({ hasFlr: true }), pciCapabilities.msiCapability({ vectors: 1 })];
    this.fn = new PciFunction({ name: slot.name, requesterId: slot.requesterId, vendor: 0x1d0f, device: 1, classCode: 0xff0000, bars, capabilities });
    this.dma = slot.dma;
  }

  read(offset: number): number {
    return offset === REGISTER.SUM ? this.sum : 0;
  }

  write(offset: number, _size: number, value: number): void {
    if (offset === REGISTER.ADDRESS) this.address = value;
    else if (offset === REGISTER.DONE) this.done++;
    else if (offset === REGISTER.LENGTH) {
      const bytes = new Uint8Array(value);
      this.sum = this.dma.read(this.address, bytes) ? bytes.reduce((total, byte) => total + byte, 0) : -1;
      this.fn.vector(0).pulse();
    }
  }
}

/** A guest whose driver has `text` added up: what the device found, and how often the guest's handler ran. */
export function interruptedByItsDevice(text = "virq"): { sum: number; handled: number } {
  const pc = new Pc();
  const adders: Adder[] = [];
  const plugged = pc.plug((slot) => (adders[0] = new Adder(slot)).fn);
  const at = (register: number): number => X86_GUEST.devices + register;
  const driver = { vector: VECTOR, pin: null, address: at(REGISTER.DONE), accessesPerService: 1 };
  const stores = [[at(REGISTER.ADDRESS), TEXT_AT], [at(REGISTER.LENGTH), text.length]] as const;
  const software = new X86Software({ base: X86_GUEST.code, scratch: X86_GUEST.scratch, devices: [driver], stores, eoi: "x2apic", idle: "hlt", handlerNs: 500 });
  const vmm = pc.start(software);
  vmm.process.memory.copyOut(vmm.ram.user + TEXT_AT, new TextEncoder().encode(text));
  const assigned = pc.assign(vmm, plugged);
  // The device's message signals an eventfd, and KVM makes it the guest's message: interrupt 0 of the device is GSI 24.
  const eventfd = vmm.eventfd();
  vmm.routeMessage(GSI, { address: 0xfee0_0000, data: VECTOR });
  must(vmm.vm.assignIrqfd(eventfd, GSI, -1), "KVM_IRQFD");
  must(assigned.vfio.setTrigger(0, eventfd), "VFIO_DEVICE_SET_IRQS");
  vmm.run();
  pc.sim.settle();
  return { sum: adders[0].sum, handled: adders[0].done };
}

console.log(interruptedByItsDevice());
