import { current } from "./context.js";
import { numbered } from "./numbered.js";
import type { Sim } from "./sim.js";

/**
 * The one event vocabulary: every hop of an interrupt, by the kernel's tracepoint name where there is one
 * (kvm-irq-core.md 0.5, host-irq.md 0). The table gives each event its arguments, in order; a trace line shows them.
 */
const VOCABULARY = {
  // device
  device_raise: ["device", "index", "level"],
  device_lower: ["device", "index"],
  device_service: ["device", "index", "found"],
  // host
  host_ack: ["cpu", "intid"],
  host_eoi: ["cpu", "intid"],
  host_dir: ["cpu", "intid"],
  irq_handler: ["irq", "ret"],
  irq_mask: ["irq"],
  irq_unmask: ["irq"],
  irq_resend: ["irq", "how"],
  irq_disabled: ["irq"],
  irq_warning: ["irq", "text"],
  its_hw_command: ["command", "device", "event", "vpe", "outcome"],
  gic_hw_write: ["cpu", "register", "value"],
  hw_unpredictable: ["cpu", "what"],
  vpe_resident: ["cpu", "vpe"],
  vpe_away: ["cpu", "vpe", "pendingLast"],
  vpe_move: ["vpe", "cpu"],
  vpe_doorbell: ["vpe", "irq"],
  ipi: ["from", "to", "kind"],
  sched_wakeup: ["context", "kind"],
  sched_switch: ["cpu", "context"],
  sys_ioctl: ["fd", "request", "ret"],
  sys_close: ["fd", "ret"],
  eventfd_signal: ["id"],
  eventfd_write: ["id"],
  eventfd_refused: ["id"],
  bypass: ["op"],
  pi_notification: ["apicId", "vector"],
  pi_coalesced: ["requester", "vector", "cause"],
  intr_remap_fault: ["requester", "index", "reason"],
  iommu_fault: ["stream", "iova", "write", "type"],
  pci_reset: ["device", "how"],
  pci_intx: ["device", "disabled"],
  xen_memory_mapping: ["domain", "gfn", "frames", "add", "ret"],
  xen_evtchn_send: ["domain", "port", "delivered"],
  // vfio
  vfio_automask: ["device", "index"],
  vfio_unmask: ["device", "index"],
  vfio_trigger: ["device", "index"],
  vfio_signaling: ["device", "index", "on"],
  // kvm
  kvm_set_irq: ["gsi", "level", "source"],
  kvm_ack_irq: ["chip", "pin"],
  kvm_ioapic_set_irq: ["entryBits", "pin", "coalesced"],
  kvm_pic_set_irq: ["chip", "pin", "elcr", "imr", "coalesced"],
  kvm_ioapic_delayed_eoi_inj: ["entryBits", "pin"],
  irq_line_state: ["chip", "pin", "source", "old", "new", "result"],
  ioapic_service: ["pin", "reason", "result"],
  ioapic_dropped: ["pin", "cause"],
  pic_dropped: ["chip", "pin", "cause"],
  ioapic_remote_irr: ["pin", "value"],
  kvm_msi_set_irq: ["address", "data"],
  kvm_eoi: ["vcpu", "vector", "to"],
  kvm_apic: ["vcpu", "register", "value", "write"],
  kvm_apic_ipi: ["vcpu", "icr", "destination"],
  kvm_apic_accept_irq: ["vcpu", "mode", "level", "vector", "outcome"],
  apic_dropped: ["destination", "vector", "cause"],
  apic_take: ["vcpu", "vector"],
  handled_vectors: ["vcpu", "added", "removed"],
  kvm_pi_irte_update: ["hostIrq", "vcpu", "gsi", "vector", "posted"],
  irte_remapped: ["hostIrq", "gsi", "reason"],
  kvm_avic_incomplete_ipi: ["vcpu", "icr", "reason"],
  kvm_avic_doorbell: ["vcpu", "apic"],
  kvm_inj_virq: ["vcpu", "vector"],
  kvm_irq_line: ["type", "vcpu", "num", "level"],
  vgic_update_irq_pending: ["vcpu", "intid", "level"],
  irqfd_assign: ["eventfd", "gsi"],
  irqfd_inject: ["eventfd", "gsi", "by"],
  irqfd_deactivate: ["reason", "eventfd", "gsi"],
  irqfd_free: ["eventfd", "gsi"],
  resampler_create: ["gsi"],
  resampler_notify: ["gsi", "eventfd"],
  resampler_free: ["gsi"],
  irq_forward: ["device", "index", "gsi", "on", "by"],
  srcu_wait: ["domain"],
  route_swap: ["entries"],
  vcpu_mode: ["vcpu", "mode"],
  kvm_entry: ["vcpu"],
  kvm_exit: ["vcpu", "reason"],
  kvm_userspace_exit: ["vcpu", "reason", "ret"],
  vgic_lr: ["vcpu", "index", "intid", "state"],
  its_command: ["opcode", "device", "event", "code"],
  kvm_hcall: ["vcpu", "number", "status", "mode"],
  xics_icp: ["server", "before", "xisrBefore", "after", "xisrAfter"],
  xics_deliver: ["irq", "priority", "server", "admitted"],
  xics_reject: ["irq", "by"],
  xics_masked_pending: ["irq"],
  xics_drop: ["irq", "reason"],
  xics_resend: ["server", "blocks"],
  xics_eoi: ["server", "irq", "pqBefore", "pqAfter"],
  mpic_repair: ["rule", "irq", "cpu"],
  mpic_odd: ["what", "irq", "value"],
  // guest
  guest_ack: ["vcpu", "intid"],
  guest_eoi: ["vcpu", "intid"],
  guest_dir: ["vcpu", "intid"],
  guest_mmio: ["vcpu", "address", "write"],
  kvm_pio: ["vcpu", "write", "port", "size", "value"],
  guest_error: ["vcpu", "code"],
} as const;

