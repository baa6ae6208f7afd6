import { numbered } from "./numbered.js";

/**
 * The primitives whose time is charged to a CPU's clock (design, section 4b). A cost profile gives each its
 * nanoseconds and the published source of the figure; `FREE_OF_COST` charges nothing.
 */
const MEANING = {
  exit: "world switch from guest to host",
  entry: "world switch from host to guest",
  vgicSync: "reading back one used list register",
  vgicFlush: "writing one list register",
  ipi: "from the send to the target's interrupt",
  wake: "from waking a blocked thread to its first instruction on an idle CPU",
  contextSwitch: "a change of thread on a CPU",
  guestSwitch: "from one vCPU's thread to another's on the same CPU, their world switches not included",
  syscall: "entry to and return from a system call",
  ioctl: "an ioctl's own work, beside the system call",
  userExit: "KVM_RUN's return to user space and the way back in",
  irqAck: "reading IAR on the physical controller",
  irqEoi: "writing EOIR",
  irqDir: "writing DIR",
  irqHandler: "a flow handler with its device handler",
  irqMask: "writing ICENABLER and waiting for it",
  irqUnmask: "writing ISENABLER",
  eventfdSignal: "signalling an eventfd, callbacks not included",
  workItem: "from queueing a work item to its run",
  deviceAccess: "one register access that reaches the real device",
  guestAccess: "a guest's CPU interface access that the hardware serves",
  guestHandler: "the guest handler's own work per interrupt",
  mmapSwitch: "mapping or unmapping a device region in the VMM",
};


/** The name of one thing that costs time: `"exit"`, `"ipi"`. A profile gives each its nanoseconds (design, section 4b). */
export type Primitive = keyof typeof MEANING;

/** All of them, in the order of a {@link CostTable}. */
export const PRIMITIVES = Object.keys(MEANING) as Primitive[];

/** What each primitive is. */
export const PRIMITIVE_MEANING: Readonly<Record<Primitive, string>> = MEANING;

/** The index of each primitive in a cost table: `Cost.exit`. */
export const Cost = numbered(MEANING);

/** Nanoseconds by primitive, in the order of {@link PRIMITIVES}. */
export type CostTable = Float64Array;

/** Every primitive costs nothing: counts alone matter. */
export const FREE_OF_COST: CostTable = new Float64Array(PRIMITIVES.length);
