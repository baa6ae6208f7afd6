import { splitRaiseMapped } from "../../explore/protocols/assigned-device.js";
import type { Exhibit } from "../exhibit.js";

export const unmaskOnAccessWedge: Exhibit = {
  name: "unmask-on-access-wedge",
  title: "A VMM waits for a register access that never traps",
  year: 2022,
  cite: [
    { text: "cloud-hypervisor#4999, vfio: Fix INTx EOI with resample fd", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/issues/4999" },
    { text: "rust-vmm/vfio#24, which says that the VMM \"must guess the intx eoi\"", url: "https://github.com/rust-vmm/vfio/pull/24" },
    { text: "cloud-hypervisor#5239, using resamplefd to auto-unmask vfio INTx interrupt; not merged", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/pull/5239" },
  ],
  story:
    "VFIO masks INTx when it fires, and somebody has to unmask it when the guest is done. cloud-hypervisor, whose IOAPIC is in user space, took any trapped access to the device's registers for that moment. Registers that are mapped into the guest, as those of a fast device are, never trap: the first interrupt was the last. Sebastien Boeuf opened the issue in December 2022 after a hint by the user zsdaka, whose pull request has the fix: KVM reports the end of a level interrupt to user space, the IOAPIC there signals an eventfd, and VFIO unmasks when that eventfd is signalled. It was closed without being merged, and in August 2026 the issue is open and the guess still there. virq's VMM with a split irqchip does what the pull request does.",
  rule: "Only the end of the interrupt ends it: unmask at the EOI, by an eventfd that VFIO itself waits for.",
  protocol: splitRaiseMapped,
  off: "unmaskOnAccess",
  bound: { preemptions: 1, budget: 100 },
};
