import { PRIMITIVES } from "../sim/cost.js";
import type { CostProfile } from "./profile.js";

/** A figure in CPU cycles at `gigahertz`. */
function cycles(gigahertz: number) {
  return (count: number, source: string) => ({ ns: Math.round((count / gigahertz) * 10) / 10, source });
}

/** How the source of a primitive begins that nobody has measured. */
export const NO_FIGURE = "no published figure";

const free = (source: string) => ({ ns: 0, source });

const ISCA = "Dall et al., ARM Virtualization: Performance and Architectural Implications, ISCA 2016";
const ASPLOS = "Dall and Nieh, KVM/ARM: The Design and Implementation of the Linux ARM Hypervisor, ASPLOS 2014";

const UNPUBLISHED = {
  contextSwitch: free("contained in wake, which was measured to the woken thread's first instruction"),
  ioctl: free("no published figure: an ioctl's parts are charged where they happen"),
  irqHandler: free("no published figure: the parts of a handler are charged where they happen"),
  workItem: free("no published figure for Arm"),
  mmapSwitch: free("no published figure for Arm"),
  guestHandler: free("given by the workload"),
};

function xgene2016(): CostProfile {
  const at = cycles(2.4);
  const gicAccess = at(35.5, `${ISCA}, Table II: half of the 71 cycles of Virtual IRQ Completion, one access to the GIC's CPU interface`);
  return {
    name: "xgene-2016",
    machine: "HP Moonshot m400, Applied Micro X-Gene (ARMv8.0, GICv2), 2.4 GHz, Linux 4.0-rc4, no VHE",
    primitives: {
      ...UNPUBLISHED,
      exit: at(4202, `${ISCA}, Table III: what KVM saves on a transition, summed (152+282+230+3,250+104+92+92)`),
      entry: at(2298, `${ISCA}: Hypercall of Table II (6,500) less the saving of Table III (4,202)`),
      vgicSync: free(`${ISCA}, Table III: contained in exit (VGIC registers, 3,250 cycles)`),
      vgicFlush: free(`${ISCA}, Table III: contained in entry (VGIC registers, 181 cycles)`),
      ipi: at(35.5, `${ISCA}: one access to the GIC; Virtual IPI (11,557) leaves nothing beyond the sender's exit and emulation and the receiver's exit and entry`),
      wake: at(11574, `${ISCA}, Table II: I/O Latency In (13,872: a host thread wakes an idle vCPU) less the entry (2,298)`),
      guestSwitch: at(3887, `${ISCA}, Table II: VM Switch (10,387) less the exit (4,202) and the entry (2,298)`),
      syscall: at(54, `${ASPLOS}, Table 3: two traps of 27 cycles; the kernel's own work is charged where it happens`),
      userExit: at(4129, `${ASPLOS}, Table 3: I/O User (10,119) less I/O Kernel (5,990)`),
      irqAck: gicAccess,
      irqEoi: gicAccess,
      irqDir: gicAccess,
      irqMask: gicAccess,
      irqUnmask: gicAccess,
      eventfdSignal: at(1822, `${ISCA}, Table II: I/O Latency Out (6,024: the guest kicks its backend through an eventfd) less the exit (4,202)`),
      deviceAccess: gicAccess,
      guestAccess: gicAccess,
    },
  };
}

