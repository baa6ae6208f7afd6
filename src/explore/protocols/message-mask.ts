import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { Arguments } from "../../vmm/arguments.js";
import { type GsiRoute, KvmVm } from "../../vmm/kvm.js";
import { MessageVector, type RouteOwner } from "../../vmm/message-vector.js";
import { must } from "../../vmm/must.js";
import { MessageSent } from "../properties/message-sent.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import { Raise, Thread } from "../stages/threads.js";

const GSI = 24;
const MESSAGE = { address: 0xfee0_0000, data: 0x41 } as const;
const ARGUMENTS = 0x8_0000;

/** A VMM whose guest uses one vector, and no other route. */
class OneVector implements RouteOwner {
  readonly vm: KvmVm;
  readonly hazards: Hazards;
  readonly vector: MessageVector;

  constructor(
    { process, vmFd, sim }: CoreStage,
    readonly eventfd: number,
  ) {
    this.vm = new KvmVm(process, vmFd, new Arguments(process, ARGUMENTS));
    this.hazards = sim.hazards;
    this.vector = new MessageVector(this, eventfd, GSI, MESSAGE);
  }

  *setRoute(route: GsiRoute | null): Step<void> {
    must(yield* this.vm.setRoutes(route === null ? [] : [route]), "KVM_SET_GSI_ROUTING");
  }

  /** What the guest's two writes to the vector's entry make the vCPU's thread do. */
  *maskAndUnmask(): Step<void> {
    yield* this.vector.mask();
    yield* this.vector.unmask();
  }
}

export const maskAgainstSignal: Protocol = {
  name: "mask-against-signal",
  title: "A guest masks a message vector and unmasks it again while its device signals: the message is sent, at once or by the unmask.",
  source: "kvm-irq-core.md 2.3 AS13, 2.4; vfio.md 10",
  about: ["irqfd_deactivate", "irqfd_assign", "kvm_msi_set_irq"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const vmm = new OneVector(stage, stage.eventfd());
    run(vmm.vector.unmask());
    stage.settle();
    const device = new Raise(stage.driver(vmm.eventfd), 1, "device");
    return stage.program([device, new Thread("vcpu", "vcpu", () => vmm.maskAndUnmask())], { properties: [new MessageSent()] });
  },
};
