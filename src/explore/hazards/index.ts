import type { HazardCase } from "../hazard-case.js";
import { GIC_HAZARDS, GIC_ITS_HAZARDS } from "./gic.js";
import { GIC_V4_HAZARDS } from "./gic-v4.js";
import { HOST_IRQ_HAZARDS } from "./host-irq.js";
import { KVM_IRQ_CORE_HAZARDS } from "./kvm-irq-core.js";
import { MPIC_HAZARDS } from "./mpic.js";
import { VFIO_HAZARDS } from "./vfio.js";
import { X86_IRQCHIP_HAZARDS } from "./x86-irqchip.js";
import { XICS_HAZARDS } from "./xics.js";

/** The numbered hazards of the specifications, in their order. */
export const HAZARD_CASES: readonly HazardCase[] = [...KVM_IRQ_CORE_HAZARDS, ...HOST_IRQ_HAZARDS, ...GIC_HAZARDS, ...GIC_ITS_HAZARDS, ...GIC_V4_HAZARDS, ...X86_IRQCHIP_HAZARDS, ...VFIO_HAZARDS, ...XICS_HAZARDS, ...MPIC_HAZARDS];
