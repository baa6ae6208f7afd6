import { describe, expect, it } from "vitest";
import { GuestMachine } from "../../explore/stages/guest-machine.js";
import { eventfd2, EventfdFile } from "../../host/eventfd.js";
import { run } from "../../sim/step.js";
import { EAGAIN, EBUSY, EEXIST, EFAULT, EINVAL, ENODEV, ENXIO } from "../../uapi/errno.js";
import { EFD_NONBLOCK } from "../../uapi/eventfd.js";
import * as K from "../../uapi/kvm.js";
import { ArmMachine } from "../../explore/stages/arm-machine.js";

const { KVM_IRQFD_FLAG_DEASSIGN: DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE: RESAMPLE } = K;

describe("irqfds on arm64", () => {
  it("vector 17: EAGAIN until the vGIC is initialised, before a bad descriptor and after a bad flag", () => {
    const m = new ArmMachine();
    for (const vm of [m.a0(), m.a3u()]) {
      expect(m.irqfd(vm, -1, 0)).toBe(-EAGAIN);
      expect(m.irqfd(vm, -1, 0, 8)).toBe(-EINVAL);
    }
  });

  it("vector 31: a plain irqfd raises a level line, and nobody lowers it", () => {
    const m = new ArmMachine();
    const vm = m.a3();
    m.configure(vm, 40, "level");
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 8)).toBe(0);
    m.trace.clear();
    m.write(e, 1);
    expect(m.irq(vm, 40).lineLevel).toBe(true);
    // The atomic path: the table is not asked again, no work runs.
    expect(m.trace.lines("kvm_set_irq", "vgic_update_irq_pending")).toEqual(["vgic_update_irq_pending(0,40,1)"]);
    m.irqfd(vm, e, 8, DEASSIGN);
    expect(m.irq(vm, 40).lineLevel).toBe(true);
  });

  it("pulses a level line from the initial poll, where the work item injects", () => {
    const m = new ArmMachine();
    const vm = m.a3();
    m.configure(vm, 40, "level");
    const e = m.eventfd(1);
    m.trace.clear();
    m.irqfd(vm, e, 8);
    expect(m.irq(vm, 40).lineLevel).toBe(false);
    expect(m.trace.lines("kvm_set_irq")).toEqual(["kvm_set_irq(8,1,0)", "kvm_set_irq(8,0,0)"]);
  });

  it("vector 32: a GSI beyond the SPIs has no route", () => {
    const m = new ArmMachine();
    const vm = m.a3();
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 100)).toBe(0);
    m.trace.clear();
    expect(m.write(e, 1)).toBe(8);
    expect(m.trace.lines("vgic_update_irq_pending")).toEqual([]);
  });

  it("vector 60: initialising the vGIC replaces the user's table", () => {
    const m = new ArmMachine();
    const vm = m.a3u();
    expect(m.route(vm, [{ gsi: 3, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [0, 9] }])).toBe(0);
    m.initVgic(vm);
    m.configure(vm, 35, "edge");
    m.configure(vm, 41, "edge");
    const e = m.eventfd();
    m.irqfd(vm, e, 3);
    m.write(e, 1);
    expect([m.irq(vm, 35).pendingLatch, m.irq(vm, 41).pendingLatch]).toEqual([true, false]);
  });
});

/** A guest that takes and ends SPI 40, and a resampling irqfd on its GSI. */
function guest(trigger: "level" | "edge") {
  const m = new GuestMachine({ guest: { spis: [{ intid: 40, trigger }] } }).boot();
  const eventfd = () => {
    const file = m.process.file(eventfd2(m.process, 0, EFD_NONBLOCK));
    if (!(file instanceof EventfdFile)) throw new Error("no eventfd");
    return file.context;
  };
  const fdOf = (context: ReturnType<typeof eventfd>) => {
    for (let fd = 0; ; fd++) {
      const file = m.process.file(fd);
      if (file instanceof EventfdFile && file.context === context) return fd;
    }
  };
  const [e1, r1] = [eventfd(), eventfd()];
  const view = new DataView(new ArrayBuffer(K.kvm_irqfd.size));
  K.kvm_irqfd.fd.set(view, fdOf(e1));
  K.kvm_irqfd.gsi.set(view, 8);
  K.kvm_irqfd.flags.set(view, RESAMPLE);
  K.kvm_irqfd.resamplefd.set(view, fdOf(r1));
  expect(m.call(m.vmFd, K.KVM_IRQFD, view)).toBe(0);
  m.settle();
  m.zero();
  const level = () => m.vgic.dist.irq(null, 40)?.lineLevel;
  return { m, e1, r1, level };
}

