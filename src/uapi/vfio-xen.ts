// What virq adds to linux/vfio.h for a hypervisor that has no eventfds (vfio.md 21.4); the review of January 2012 asked for it.
import { _IO } from "./ioctl.js";
import { bytes, struct, u32, u64, u8 } from "./struct.js";
import { VFIO_BASE, VFIO_TYPE } from "./vfio.js";

/** Like SET_IRQS with ACTION_TRIGGER, for notifications of any kind. */
export const VFIO_DEVICE_SET_IRQ_NOTIFY = _IO(VFIO_TYPE, VFIO_BASE + 40);

/** Flags of vfio_irq_info: kinds that the index takes. */
export const VFIO_IRQ_INFO_NOTIFY_EVTCHN = 1 << 8;
export const VFIO_IRQ_INFO_NOTIFY_GUEST_MSI = 1 << 9;

/** Followed by `count` elements of `element_size` bytes. The low nibble of `flags` is the kind. */
export const vfio_irq_notify = struct("vfio_irq_notify", 24, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  start: u32(12),
  count: u32(16),
  element_size: u32(20),
});
export const VFIO_IRQ_NOTIFY_KIND_MASK = 0xf;
export const VFIO_IRQ_NOTIFY_EVENTFD = 1;
export const VFIO_IRQ_NOTIFY_EVTCHN = 2;
export const VFIO_IRQ_NOTIFY_GUEST_MSI = 3;

/** Port 0 is allocated, and comes back. */
export const vfio_irq_evtchn = struct("vfio_irq_evtchn", 8, { domid: u32(0), port: u32(4) });
/** Unsets, as a descriptor of -1 does. */
export const DOMID_INVALID = 0x7ff4;

export const vfio_irq_guest_msi = struct("vfio_irq_guest_msi", 24, {
  pirq: u32(0),
  gvec: u8(4),
  pad: bytes(5, 3),
  gflags: u32(8),
  gtable: u64(16),
});
