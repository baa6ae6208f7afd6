import type { MechanismName } from "../board/assign.js";
import { PersonError } from "../sim/person-error.js";
import type { Step } from "../sim/step.js";
import type { GuestMessage } from "../vmm/kvm.js";
import { must } from "../vmm/must.js";
import { noVectors, VfioPciClient } from "../vmm/pci-device.js";
import type { AssignedDevice } from "../vmm/platform-device.js";
import type { MessageFunction } from "../vmm/ppc-messages.js";
import { PPC_GUEST, type PpcVmm } from "../vmm/ppc-vmm.js";
import { DELIVERY_MECHANISMS } from "./mechanisms/all.js";
import type { Wire, WiredEventfds } from "./mechanisms/mechanism.js";
import type { GuestWiring } from "./stage.js";

/** Bus 0, device 1, function 0, as a configuration address has them. */
export const CONFIG_ADDRESS = 1 << 11;
const MESSAGE_ADDRESS = 0x400_0000_0000 % 0x1_0000_0000;

/** A vector whose source the guest's firmware chooses. */
export class VectorWire implements Wire {
  /** Its source; 0 while it has none. */
  line = 0;

  constructor(
    readonly index: number,
    readonly vector: number,
  ) {}

  get message(): GuestMessage {
    return { address: MESSAGE_ADDRESS, data: this.line };
  }
}

/** What of a function is wired, and how. */
export interface PowerFunctionOptions {
  /** Vectors of its capabilities. */
  readonly msi: number;
  readonly msix: number;
  /** The pin, by which it is served while it has no messages; null: it has none. */
  readonly pin: Wire | null;
  readonly vectors: readonly VectorWire[];
  readonly mechanism: MechanismName;
}

/**
 * An assigned function of a guest on Power as QEMU has it: its pin is wired from the beginning, and the guest's
 * ibm,change-msi puts messages in its place, and the pin in theirs. VFIO has one of the two at a time.
 */
export class PowerFunction implements MessageFunction, GuestWiring {
  readonly buid = PPC_GUEST.buid;
  readonly configAddress = CONFIG_ADDRESS;
  readonly msi: number;
  readonly msix: number;
  private device: { readonly assigned: AssignedDevice; readonly vfio: VfioPciClient } | null = null;
  /** What is wired now. */
  private wired: { readonly wire: Wire; readonly eventfds: WiredEventfds }[] = [];

  constructor(
    private readonly vmm: PpcVmm,
    private readonly options: PowerFunctionOptions,
  ) {
    this.msi = options.msi;
    this.msix = options.msix;
  }

  *begin(assigned: AssignedDevice): Step<void> {
    const { vfio } = assigned;
    if (!(vfio instanceof VfioPciClient)) throw new Error("only PCI functions are assigned on Power");
    this.device = { assigned, vfio };
    yield* vfio.prepare([]);
    yield* this.wirePin();
    this.vmm.messages.plug(this);
  }

  eventfds(): readonly WiredEventfds[] {
    const { vectors } = this.options;
    const made = vectors.map((vector) => this.wired.find(({ wire }) => wire === vector)?.eventfds);
    const found = made.filter((each) => each !== undefined);
    if (found.length < made.length) throw new PersonError(noVectors(Math.max(...vectors.map(({ vector }) => vector)) + 1));
    return found;
  }

  *setMessages(first: number, count: number): Step<number> {
    yield* this.unwire();
    const result = count === 0 ? 0 : yield* this.wireVectors(first, count);
    if (count === 0 || result !== 0) yield* this.wirePin();
    return result;
  }

  private *wireVectors(first: number, count: number): Step<number> {
    const { vectors, mechanism } = this.options;
    const result = yield* this.vfio.enableVectors(count);
    if (result !== 0) return result;
    for (let i = 0; i < vectors.length; i++) {
      if (vectors[i].vector >= count) continue;
      vectors[i].line = first + vectors[i].vector;
      yield* this.wire(vectors[i], mechanism);
    }
    return 0;
  }

  /** A level with a mechanism of its own kind: what has no listener for ends takes the VMM's way. */
  private *wirePin(): Step<void> {
    const { pin, mechanism } = this.options;
    if (pin !== null) yield* this.wire(pin, mechanism === "userspace" ? "userspace" : "irqfd+resample");
  }

  private *wire(wire: Wire, mechanism: MechanismName): Step<void> {
    const { assigned } = this.connected;
    this.wired.push({ wire, eventfds: yield* DELIVERY_MECHANISMS[mechanism].wire(this.vmm, assigned, wire) });
  }

  /** The interrupts of one kind go, all of them; a line that is high is lowered, as its wire is gone. */
  private *unwire(): Step<void> {
    const { vmm } = this;
    const old = this.wired;
    this.wired = [];
    for (let i = 0; i < old.length; i++) {
      const { wire, eventfds } = old[i];
      const isIrqfd = vmm.irqfds.some(({ trigger }) => trigger === eventfds.trigger);
      if (isIrqfd) must(yield* vmm.deassignIrqfd(eventfds.trigger, vmm.gsiOf(wire.line)), "KVM_IRQFD deassign");
    }
    if (old.length > 0) must(yield* this.vfio.disable(old[0].wire.index), "VFIO_DEVICE_SET_IRQS");
    for (let i = 0; i < old.length; i++) if (old[i].wire.message === null) must(yield* vmm.setLine(old[i].wire.line, false), "KVM_IRQ_LINE");
  }

  private get connected(): { readonly assigned: AssignedDevice; readonly vfio: VfioPciClient } {
    if (this.device === null) throw new Error("the function is not assigned yet");
    return this.device;
  }

  private get vfio(): VfioPciClient {
    return this.connected.vfio;
  }
}
