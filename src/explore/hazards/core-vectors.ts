import { irqBypassOf } from "../../host/irqbypass.js";
import { AckNotifier, registerAckNotifier, unregisterAckNotifier } from "../../kvm/notifiers.js";
import type { Vm } from "../../kvm/vm.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { EIO } from "../../uapi/errno.js";
import { KVM_IRQFD_FLAG_RESAMPLE as RESAMPLE } from "../../uapi/kvm.js";
import { explore } from "../explorer.js";
import { CoreStage } from "../stages/core-stage.js";
import { LoggedConsumer, LoggedProducer } from "../stages/logged-bypass.js";
import { Thread } from "../stages/threads.js";
import { entry, EOI, X86Machine } from "../stages/x86-machine.js";
import { shown } from "./cases.js";

/** Vectors of kvm-irq-core.md 11 that fail without a rule: each runs one to its end and says what it shows instead. */

const PIN = 11;
const MASKED_LEVEL = 0x1_8031;
const UNMASKED_LEVEL = 0x8031;

/** XL with an irqfd on pin 11 that resamples. */
function resampled(hazards: Partial<Hazards>) {
  const m = new X86Machine(hazards);
  const { vm, vcpu } = m.xl();
  const [e1, r1] = [m.eventfd(), m.eventfd()];
  m.irqfd(vm, e1, PIN, RESAMPLE, r1);
  m.trace.clear();
  return { m, vm, vcpu, e1, r1 };
}

/** Vector 36: user space holds the line too, which stays up through the de-assert. */
export function vector36(hazards: Partial<Hazards>): string | null {
  const { m, vm, vcpu, e1, r1 } = resampled(hazards);
  m.irqLine(vm, PIN, 1);
  m.write(e1, 1);
  const taken = m.guest(vcpu, ["sti", "nop", EOI, "iret", "nop"]);
  return shown(() => [...taken, m.sources(vm, PIN), m.count(r1)], [0x31, 0x31, 1, 1]);
}

/** Vector 40: an unmask with a request behind it tells the owner, and delivers nothing. */
export function vector40(hazards: Partial<Hazards>): string | null {
  const { m, vm, vcpu, e1, r1 } = resampled(hazards);
  m.guest(vcpu, entry(PIN, MASKED_LEVEL));
  m.write(e1, 1);
  const taken = m.guest(vcpu, [...entry(PIN, UNMASKED_LEVEL), "sti", "nop"]);
  return shown(() => [taken.length, m.count(r1), m.ioapic(vm, PIN).irr], [0, 1, 0]);
}

/** Vector 94: a consumer that refuses ends the connection, and what was stopped is started. */
export function vector94(hazards: Partial<Hazards>): string | null {
  const stage = new CoreStage(hazards);
  const manager = irqBypassOf(stage.sim);
  const key = stage.context(stage.eventfd());
  const log: string[] = [];
  const consumer = new LoggedConsumer(log);
  consumer.answer = -EIO;
  run(manager.registerProducer(new LoggedProducer(log), key));
  const answer = run(manager.registerConsumer(consumer, key));
  return shown(() => [answer, ...log], [-EIO, "p.stop", "c.stop", "p.add", "c.add", "p.del", "c.start", "p.start"]);
}

/** An acknowledge listener that takes itself off, and waits for it. */
class Suicidal extends AckNotifier {
  constructor(private readonly vm: Vm) {
    super(0);
  }

  override *acked(): Step<void> {
    yield* unregisterAckNotifier(this.vm, this);
  }
}

/** H33: null when an acknowledge that waits for itself is reported as what it is, in every interleaving with a second one. */
export function waitInsideReader(): string | null {
  const result = explore(
    () => {
      const stage = new CoreStage();
      run(registerAckNotifier(stage.core, new Suicidal(stage.core)));
      return stage.program([stage.acknowledge(0), new Thread("wait", "user", () => stage.core.irqSrcu.synchronize())]);
    },
    { preemptions: 1 },
  );
  if (result.verdict === "ok") return "an acknowledge that waits for itself is not reported";
  return result.message.includes("inside its own reader section") ? null : result.message;
}
