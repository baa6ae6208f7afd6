import { describe, expect, it } from "vitest";
import { binding } from "../../guest/bindings.js";
import { ARGUMENT, DEVICE, GuestMachine } from "../../explore/stages/guest-machine.js";
import { eventfd2, EventfdFile } from "../../host/eventfd.js";
import { run, type Step } from "../../sim/step.js";
import { EAGAIN, EBADF, EBUSY, EEXIST, EFAULT, EINVAL, ENODEV, ENOENT } from "../../uapi/errno.js";
import { EFD_NONBLOCK } from "../../uapi/eventfd.js";
import * as K from "../../uapi/kvm.js";
import * as V from "../../uapi/vfio.js";
import { type ForwardableIrq, type ForwardingDevice, VfioDeviceFile } from "../../vfio/contract.js";
import { ArmMachine } from "../../explore/stages/arm-machine.js";
import { AssignedDevice } from "../../explore/stages/assigned-device.js";

const { KVM_DEV_VFIO_DEVICE: DEVICE_GROUP, KVM_DEV_VFIO_DEVICE_FORWARD_IRQ: FORWARD, KVM_DEV_VFIO_DEVICE_UNFORWARD_IRQ: UNFORWARD } = K;
const SPI = 50;

class PciDevice implements ForwardingDevice {
  readonly name = "0000:01:00.0";
  readonly isPlatform = false;
  references = 1;

  get(): void {
    this.references++;
  }

  *put(): Step<void> {
    this.references--;
  }

  forwardable(): ForwardableIrq | null {
    return null;
  }
}

class PciFile extends VfioDeviceFile {
  readonly kind = "vfio-device";
  readonly device = new PciDevice();

  override *setKvm(): Step<void> {}

  override enforcesCoherency(): boolean {
    return true;
  }
}

function assigned(setUp: "a0" | "a3u" | "a3" = "a3") {
  const m = new ArmMachine();
  const vm = m[setUp]();
  const dev = m.createDevice(vm, K.KVM_DEV_TYPE_VFIO);
  const d = new AssignedDevice(m.kernel, m.process, 0x4e000, [SPI, SPI + 1]);
  const forward = (fd: number, index = 0, subindex = 0, gsi = 8) => m.setAttr(dev, DEVICE_GROUP, FORWARD, [fd, index, subindex, gsi]);
  const unforward = (fd: number, index = 0, gsi = 8) => m.setAttr(dev, DEVICE_GROUP, UNFORWARD, [fd, index, 0, gsi]);
  return { m, vm, dev, d, forward, unforward };
}

describe("IRQ forward control", () => {
  it("vector 85: forwards once, unforwards once, whatever gsi the second names", () => {
    const { m, vm, d, forward, unforward } = assigned();
    expect([forward(d.fd), forward(d.fd)]).toEqual([0, -EEXIST]);
    expect(m.vgic(vm).mappedPhysicalIrq(-1, 40)).toBe(SPI);
    expect([unforward(d.fd, 0, 99), unforward(d.fd, 0, 99)]).toEqual([0, -ENOENT]);
    expect([m.vgic(vm).mappedPhysicalIrq(-1, 40), d.isForwarded(0)]).toEqual([-1, false]);
  });

  it("vector 86: the descriptor, the index and the gsi", () => {
    const { m, dev, d, forward } = assigned();
    expect(m.attr(K.KVM_SET_DEVICE_ATTR, dev, DEVICE_GROUP, FORWARD, [], 0x10)).toBe(-EFAULT);
    expect(forward(-1)).toBe(-EBADF);
    expect(forward(d.group)).toBe(-EINVAL);
    expect(forward(m.eventfd())).toBe(-EINVAL);
    expect(forward(d.fd, 7)).toBe(-EINVAL);
    expect(forward(d.fd, 0, 1)).toBe(-EINVAL);
    expect(forward(d.fd, 0, 0, 64)).toBe(-EINVAL);
    expect(forward(d.fd, 0, 0, 63)).toBe(0);
    expect(forward(d.fd, 1, 0, 63)).toBe(-EINVAL); // that SPI is linked already
  });

  it("vector 87: only while no trigger is installed", () => {
    const { m, d, forward, unforward } = assigned();
    const e = m.eventfd();
    expect([d.setEventfd(e), forward(d.fd)]).toEqual([0, -EBUSY]);
    expect([d.setEventfd(-1), forward(d.fd)]).toEqual([0, 0]);
    expect([d.setEventfd(e), unforward(d.fd)]).toEqual([0, -EBUSY]);
  });

  it("vector 88: ENODEV without a vGIC, EAGAIN before it is initialised", () => {
    const bare = assigned("a0");
    expect(bare.forward(bare.d.fd)).toBe(-ENODEV);
    const early = assigned("a3u");
    expect(early.forward(early.d.fd)).toBe(-EAGAIN);
    expect(early.d.references).toBe(1);
  });

  it("vector 89: a device that is not on the platform bus", () => {
    const { m, forward } = assigned();
    const file = new PciFile();
    expect(forward(m.process.install(file))).toBe(-EINVAL);
    expect(file.device.references).toBe(1);
  });

  it("vector 91: one device reference per node, and the descriptor's end takes all nodes", () => {
    const { m, dev, d, forward, unforward } = assigned();
    const files = d.references;
    expect([forward(d.fd, 0, 0, 8), forward(d.fd, 1, 0, 9)]).toEqual([0, 0]);
    expect(d.references).toBe(files + 2); // I10, H38
    unforward(d.fd, 0);
    expect(d.references).toBe(files + 1);
    unforward(d.fd, 0);
    forward(d.fd, 0, 0, 8);
    m.close(dev);
    expect([d.references, d.isForwarded(0), d.isForwarded(1)]).toEqual([files, false, false]);
  });

  it("takes nodes away at the end even where signalling is still set", () => {
    const { m, vm, dev, d, forward } = assigned();
    forward(d.fd);
    d.setEventfd(m.eventfd());
    m.close(dev);
    expect([d.isForwarded(0), m.vgic(vm).mappedPhysicalIrq(-1, 40)]).toEqual([false, -1]);
  });

  it("keeps a device that its user closes, quiet, until the node goes", () => {
    const { m, vm, dev, d, forward } = assigned();
    forward(d.fd);
    d.setEventfd(m.eventfd());
    const { device } = d;
    m.close(d.fd);
    m.close(d.group);
    run(m.gic.setSpi(SPI, true));
    m.settle();
    expect(m.trace.lines("vfio_trigger")).toEqual([]);
    expect([device.references, d.isForwarded(0)]).toEqual([1, true]);
    m.close(dev);
    expect([device.references, d.isForwarded(0), m.vgic(vm).mappedPhysicalIrq(-1, 40)]).toEqual([0, false, -1]);
  });

  it("refuses an interrupt that is active, or masked through VFIO", () => {
    const { m, d, forward } = assigned();
    run(m.gic.setActive(0, SPI, true));
    expect(forward(d.fd)).toBe(-EAGAIN);
    run(m.gic.setActive(0, SPI, false));
    d.setMasked(true);
    expect(forward(d.fd)).toBe(-EAGAIN);
    d.setMasked(false);
    expect(forward(d.fd)).toBe(0);
  });

  it("deactivates what it unmarks while it is active", () => {
    const { m, d, forward, unforward } = assigned();
    forward(d.fd);
    run(m.gic.setActive(0, SPI, true));
    expect(unforward(d.fd)).toBe(0);
    expect(m.gic.isActive(0, SPI)).toBe(false);
  });
});

