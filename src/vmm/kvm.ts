import type { Step } from "../sim/step.js";
import {
  KVM_CREATE_DEVICE,
  KVM_CREATE_IRQCHIP,
  KVM_ENABLE_CAP,
  KVM_CREATE_VCPU,
  KVM_CREATE_VM,
  KVM_IRQ_LINE,
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_MSI_VALID_DEVID,
  KVM_SET_GSI_ROUTING,
  KVM_SIGNAL_MSI,
  kvm_enable_cap,
  kvm_irq_routing,
  kvm_irq_routing_entry,
  kvm_msi,
  KVM_IRQFD,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_IRQFD_FLAG_RESAMPLE,
  KVM_SET_DEVICE_ATTR,
  KVM_SET_USER_MEMORY_REGION,
  KVM_ARM_VCPU_INIT,
  kvm_create_device,
  kvm_device_attr,
  kvm_irq_level,
  kvm_irqfd,
  kvm_userspace_memory_region,
  kvm_vcpu_init,
} from "../uapi/kvm.js";
import { Descriptor } from "./descriptor.js";

const SPI_TYPE = 1 << 24;

/** `/dev/kvm`. */
export class KvmSystem extends Descriptor {
  /** @param type 0 on every architecture modelled: default IPA size, default VM type */
  *createVm(type = 0): Step<number> {
    return yield* this.process.ioctl(this.fd, KVM_CREATE_VM, type);
  }
}

/** A message to the guest's local APICs or its ITS: the low half of its address, and its data. */
export interface GuestMessage {
  readonly address: number;
  readonly data: number;
  /** What it carries to an ITS. */
  readonly deviceId?: number;
}

/** Where a GSI leads: a pin of an in-kernel chip, or a message. */
export type GsiRoute = { readonly gsi: number } & ({ readonly chip: number; readonly pin: number } | { readonly message: GuestMessage });

/** A VM. */
export class KvmVm extends Descriptor {
  *createVcpu(id: number): Step<number> {
    return yield* this.process.ioctl(this.fd, KVM_CREATE_VCPU, id);
  }

  /** Size 0 deletes the slot. */
  *setMemory(slot: number, guestAddress: number, size: number, userAddress: number): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_userspace_memory_region.size);
    kvm_userspace_memory_region.slot.set(view, slot);
    kvm_userspace_memory_region.guest_phys_addr.setNumber(view, guestAddress);
    kvm_userspace_memory_region.memory_size.setNumber(view, size);
    kvm_userspace_memory_region.userspace_addr.setNumber(view, userAddress);
    return yield* this.call(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region.size);
  }

  /** KVM_IRQ_LINE for a GSI of an x86 VM. */
  *setGsi(gsi: number, isHigh: boolean): Step<number> {
    const { view } = this.args;
    kvm_irq_level.irq.set(view, gsi);
    kvm_irq_level.level.set(view, isHigh ? 1 : 0);
    return yield* this.call(KVM_IRQ_LINE, kvm_irq_level.size);
  }

  *createIrqchip(): Step<number> {
    return yield* this.process.ioctl(this.fd, KVM_CREATE_IRQCHIP, 0);
  }

  *enableCapability(capability: number, argument: number): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_enable_cap.size);
    kvm_enable_cap.cap.set(view, capability);
    kvm_enable_cap.args[0].setNumber(view, argument);
    return yield* this.call(KVM_ENABLE_CAP, kvm_enable_cap.size);
  }

  *signalMsi({ address, data, deviceId }: GuestMessage): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_msi.size);
    kvm_msi.address_lo.set(view, address);
    kvm_msi.data.set(view, data);
    kvm_msi.flags.set(view, deviceId === undefined ? 0 : KVM_MSI_VALID_DEVID);
    kvm_msi.devid.set(view, deviceId ?? 0);
    return yield* this.call(KVM_SIGNAL_MSI, kvm_msi.size);
  }

  /** KVM_SET_GSI_ROUTING: the whole table. */
  *setRoutes(routes: readonly GsiRoute[]): Step<number> {
    const { view } = this.args;
    const entry = kvm_irq_routing_entry;
    const size = kvm_irq_routing.size + entry.size * routes.length;
    this.args.clear(size);
    kvm_irq_routing.nr.set(view, routes.length);
    routes.forEach((route, i) => {
      const at = new DataView(view.buffer, kvm_irq_routing.size + entry.size * i, entry.size);
      entry.gsi.set(at, route.gsi);
      entry.type.set(at, "message" in route ? KVM_IRQ_ROUTING_MSI : KVM_IRQ_ROUTING_IRQCHIP);
      if ("message" in route) {
        entry.msi.address_lo.set(at, route.message.address);
        entry.msi.data.set(at, route.message.data);
        entry.msi.devid.set(at, route.message.deviceId ?? 0);
        entry.flags.set(at, route.message.deviceId === undefined ? 0 : KVM_MSI_VALID_DEVID);
      } else {
        entry.irqchip.irqchip.set(at, route.chip);
        entry.irqchip.pin.set(at, route.pin);
      }
    });
    return yield* this.call(KVM_SET_GSI_ROUTING, size);
  }

  /** KVM_IRQ_LINE for an SPI of an arm64 VM; `intid` is 32 or more. */
  *setSpi(intid: number, isHigh: boolean): Step<number> {
    const { view } = this.args;
    kvm_irq_level.irq.set(view, SPI_TYPE | intid);
    kvm_irq_level.level.set(view, isHigh ? 1 : 0);
    return yield* this.call(KVM_IRQ_LINE, kvm_irq_level.size);
  }

  /** @param resamplefd -1 for a plain irqfd */
  *assignIrqfd(fd: number, gsi: number, resamplefd: number): Step<number> {
    return yield* this.irqfd(fd, gsi, resamplefd < 0 ? 0 : KVM_IRQFD_FLAG_RESAMPLE, Math.max(resamplefd, 0));
  }

  *deassignIrqfd(fd: number, gsi: number): Step<number> {
    return yield* this.irqfd(fd, gsi, KVM_IRQFD_FLAG_DEASSIGN, 0);
  }

  private *irqfd(fd: number, gsi: number, flags: number, resamplefd: number): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_irqfd.size);
    kvm_irqfd.fd.set(view, fd);
    kvm_irqfd.gsi.set(view, gsi);
    kvm_irqfd.flags.set(view, flags);
    kvm_irqfd.resamplefd.set(view, resamplefd);
    return yield* this.call(KVM_IRQFD, kvm_irqfd.size);
  }

  /** The new device's descriptor, or a negative errno. */
  *createDevice(type: number): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_create_device.size);
    kvm_create_device.type.set(view, type);
    const result = yield* this.call(KVM_CREATE_DEVICE, kvm_create_device.size);
    if (result < 0) return result;
    this.args.load(kvm_create_device.size);
    return kvm_create_device.fd.get(view);
  }
}