/** The name of an event, by the kernel's tracepoint where there is one: `"kvm_set_irq"`. */
export type EventName = keyof typeof VOCABULARY;

/** Names in the order of their numbers. */
export const EVENT_NAMES = Object.keys(VOCABULARY) as EventName[];

/** Argument names of each event, by number. */
export const EVENT_ARGUMENTS: readonly (readonly string[])[] = Object.values(VOCABULARY);

/** The number of each event: `Ev.kvm_set_irq`. */
export const Ev = numbered(VOCABULARY);

/** One thing that happened. */
export interface TraceEvent {
  /** Counts from 1; the effect's `cause` names it. */
  readonly id: number;
  /** The event that led to this one; 0 for a first cause. */
  readonly cause: number;
  /** Virtual time, nanoseconds. */
  readonly timeNs: number;
  readonly cpu: number;
  readonly context: string;
  readonly name: EventName;
  /** Values in the order of {@link EVENT_ARGUMENTS}; names where a number would say nothing. */
  readonly args: readonly EventArgument[];
}

/** A number, or a name where a number would say nothing. */
export type EventArgument = number | string;

/** Takes events as they happen: a recorder, or a meter that only counts. Time and context are the world's `now()` and `current()`. */
export interface EventSink {
  event(
    sim: Sim,
    id: number,
    cause: number,
    kind: number,
    a?: EventArgument,
    b?: EventArgument,
    c?: EventArgument,
    d?: EventArgument,
    e?: EventArgument,
    f?: EventArgument,
  ): void;
}

/** Keeps everything: for tests and for writers that need the whole run. */
export class TraceBuffer implements EventSink {
  readonly events: TraceEvent[] = [];

  event(sim: Sim, id: number, cause: number, kind: number, ...args: (EventArgument | undefined)[]): void {
    const { cpu, name: context } = current();
    const known = args.filter((arg) => arg !== undefined);
    this.events.push({ id, cause, timeNs: sim.now(), cpu, context, name: EVENT_NAMES[kind], args: known });
  }

  /** "kvm_set_irq(8,1,0)" for each event whose name is asked for, or for all. */
  lines(...names: EventName[]): string[] {
    return this.events.filter((e) => names.length === 0 || names.includes(e.name)).map((e) => `${e.name}(${e.args.join(",")})`);
  }

  clear(): void {
    this.events.length = 0;
  }
}