describe("resampling irqfds on arm64", () => {
  it("vector 44: a level SPI's end lowers the line, then tells the owner", () => {
    const { m, e1, r1, level } = guest("level");
    run(e1.signal());
    expect(level()).toBe(true);
    m.settle();
    expect(level()).toBe(false);
    expect(r1.count).toBe(1n);
    expect(m.trace.lines("vgic_update_irq_pending", "kvm_ack_irq", "kvm_set_irq", "eventfd_signal")).toEqual([
      `eventfd_signal(${e1.id})`,
      "vgic_update_irq_pending(0,40,1)",
      "kvm_ack_irq(0,8)",
      "kvm_set_irq(8,0,1)",
      "vgic_update_irq_pending(0,40,0)",
      `eventfd_signal(${r1.id})`,
    ]);
  });

  it("vector 45: an edge SPI is delivered, and its end tells nobody", () => {
    const { m, e1, r1 } = guest("edge");
    run(e1.signal());
    m.settle();
    expect(m.since.acks).toBe(1);
    expect(r1.count).toBe(0n);
    expect(m.trace.lines("kvm_ack_irq")).toEqual([]);
  });
});

describe("KVM_IRQ_LINE and KVM_SIGNAL_MSI on arm64", () => {
  it("vector 69: without an ITS there is no MSI and no device id", () => {
    const m = new ArmMachine();
    const vm = m.a3();
    expect(m.signalMsi(vm)).toBe(-ENODEV);
    expect(m.ioctl(vm, K.KVM_CHECK_EXTENSION, K.KVM_CAP_MSI_DEVID)).toBe(0);
  });

  it("vector 70: SPIs from 32 to the last of the VM", () => {
    const m = new ArmMachine();
    const vm = m.a3();
    m.configure(vm, 45, "level");
    m.trace.clear();
    expect([0x0100002d, 0x0100001f, 0x01000060].map((irq) => m.irqLine(vm, irq, 1))).toEqual([0, -EINVAL, -EINVAL]);
    expect(m.irq(vm, 45).lineLevel).toBe(true);
    expect(m.trace.lines("kvm_irq_line")).toEqual(["kvm_irq_line(1,0,45,1)", "kvm_irq_line(1,0,31,1)", "kvm_irq_line(1,0,96,1)"]);
  });

  it("vector 71: CPU lines belong to user-space controllers; PPIs want a vCPU and 16 to 31", () => {
    const m = new ArmMachine();
    const vm = m.a3();
    const results = [0x00000000, 0x0200000f, 0x0201001b, 0x03000020].map((irq) => m.irqLine(vm, irq, 1));
    expect(results).toEqual([-ENXIO, -EINVAL, -EINVAL, -EINVAL]);
    expect(m.irqLine(vm, 0x0200001b, 1)).toBe(0);
  });

  it("vector 73: a GICv3 that is not initialised answers EBUSY; a GICv2 initialises itself", () => {
    const m = new ArmMachine();
    expect(m.irqLine(m.a3u(), 0x0100002d, 1)).toBe(-EBUSY);
    const v2 = new ArmMachine(2);
    const vm = v2.a3u(K.KVM_DEV_TYPE_ARM_VGIC_V2);
    expect(v2.irqLine(vm, 0x0100002d, 1)).toBe(0);
    expect(v2.vgic(vm).isInitialized).toBe(true);
  });

  it("copies the input word of the STATUS request back unchanged", () => {
    const m = new ArmMachine();
    const vm = m.a3();
    let irq = 0;
    const fill = (view: DataView) => {
      K.kvm_irq_level.irq.set(view, 0x0100002d);
      K.kvm_irq_level.level.set(view, 1);
    };
    expect(m.ioctlOn(vm, K.KVM_IRQ_LINE_STATUS, K.kvm_irq_level, fill, (view) => (irq = K.kvm_irq_level.irq.get(view)))).toBe(0);
    expect(irq).toBe(0x0100002d);
  });

  it("drives a vCPU's inputs where no GIC is in the kernel", () => {
    const m = new ArmMachine();
    const vm = m.a0();
    m.ioctl(vm, K.KVM_CREATE_VCPU, 0);
    expect([0x00000000, 0x00000001, 0x00000002, 0x00010000].map((irq) => m.irqLine(vm, irq, 1))).toEqual([0, 0, -EINVAL, -EINVAL]);
  });
});

