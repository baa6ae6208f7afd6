import { describe, expect, it } from "vitest";
import { current } from "../sim/context.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC as IOAPIC } from "../uapi/x86.js";
import { KvmMachine } from "../explore/stages/kvm-machine.js";
import { LineChip } from "./line-chip.fixture.js";
import {
  AckNotifier,
  MaskNotifier,
  notifyMasked,
  registerAckNotifier,
  registerMaskNotifier,
  unregisterAckNotifier,
  unregisterMaskNotifier,
} from "./notifiers.js";
import type { Vm } from "./vm.js";

class Ack extends AckNotifier {
  constructor(
    gsi: number,
    private readonly log: string[],
    private readonly name: string,
  ) {
    super(gsi);
  }
  override *acked(): Step<void> {
    this.log.push(this.name);
  }
}

class Mask extends MaskNotifier {
  constructor(
    gsi: number,
    private readonly log: string[],
  ) {
    super(gsi);
  }
  override *masked(isMasked: boolean): Step<void> {
    this.log.push(isMasked ? "masked" : "unmasked");
  }
}

/** A callback that takes itself off and waits. */
class Suicidal extends AckNotifier {
  constructor(
    private readonly vm: Vm,
    gsi: number,
  ) {
    super(gsi);
  }
  override *acked(): Step<void> {
    yield* unregisterAckNotifier(this.vm, this);
  }
}

function pins() {
  const m = new KvmMachine({ arch: new LineChip() });
  const fd = m.createVm();
  m.route(fd, [4, 5].map((gsi) => ({ gsi, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [IOAPIC, gsi] })));
  m.trace.clear();
  return { m, vm: m.vm(fd), log: [] as string[] };
}

describe("acknowledge notifiers", () => {
  it("are called for their GSI, the newest first, and register without a wait", () => {
    const { m, vm, log } = pins();
    for (const [gsi, name] of [[5, "old"], [4, "other"], [5, "new"]] as const) run(registerAckNotifier(vm, new Ack(gsi, log, name)));
    expect(m.trace.lines("srcu_wait")).toEqual([]);
    run(vm.notifyAcked(IOAPIC, 5));
    expect(log).toEqual(["new", "old"]);
    run(vm.notifyAcked(IOAPIC, 6)); // a pin that no GSI leads to
    expect(log).toHaveLength(2);
    expect(m.trace.lines("kvm_ack_irq")).toEqual(["kvm_ack_irq(2,5)", "kvm_ack_irq(2,6)"]);
  });

  it("are silent once unregistered, which waits", () => {
    const { m, vm, log } = pins();
    const notifier = new Ack(5, log, "gone");
    run(registerAckNotifier(vm, notifier));
    run(unregisterAckNotifier(vm, notifier));
    expect(m.trace.lines("srcu_wait")).toEqual(["srcu_wait(irq_srcu)"]);
    run(vm.notifyAcked(IOAPIC, 5));
    expect(log).toEqual([]);
  });

  it("H33: one that unregisters itself in its callback would wait for itself, and is reported", () => {
    const { vm } = pins();
    run(registerAckNotifier(vm, new Suicidal(vm, 5)));
    expect(() => run(vm.notifyAcked(IOAPIC, 5))).toThrow(STRAIGHT ? "waits for GracePeriod and nothing else can run" : "inside its own reader section");
    // The section stays open on the context that died in it.
    run(vm.irqSrcu.readUnlock(current().sectionIndices.at(-1) ?? 0));
  });
});

describe("mask notifiers", () => {
  it("are told of their GSI's pin, until they are unregistered, which waits", () => {
    const { m, vm, log } = pins();
    const notifier = new Mask(5, log);
    run(registerMaskNotifier(vm, notifier));
    run(notifyMasked(vm, IOAPIC, 5, true));
    run(notifyMasked(vm, IOAPIC, 4, true));
    run(notifyMasked(vm, IOAPIC, 5, false));
    expect(log).toEqual(["masked", "unmasked"]);
    run(unregisterMaskNotifier(vm, notifier));
    run(notifyMasked(vm, IOAPIC, 5, true));
    expect(log).toHaveLength(2);
    expect(m.trace.lines("srcu_wait")).toEqual(["srcu_wait(irq_srcu)"]);
  });
});