/** A guest whose driver for SPI 40 writes a device register, and the device's SPI 50 forwarded to it, or resampled. */
function running(isForwarded: boolean) {
  const m = new GuestMachine({ guest: { spis: [{ intid: 40, trigger: "level" }], devices: [binding(40, DEVICE)] } }).boot();
  const open = () => eventfd2(m.process, 0, EFD_NONBLOCK);
  const [e, r1] = [open(), open()];
  const d = new AssignedDevice(m.host, m.process, ARGUMENT, [SPI]);
  const words = (fd: number, request: number, ...values: number[]): number => {
    const bytes = new DataView(new ArrayBuffer(4 * values.length));
    for (const [i, value] of values.entries()) bytes.setUint32(4 * i, value >>> 0, true);
    return m.call(fd, request, bytes);
  };
  if (isForwarded) {
    const created = new DataView(new ArrayBuffer(K.kvm_create_device.size));
    K.kvm_create_device.type.set(created, K.KVM_DEV_TYPE_VFIO);
    expect(m.call(m.vmFd, K.KVM_CREATE_DEVICE, created)).toBe(0);
    const dev = m.process.memory.getU32(ARGUMENT + 4);
    for (const [i, word] of [d.fd, 0, 0, 8].entries()) m.process.memory.setU32(ARGUMENT + 0x100 + 4 * i, word);
    expect(words(dev, K.KVM_SET_DEVICE_ATTR, 0, DEVICE_GROUP, FORWARD, 0, ARGUMENT + 0x100, 0)).toBe(0);
  }
  expect(words(m.vmFd, K.KVM_IRQFD, e, 8, K.KVM_IRQFD_FLAG_RESAMPLE, r1, 0, 0, 0, 0)).toBe(0);
  expect(d.setEventfd(r1, V.VFIO_IRQ_SET_ACTION_UNMASK)).toBe(0);
  expect(d.setEventfd(e)).toBe(0);
  m.settle();
  m.zero();
  const owner = m.process.file(r1);
  if (!(owner instanceof EventfdFile)) throw new Error("no eventfd");
  return { m, d, resamplefd: owner.context };
}

/** The device keeps its line up through the first service, and lowers it in the second. */
function raiseForTwo(m: GuestMachine): void {
  let services = 0;
  m.threads[0].onWrite = function* () {
    if (++services === 2) yield* m.gic.setSpi(SPI, false);
  };
  run(m.gic.setSpi(SPI, true));
  m.settle();
}

describe("a level interrupt of an assigned device", () => {
  it("vector 90: forwarded, the guest completes it: never masked, no acknowledge event, resamplefd silent", () => {
    const { m, resamplefd } = running(true);
    raiseForTwo(m);
    expect(m.trace.lines("irq_mask", "irq_unmask", "vfio_automask", "vfio_unmask", "kvm_ack_irq")).toEqual([]);
    expect(m.trace.lines("vgic_update_irq_pending").filter((line) => line.includes(",40,"))).toEqual([
      "vgic_update_irq_pending(0,40,1)",
      "vgic_update_irq_pending(0,40,1)",
    ]);
    expect(m.since.acks).toBe(2);
    expect(resamplefd.signals).toBe(0);
    expect(m.gic.isActive(0, SPI)).toBe(false);
  });

  it("automasked, it is masked, acknowledged, resampled and unmasked for each service", () => {
    const { m, resamplefd } = running(false);
    raiseForTwo(m);
    expect(m.trace.lines("vfio_automask")).toHaveLength(2);
    expect(m.trace.lines("vfio_unmask")).toHaveLength(2);
    expect(m.trace.lines("kvm_ack_irq")).toHaveLength(2);
    expect(m.since.acks).toBe(2);
    expect(resamplefd.signals).toBe(2);
    expect(m.gic.isActive(0, SPI)).toBe(false);
  });
});