describe("creating a vGIC", () => {
  it("is for the model that the host has, once, and says by TEST whether it can be", () => {
    const m = new ArmMachine();
    const vm = m.a3u();
    expect(m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_V3)).toBe(-EEXIST);
    expect(m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_V2)).toBe(-ENODEV);
    expect(m.createDevice(m.a0(), K.KVM_DEV_TYPE_ARM_VGIC_V3, K.KVM_CREATE_DEVICE_TEST)).toBe(0);
    expect(m.ioctl(m.a0(), K.KVM_CREATE_IRQCHIP, 0)).toBe(-ENODEV);
  });

  it("KVM_CREATE_IRQCHIP makes a GICv2 without a descriptor, and leaves room for 8 vCPUs", () => {
    const m = new ArmMachine(2);
    const vm = m.a0();
    expect(m.ioctl(vm, K.KVM_CREATE_IRQCHIP, 0)).toBe(0);
    expect(m.ioctl(vm, K.KVM_CREATE_IRQCHIP, 0)).toBe(-EEXIST);
    expect(m.ioctl(vm, K.KVM_CHECK_EXTENSION, K.KVM_CAP_MAX_VCPUS)).toBe(8);
  });

  it("takes a GICv2's addresses by the request from before device attributes, and by its rules", () => {
    const m = new ArmMachine(2);
    const vm = m.a0();
    const setAddress = (id: number, address: number) =>
      m.ioctlOn(vm, K.KVM_ARM_SET_DEVICE_ADDR, K.kvm_arm_device_addr, (view) => {
        K.kvm_arm_device_addr.id.setNumber(view, id);
        K.kvm_arm_device_addr.addr.setNumber(view, address);
      });
    expect(setAddress(0, 0x0800_0000)).toBe(-ENODEV); // no GICv2 yet
    m.ioctl(vm, K.KVM_CREATE_IRQCHIP, 0);
    expect(setAddress(1 << 16, 0x0800_0000)).toBe(-ENODEV);
    expect(setAddress(0, 0x0800_0000)).toBe(0);
    expect(setAddress(0, 0x0800_0000)).toBe(-EEXIST);
    expect(setAddress(1, 0x0801_0001)).toBe(-EINVAL);
    expect(m.vgic(vm).dist.distBase).toBe(0x0800_0000);
    expect(m.ioctl(vm, K.KVM_ARM_SET_DEVICE_ADDR, 0x10)).toBe(-EFAULT);
  });

  it("goes with the VM: its device descriptor keeps the VM alive", () => {
    const m = new ArmMachine();
    const fd = m.a3();
    const vm = m.vm(fd);
    m.close(fd);
    expect(vm.isDestroyed).toBe(false);
    for (let other = fd + 1; other < fd + 4; other++) m.close(other);
    expect(vm.isDestroyed).toBe(true);
  });
});

describe("vector 84", () => {
  it("HAS answers for the forwarding group on arm64", () => {
    const m = new ArmMachine();
    const dev = m.createDevice(m.a3(), K.KVM_DEV_TYPE_VFIO);
    expect([1, 2, 3].map((attr) => m.attr(K.KVM_HAS_DEVICE_ATTR, dev, K.KVM_DEV_VFIO_DEVICE, attr))).toEqual([0, 0, -ENXIO]);
  });
});
