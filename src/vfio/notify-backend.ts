import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";

/** An interrupt of a device's that somebody is to be told of without the host's having a handler. */
export interface NotifiedInterrupt {
  /** Of the device: VFIO_PCI_INTX_IRQ_INDEX and its like. */
  readonly index: number;
  /** What the hypervisor calls it. */
  readonly pirq: number;
}

/** An interrupt that is told of. Where one of the first two is missing, the user cannot do that: the guest's own controller does. */
export interface Notification {
  /** As if the device had interrupted. */
  signal?(): Step<void>;
  setMasked?(isMasked: boolean): Step<void>;
  detach(): Step<void>;
}

/**
 * A way of telling of a device's interrupts other than an eventfd (vfio.md 21.1, 21.4): a module. The core needs none, and a
 * device backend offers those that it was given.
 */
export interface NotifyBackend {
  readonly kind: string;
  /** VFIO_IRQ_NOTIFY_*, of SET_IRQ_NOTIFY. */
  readonly flag: number;
  /** VFIO_IRQ_INFO_NOTIFY_*, of GET_IRQ_INFO. */
  readonly infoFlag: number;
  /** Bytes of what SET_IRQ_NOTIFY has for each interrupt. */
  readonly elementSize: number;
  /** Can it tell of interrupts of this index? */
  suits(index: number): boolean;
  /** Tells from now on as the user's element says: null where that asks for nothing; a negative errno with nothing attached. */
  attach(process: Process, address: number, interrupt: NotifiedInterrupt): Step<Notification | null | number>;
}
