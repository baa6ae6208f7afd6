import { describe, expect, it } from "vitest";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import { Context } from "../sim/context.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { EBUSY, EEXIST } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC as IOAPIC } from "../uapi/x86.js";
import * as V from "../uapi/vfio.js";
import { ArmMachine } from "./arm.fixture.js";
import { BusKind } from "./io-bus.js";
import { TestMachine } from "./kvm.fixture.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";
import { AssignedDevice } from "./platform-device.fixture.js";

const CLEAN = { verdict: "ok", exhausted: true };
const PATIENCE = 60_000;

/** A thread that makes one call. */
class Caller extends Context {
  result: number | boolean | null = null;

  constructor(
    name: string,
    private readonly call: () => Step<number | boolean>,
  ) {
    super(name, "user", 0);
  }

  override *body(): Step<void> {
    this.result = yield* this.call();
  }
}

const ok = (): null => null;

/** H30: a guest writes where an ioeventfd is being removed. The signal may be late, never lost on freed memory. */
function removeAgainstWrite(): Program {
  const m = new TestMachine({ arch: new LineChip() });
  const fd = m.createVm();
  const vm = m.vm(fd);
  const e = m.eventfd();
  const context = m.context(e);
  const request = (flags: number) => {
    const bytes = new Uint8Array(K.kvm_ioeventfd.size);
    const view = new DataView(bytes.buffer);
    K.kvm_ioeventfd.fd.set(view, e);
    K.kvm_ioeventfd.addr.setNumber(view, 0x1000);
    K.kvm_ioeventfd.len.set(view, 4);
    K.kvm_ioeventfd.flags.set(view, flags);
    m.process.memory.copyOut(0x20000, bytes);
  };
  request(0);
  run(m.process.ioctl(fd, K.KVM_IOEVENTFD, 0x20000));
  request(K.KVM_IOEVENTFD_FLAG_DEASSIGN);
  const remove = new Caller("remove", () => m.process.ioctl(fd, K.KVM_IOEVENTFD, 0x20000));
  // The device's owner closes its descriptor as soon as the removal returns: nothing but the bus could hold the context.
  const close = new Caller("close", function* () {
    yield* m.sim.wait({ isOpen: () => remove.result !== null });
    return yield* m.process.close(e);
  });
  const write = new Caller("write", () => vm.buses.guestWrite(BusKind.MMIO, null, 0x1000, 4, 1, 0));
  return {
    sim: m.sim,
    contexts: [remove, close, write],
    check: ok,
    end() {
      if (remove.result !== 0) return `the removal answers ${String(remove.result)}`;
      if (context.isAlive) return "the context outlives its last holder";
      return context.signals === Number(write.result) ? null : "a write that was taken was not signalled";
    },
  };
}

/** H15: the owner raises again as soon as it is told. The line stays up for it, because it was lowered before. */
function raiseAgainAgainstAcknowledge(): Program {
  const m = new TestMachine({ arch: new LineChip() });
  const fd = m.createVm();
  m.route(fd, [{ gsi: 5, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [IOAPIC, 5] }]);
  const vm = m.vm(fd);
  const { arch } = vm;
  if (!(arch instanceof LineChipVm)) throw new Error("not the line chip");
  const [e, r] = [m.eventfd(), m.eventfd()];
  m.irqfd(fd, e, 5, K.KVM_IRQFD_FLAG_RESAMPLE, r);
  m.write(e, 1);
  const [trigger, told] = [m.context(e), m.context(r)];
  const acknowledge = new Caller("acknowledge", function* () {
    yield* vm.notifyAcked(IOAPIC, 5);
    return 0;
  });
  const owner = new Caller("owner", function* () {
    yield* m.sim.wait({ isOpen: () => told.signals > 0 });
    yield* trigger.signal();
    return 0;
  });
  return {
    sim: m.sim,
    contexts: [acknowledge, owner],
    check: ok,
    end: () => (arch.pin(IOAPIC, 5) === 2 ? null : "H15: the line is down while its device wants service"),
  };
}

function forwarding() {
  const m = new ArmMachine();
  const vm = m.a3();
  const dev = m.createDevice(vm, K.KVM_DEV_TYPE_VFIO);
  const d = new AssignedDevice(m.kernel, m.process, 0x4e000, [50]);
  for (const [i, word] of [d.fd, 0, 0, 8].entries()) m.process.memory.setU32(0x30000 + 4 * i, word);
  const attr = new Uint8Array(K.kvm_device_attr.size);
  const view = new DataView(attr.buffer);
  K.kvm_device_attr.group.set(view, K.KVM_DEV_VFIO_DEVICE);
  K.kvm_device_attr.attr.setNumber(view, K.KVM_DEV_VFIO_DEVICE_FORWARD_IRQ);
  K.kvm_device_attr.addr.setNumber(view, 0x30000);
  m.process.memory.copyOut(0x20000, attr);
  const forward = (name: string) => new Caller(name, () => m.process.ioctl(dev, K.KVM_SET_DEVICE_ATTR, 0x20000));
  return { m, d, forward };
}

/** H39: two threads forward the same interrupt: one link, one node, one reference. */
function forwardTwice(): Program {
  const { m, d, forward } = forwarding();
  const before = d.references;
  const contexts = [forward("one"), forward("two")];
  return {
    sim: m.sim,
    contexts,
    check: ok,
    end() {
      const results = contexts.map((context) => context.result);
      if (!results.includes(0) || !results.includes(-EEXIST)) return `H39: the calls answer ${results.join(" and ")}`;
      return d.references === before + 1 ? null : `H39: ${d.references - before} references`;
    },
  };
}

/** H36: forwarding against the installation of a trigger: never both an automasking handler and a forwarded interrupt. */
function forwardAgainstTrigger(): Program {
  const { m, d, forward } = forwarding();
  const e = m.eventfd();
  const words = [24, V.VFIO_IRQ_SET_DATA_EVENTFD | V.VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, 1, e];
  for (const [i, word] of words.entries()) m.process.memory.setU32(0x31000 + 4 * i, word);
  const change = forward("forward");
  const trigger = new Caller("trigger", () => m.process.ioctl(d.fd, V.VFIO_DEVICE_SET_IRQS, 0x31000));
  return {
    sim: m.sim,
    contexts: [change, trigger],
    check: ok,
    end() {
      if (trigger.result !== 0) return `SET_IRQS answers ${String(trigger.result)}`;
      if (change.result !== 0 && change.result !== -EBUSY) return `FORWARD answers ${String(change.result)}`;
      run(m.gic.setSpi(50, true));
      run(m.sim.settle());
      const isMasked = m.trace.lines("vfio_automask").length > 0;
      return isMasked === (change.result === 0) ? "H36: the handler does not suit the interrupt" : null;
    },
  };
}

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("hazards of the core, explored with their rules in force", () => {
  it("H30: an ioeventfd is removed under a writing guest", () => {
    expect(explore(removeAgainstWrite, { preemptions: 2 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H15: an owner raises again while the acknowledge that told it is still under way", () => {
    expect(explore(raiseAgainAgainstAcknowledge, { preemptions: 2 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H39: two threads forward the same interrupt", () => {
    expect(explore(forwardTwice, { preemptions: 1 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H36: one thread forwards, another installs the trigger", () => {
    expect(explore(forwardAgainstTrigger, { preemptions: 1 })).toMatchObject(CLEAN);
  }, PATIENCE);
});
