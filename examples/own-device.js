// A device of one's own, assigned to a guest and interrupting it, through VFIO's own calls: node examples/own-device.js
import * as virq from "virq";

const { pciCapabilities, vfio } = virq;
const MSIX = { vectors: 1, tableBar: 1, tableOffset: 0, pbaBar: 1, pbaOffset: 0x800 };
const [NAME, GUEST_RAM, ARGUMENTS, LAPIC, VECTOR] = ["0000:01:00.0", 0x100000, 0x1000, 0xfee00000, 0x41];

/** Adds up `length` bytes of the memory at `address`: write the address to register 0 and the length to 4; the sum is in 8. */
class Adder {
  constructor(dma) {
    const bars = [{ index: 0, size: 0x1000, kind: "mem32", registers: this }, { index: 1, size: 0x1000, kind: "mem32", registers: this }];
    const capabilities = [pciCapabilities.expressCapability({ hasFlr: true }), pciCapabilities.msixCapability(MSIX)];
    this.fn = new virq.PciFunction({ name: NAME, requesterId: 0x100, vendor: 0x1d0f, device: 1, classCode: 0xff0000, bars, capabilities, msix: MSIX });
    Object.assign(this, { dma, address: 0, sum: 0 });
  }
  read(offset) {
    return offset === 8 ? this.sum : 0;
  }
  write(offset, _size, value) {
    if (offset === 0) this.address = value;
    if (offset !== 4) return;
    const bytes = new Uint8Array(value);
    this.sum = this.dma.read(this.address, bytes) ? bytes.reduce((a, b) => a + b, 0) : -1;
    this.fn.vector(0).pulse();
  }
}

/** A host with the device in it, bound to vfio-pci. */
function machine() {
  const sim = new virq.Sim({ cpus: 2 });
  const host = new virq.X86Host(sim, [0]);
  const [nodes, bus, root] = [new virq.DeviceNodes(), new virq.Bus("pci"), new virq.PciRoot(host)];
  // Writes to this window are messages, and are not translated.
  const group = new virq.IommuGroup(sim, 1, { reserved: [{ start: 0xfee00000n, end: 0xfeefffffn, kind: "msi" }] });
  const core = new virq.Vfio(host, nodes);
  core.registerIommu(new virq.Type1Backend(sim));
  const { fn } = new Adder(new virq.IommuDma(new virq.Smmu(sim, "smmuv3"), group, 0));
  root.plug(fn, null);
  const device = new virq.PciDevice(root, fn, { bus: root.addBus(1, true), group });
  bus.addDevice(device);
  bus.addDriver(new virq.VfioPciDriver(core));
  device.setOverride("vfio-pci");
  bus.probe(NAME);
  return { sim, nodes };
}

/** What a monitor does, and then what its guest does: the sum that the guest reads, and the vectors that its CPU takes. */
export function interruptedByItsDevice(text = "virq") {
  const { sim, nodes } = machine();
  const process = new virq.Process(sim, "monitor");
  const { memory } = process;
  memory.map(ARGUMENTS, 0x2000);
  memory.map(GUEST_RAM, 0x10000);
  const call = (fd, request, ...words) => {
    words.forEach((word, i) => memory.setU32(ARGUMENTS + 4 * i, word));
    const result = process.ioctl(fd, request, ARGUMENTS);
    if (result < 0) throw new Error(`request ${request.toString(16)}: ${virq.errno.errnoName(result)}`);
    return result;
  };
  const [container, group] = [nodes.open(process, "/dev/vfio/vfio"), nodes.open(process, "/dev/vfio/1")];
  call(group, vfio.VFIO_GROUP_SET_CONTAINER, container);
  process.ioctl(container, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU);
  call(container, vfio.VFIO_IOMMU_MAP_DMA, 32, 3, GUEST_RAM, 0, 0, 0, 0x10000, 0);
  memory.copyOut(ARGUMENTS, new TextEncoder().encode(`${NAME}\0`));
  const device = process.ioctl(group, vfio.VFIO_GROUP_GET_DEVICE_FD, ARGUMENTS);
  const trigger = virq.eventfd2(process, 0, 0x800);
  call(device, vfio.VFIO_DEVICE_SET_IRQS, 24, 0x24, 2, 0, 1, trigger);
  const access = (how, offset, value) => (memory.setU32(ARGUMENTS, value), process[how](device, ARGUMENTS, 4, offset), sim.settle(), memory.getU32(ARGUMENTS));
  const irqchip = virq.X86Irqchip.create("full");
  const cpu = irqchip.addCpu();
  cpu.store(LAPIC + 0xf0, 0x1ff);

  // The guest: lets the device decode and master the bus, gives it work, and sleeps until it is interrupted.
  access("write", 7 * 2 ** 40 + 4, 0x0006);
  memory.copyOut(GUEST_RAM + 0x200, new TextEncoder().encode(text));
  access("write", 0, 0x200);
  access("write", 4, text.length);
  // The monitor: an event is a message to the guest's controller. With KVM an irqfd does it.
  if (process.read(trigger, ARGUMENTS, 8) === 8) irqchip.signalMsi(0, LAPIC, VECTOR);
  const vector = cpu.acknowledge();
  cpu.store(LAPIC + 0xb0, 0);
  return { sum: access("read", 8, 0), vector, isOver: cpu.acknowledge() < 0 };
}

console.log(interruptedByItsDevice());
