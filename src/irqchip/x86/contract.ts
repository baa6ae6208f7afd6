import type { Step } from "../../sim/step.js";
import type { IrqchipVcpu, IrqchipVm } from "../contract.js";

// What the x86 controllers and the VM are to each other (x86-irqchip.md). PIC, IOAPIC and local APICs know one another
// only through these interfaces; kvm/ implements the VM's and the vCPU's.

/** x86-irqchip.md 5.2 and 6.4: how an accepted message acts. */
export const enum DeliveryMode {
  FIXED,
  LOWEST_PRIORITY,
  SMI,
  /** Remote read: KVM's paravirtual unhalt. */
  REMOTE_READ,
  NMI,
  INIT,
  STARTUP,
  EXTINT,
}

/** Bits 19:18 of the ICR. */
export const enum Shorthand {
  NONE,
  SELF,
  ALL,
  ALL_BUT_SELF,
}

/** A message to local APICs (x86-irqchip.md 6). Every sender owns one and fills it anew: nothing is allocated. */
export class ApicMessage {
  /** Unsigned; 8 bits from an IOAPIC entry, up to 32 from an MSI or an x2APIC. */
  destination = 0;
  isLogical = false;
  mode = DeliveryMode.FIXED;
  vector = 0;
  /** Trigger: what the TMR bit becomes. */
  isLevel = false;
  /** False only for the INIT de-assert. */
  isAsserted = true;
  /** MSI address bit 3: one target, whatever the mode. */
  hasRedirectionHint = false;
  shorthand = Shorthand.NONE;
}

/** Told which vCPUs accepted a message: the IOAPIC's RTC accounting (5.7). */
export interface Receivers {
  add(vcpuIndex: number): void;
}

/** One vCPU, as the x86 controllers see it. Every `request…` sets its request bit and then kicks. */
export interface X86Vcpu extends IrqchipVcpu {
  /** KVM_REQ_EVENT (7.9): look for an interrupt before the next entry. Wakes a halted vCPU. */
  requestEvent(): Step<void>;
  /** KVM_REQ_SCAN_IOAPIC: rebuild the handled vectors before the next entry (8.3). */
  requestScanIoapic(): Step<void>;
  /** KVM_REQ_IOAPIC_EOI_EXIT, split mode: leave KVM_RUN with KVM_EXIT_IOAPIC_EOI for this vector unless it is no longer handled. */
  requestEoiExit(vector: number): Step<void>;
  /** One more NMI pended: at most two outstanding, one while NMIs are blocked. */
  pendNmi(): Step<void>;
  /** False where SMM is not supported. */
  pendSmi(): Step<boolean>;
  /** INIT or start-up was left in the local APIC's pending events (7.6): a look at the next entry. */
  requestInitEvents(): Step<void>;
  /** KVM_REQ_UNBLOCK: the local APIC's timer has expired; the vCPU injects it in its run loop. No look for an interrupt by itself. */
  requestUnblock(): Step<void>;
  /** Remote read: the paravirtual unhalt. */
  unhalt(): Step<void>;
}

/** The VM, as the x86 controllers see it. */
export interface X86IrqchipVm extends IrqchipVm {
  /** Online vCPUs by index; each has a local APIC unless the mode is none. */
  readonly vcpus: readonly X86Vcpu[];
  /** A pin's mask bit changed; chip lock held (kvm-irq-core.md 5.4). */
  notifyMasked(chip: number, pin: number, isMasked: boolean): Step<void>;
  /** kvm-irq-core.md 3.7: the owners behind a pin look again; false where no resampler is behind it. */
  notifyResampler(chip: number, pin: number): Step<boolean>;
  /** Is anybody told of this pin's acknowledges (8.3)? */
  hasAckNotifier(chip: number, pin: number): Step<boolean>;
  /** Byte-wide port accesses of the VM's PIO bus, registered by the PIC. */
  readonly pioBus: PioBus;
}

/** No byte: a port that takes the access and gives nothing. */
export const NOT_READ = -1;

/** A device on the VM's port bus. Accesses of other widths are the device's to refuse (4.1). */
export interface PioDevice {
  /** {@link NOT_READ} for a byte that cannot be read. */
  pioRead(vcpu: IrqchipVcpu, port: number, size: number): Step<number>;
  pioWrite(vcpu: IrqchipVcpu, port: number, size: number, value: number): Step<void>;
}

/** The VM's port bus. */
export interface PioBus {
  /** 0, or -EEXIST, -ENOSPC, -ENOMEM. */
  register(base: number, size: number, device: PioDevice): Step<number>;
  unregister(base: number, device: PioDevice): Step<void>;
}

/** All local APICs of a VM: what IOAPIC, MSI routes and PIC ask of them. */
export interface LocalApics {
  /**
   * 6.2 to 6.4 for a message that no local APIC sent: the sum of acceptances, 0 when nobody accepts, -1 when the slow
   * scan matched nobody. `receivers` is told who accepted.
   */
  deliver(message: ApicMessage, receivers: Receivers | null): Step<number>;
  /** Does this vCPU match the destination (6.2, without the 0xff quirk's sender)? For handled vectors and rescans. */
  matches(vcpuIndex: number, destination: number, isLogical: boolean): Step<boolean>;
  /** Is the vector in the vCPU's IRR or ISR (after the PIR was merged)? */
  isPendingOrInService(vcpuIndex: number, vector: number): Step<boolean>;
  /** 7.9 */
  acceptsPic(vcpuIndex: number): Step<boolean>;
  /** Adds the vector to the handled vectors that the running rescan collects (8.3); `isStale`: only because it is pending. */
  addHandled(vcpuIndex: number, vector: number, isStale: boolean): void;
}

/** The IOAPIC, as the local APICs and the VM drive it. */
export interface EoiSink {
  /** 5.6: a local APIC's EOI of a handled vector, `isLevel` from its TMR bit; false, too, while SPIV bit 12 suppresses the broadcast. */
  eoi(vcpuIndex: number, vector: number, isLevel: boolean): Step<void>;
  /** 8.3, full mode: adds this vCPU's handled vectors by {@link LocalApics.addHandled}. */
  scanEntries(vcpuIndex: number): Step<void>;
  /** 5.7: this vCPU's part of the RTC set anew from its IRR and ISR, after SET_LAPIC. SET_IRQCHIP does it for all by itself. */
  recountRtc(vcpuIndex: number): Step<void>;
}