function arndale2014(): CostProfile {
  const at = cycles(1.7);
  const gicAccess = at(213.5, `${ASPLOS}, Table 3: half of the 427 cycles of EOI+ACK, one access to the GIC's CPU interface`);
  const transition = at(2663, `${ASPLOS}, Table 3: half of Hypercall (5,326), whose two ways were not measured apart`);
  const fromXgene = `no figure for this board: ${ISCA}, Table II, the same cycles at this clock`;
  return {
    name: "arndale-2014",
    machine: "Insignal Arndale, Samsung Exynos 5250 (2 x Cortex-A15, GICv2), 1.7 GHz, Linux 3.10",
    primitives: {
      ...UNPUBLISHED,
      exit: transition,
      entry: transition,
      vgicSync: free(`${ASPLOS}, Table 3: contained in Hypercall with VGIC`),
      vgicFlush: free(`${ASPLOS}, Table 3: contained in Hypercall with VGIC`),
      ipi: at(2623, `${ASPLOS}, Table 3: IPI (14,366) less two Hypercalls (5,326 each), the in-kernel emulation (I/O Kernel less Hypercall, 664) and EOI+ACK (427)`),
      wake: at(11574, `${fromXgene}: I/O Latency In (13,872) less the entry (2,298)`),
      guestSwitch: at(3887, `${fromXgene}: VM Switch (10,387) less Hypercall (6,500)`),
      syscall: at(54, `${ASPLOS}, Table 3: two traps of 27 cycles; the kernel's own work is charged where it happens`),
      userExit: at(4129, `${ASPLOS}, Table 3: I/O User (10,119) less I/O Kernel (5,990)`),
      irqAck: gicAccess,
      irqEoi: gicAccess,
      irqDir: gicAccess,
      irqMask: gicAccess,
      irqUnmask: gicAccess,
      eventfdSignal: at(1822, `${fromXgene}: I/O Latency Out (6,024) less the exit (4,202)`),
      deviceAccess: gicAccess,
      guestAccess: gicAccess,
    },
  };
}

/** The same study's x86 machine: what it did not measure is 0 and says so. */
function xeon2016(): CostProfile {
  const at = cycles(2.1);
  const unmeasured = (what: string) => free(`${NO_FIGURE} for this machine: ${what}`);
  return {
    name: "xeon-2016",
    machine: "Dell PowerEdge r320, Intel Xeon E5-2450 (no APIC virtualisation), 2.1 GHz, Linux 4.0-rc4",
    primitives: {
      ...UNPUBLISHED,
      workItem: unmeasured("a work item"),
      mmapSwitch: unmeasured("mapping a region"),
      exit: at(560, `${ISCA}, Table II: I/O Latency Out (560: the guest kicks its backend through an eventfd)`),
      entry: at(740, `${ISCA}, Table II: Hypercall (1,300) less the exit (560)`),
      vgicSync: free("Arm's alone"),
      vgicFlush: free("Arm's alone"),
      ipi: at(2286, `${ISCA}, Table II: Virtual IPI (5,230) less the sender's exit (560) and emulation (Interrupt Controller Trap less Hypercall, 1,084), the receiver's exit (560) and entry (740)`),
      guestSwitch: at(3512, `${ISCA}, Table II: VM Switch (4,812) less the exit (560) and the entry (740)`),
      wake: at(18183, `${ISCA}, Table II: I/O Latency In (18,923: a host thread wakes an idle vCPU) less the entry (740)`),
      syscall: unmeasured("a system call"),
      userExit: unmeasured("KVM_RUN's return to user space"),
      irqAck: free("the processor acknowledges by itself"),
      irqEoi: unmeasured("an EOI of the host's local APIC"),
      irqDir: free("Arm's alone"),
      irqMask: unmeasured("a write to the IOAPIC or to a mask bit"),
      irqUnmask: unmeasured("a write to the IOAPIC or to a mask bit"),
      eventfdSignal: free(`${ISCA}, Table II: contained in exit (I/O Latency Out)`),
      deviceAccess: unmeasured("an access to a device"),
      guestAccess: unmeasured("a virtualised EOI"),
    },
  };
}

/** Nobody has published the parts of an interrupt's way through KVM on POWER8: counts alone say something. */
function power8(): CostProfile {
  const unmeasured = free(`${NO_FIGURE} for KVM on POWER8`);
  const each = PRIMITIVES.map((primitive) => [primitive, unmeasured] as const);
  return { name: "power8", machine: "POWER8 with KVM: no figure is published", primitives: { ...(Object.fromEntries(each) as CostProfile["primitives"]), guestHandler: UNPUBLISHED.guestHandler } };
}

/** The profiles that come with virq. */
export const COST_PROFILES: readonly CostProfile[] = [xgene2016(), arndale2014(), xeon2016(), power8()];

/** Charged where nobody names a profile. */
export const DEFAULT_PROFILE = "xgene-2016";
/** The same on a Power board. */
export const DEFAULT_POWER_PROFILE = "power8";
/** The same on an x86 board. */
export const DEFAULT_X86_PROFILE = "xeon-2016";