/** A vCPU. */
export class KvmVcpu extends Descriptor {
  /** @param features KVM_ARM_VCPU_* bits of the first word */
  *init(target: number, features: number): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_vcpu_init.size);
    kvm_vcpu_init.target.set(view, target);
    view.setUint32(4, features, true);
    return yield* this.call(KVM_ARM_VCPU_INIT, kvm_vcpu_init.size);
  }
}

const PAYLOAD = 64;

/** A KVM device: its attributes. */
export class KvmDevice extends Descriptor {
  /** Sets an attribute without payload. */
  *set(group: number, attr: number): Step<number> {
    return yield* this.setAttr(group, attr, 0);
  }

  /** Sets an attribute whose payload is a u32 or s32. */
  *setU32(group: number, attr: number, value: number): Step<number> {
    this.args.view.setUint32(PAYLOAD, value, true);
    return yield* this.setAttr(group, attr, this.args.address + PAYLOAD);
  }

  /** Sets an attribute whose payload is a u64, below 2^53. */
  *setU64(group: number, attr: number, value: number): Step<number> {
    this.args.view.setUint32(PAYLOAD, value % 0x1_0000_0000, true);
    this.args.view.setUint32(PAYLOAD + 4, Math.floor(value / 0x1_0000_0000), true);
    return yield* this.setAttr(group, attr, this.args.address + PAYLOAD);
  }

  /** Sets an attribute whose payload is a row of u32. */
  *setWords(group: number, attr: number, ...words: number[]): Step<number> {
    words.forEach((word, i) => this.args.view.setUint32(PAYLOAD + 4 * i, word, true));
    return yield* this.setAttr(group, attr, this.args.address + PAYLOAD);
  }

  private *setAttr(group: number, attr: number, address: number): Step<number> {
    const { view } = this.args;
    kvm_device_attr.flags.set(view, 0);
    kvm_device_attr.group.set(view, group);
    kvm_device_attr.attr.setNumber(view, attr);
    kvm_device_attr.addr.setNumber(view, address);
    return yield* this.call(KVM_SET_DEVICE_ATTR, PAYLOAD * 2);
  }
}
