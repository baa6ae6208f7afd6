import { describe, expect, it } from "vitest";
import { eventfdContextOf } from "../host/eventfd.js";
import { IrqBypassConsumer, type IrqBypassProducer } from "../host/irqbypass.js";
import { run, type Step } from "../sim/step.js";
import { EAGAIN, EBADF, EINVAL, ENOSPC, ENOTTY, ERANGE } from "../uapi/errno.js";
import { BOOL, CLOSED, ERR, EVENTFD, INTX, MASK, MSI, MSIX, NONE, PciStage, type PciStageOptions, REQ, TRIGGER } from "../explore/stages/pci-stage.js";

const MASTER = 0x0006;

function ready(options: PciStageOptions = {}) {
  const world = new PciStage(options);
  const fds = world.ready();
  world.configWrite(fds.d, 4, 2, MASTER);
  const eventfds = (count: number): number[] => Array.from({ length: count }, () => world.eventfd());
  const trigger = (index: number, start: number, ...list: number[]): number => world.setIrqs(fds.d, index, EVENTFD | TRIGGER, start, list.length, ...list);
  const off = (index: number): number => world.setIrqs(fds.d, index, NONE | TRIGGER, 0, 0);
  const mode = (): number => run(world.vfioA.irqs.mode.get());
  const taken = (list: number[]): number[] => list.map((fd) => Math.max(world.take(fd), 0));
  return { world, ...fds, eventfds, trigger, off, mode, taken };
}

const NO_MODE = 5;

describe("MSI", () => {
  it("vector 51: one call enables four; the loopback signals its range; nothing is masked", () => {
    const { world, d, eventfds, trigger, taken } = ready();
    const E = eventfds(4);
    expect(trigger(MSI, 0, ...E)).toBe(0);
    expect(world.setIrqs(d, MSI, NONE | TRIGGER, 1, 2)).toBe(0);
    expect(taken(E)).toEqual([0, 1, 1, 0]);
    expect(world.setIrqs(d, MSI, BOOL | TRIGGER, 0, 4, 1, 0, 0, 1)).toBe(0);
    expect(taken(E)).toEqual([1, 0, 0, 1]);
    expect(world.setIrqs(d, MSI, NONE | MASK, 0, 1)).toBe(-ENOTTY);
  });

  it("every message of the function is one signal; counts add up, nothing is masked", () => {
    const { world, eventfds, trigger, taken } = ready();
    const E = eventfds(4);
    trigger(MSI, 0, ...E);
    for (const n of [3, 0, 3, 3]) world.event(n);
    expect(taken(E)).toEqual([1, 0, 0, 3]);
    expect(world.isDisIntx).toBe(true);
    const irq = world.A.vectors.irqOf(3);
    expect(world.machine.host.counts(irq)).toEqual({ taken: 3, kstat: 3, maskOps: 0, unmaskOps: 1 });
  });

  it("vector 52: a bad descriptor in the enabling call leaves nothing behind", () => {
    const { world, eventfds, trigger, mode } = ready();
    const [E0, E2, E3] = eventfds(3);
    expect(trigger(MSI, 0, E0, CLOSED, E2, E3)).toBe(-EBADF);
    expect([mode(), world.A.vectors.allocated, world.A.vectors.kind]).toEqual([NO_MODE, 0, "none"]);
  });

  it("vector 53: a bad descriptor later drops the vectors from start up to it, and those alone (23.11)", () => {
    const { world, eventfds, trigger, mode, taken } = ready();
    const E = eventfds(4);
    const [N1] = eventfds(1);
    trigger(MSI, 0, ...E);
    expect(trigger(MSI, 1, N1, CLOSED)).toBe(-EBADF);
    for (const n of [0, 1, 2, 3]) world.event(n);
    expect([taken(E), taken([N1]), mode()]).toEqual([[1, 0, 0, 1], [0], MSI]);
  });

  it("vector 54: fewer vectors than asked for are a positive answer, and nothing is enabled (23.12)", () => {
    const { world, eventfds, trigger, mode } = ready({ multiMsiLimit: 2 });
    const E = eventfds(4);
    expect(trigger(MSI, 0, ...E)).toBe(2);
    expect([mode(), world.A.vectors.allocated]).toEqual([NO_MODE, 0]);
    expect(trigger(MSI, 0, E[0], E[1])).toBe(0);
  });

  it("10.3: what the host has left is the answer: of MSI-X as many as there are, of MSI, whose data are consecutive, one", () => {
    for (const [index, wanted, spiCount, granted] of [[MSIX, 8, 5, 5], [MSI, 4, 3, 1]] as const) {
      const { world, eventfds, trigger, off, mode } = ready({ spiCount });
      const E = eventfds(wanted);
      expect([trigger(index, 0, ...E), mode(), world.A.vectors.allocated]).toEqual([granted, NO_MODE, 0]);
      expect([trigger(index, 0, ...E.slice(0, granted)), world.A.vectors.allocated, off(index)]).toEqual([0, granted, 0]);
    }
  });

  it("10.3: a host that has none left answers ENOSPC", () => {
    const { world, g, eventfds, trigger, mode } = ready({ spiCount: 4 });
    const b = world.deviceFd(g, world.B.name);
    expect(world.setIrqs(b, MSIX, EVENTFD | TRIGGER, 0, 4, ...eventfds(4))).toBe(0);
    for (const index of [MSI, MSIX]) expect([trigger(index, 0, ...eventfds(2)), mode()]).toEqual([-ENOSPC, NO_MODE]);
  });

  it("vector 55: another type is refused until this one is disabled", () => {
    const { world, d, eventfds, trigger, off } = ready();
    const E = eventfds(4);
    trigger(MSI, 0, ...E);
    expect(trigger(INTX, 0, E[0])).toBe(-EINVAL);
    expect(trigger(MSIX, 0, E[0])).toBe(-EINVAL);
    expect([off(MSIX), off(MSI), off(MSI)]).toEqual([-EINVAL, 0, -EINVAL]);
    expect(trigger(INTX, 0, E[0])).toBe(0);
    world.intx(true);
    expect([world.take(E[0]), d > 0]).toEqual([1, true]);
  });

  it("10.4: an empty range allocates up to its start, and refuses to allocate nothing", () => {
    const { world, trigger, off } = ready();
    expect(trigger(MSI, 0)).toBe(-ERANGE);
    expect(trigger(MSI, 3)).toBe(0);
    expect(world.A.vectors.allocated).toBe(3);
    expect(off(MSI)).toBe(0);
    expect(trigger(MSI, 0, -1)).toBe(0);
    expect([world.A.vectors.allocated, world.vfioA.irqs.msi.installed()]).toEqual([1, []]);
  });

  it("a masked vector pends in the function and is sent when its handler comes", () => {
    const { world, d, eventfds, trigger, taken } = ready({ isMsiMaskable: true });
    const E = eventfds(4);
    trigger(MSI, 0, E[0], -1, -1, -1);
    world.event(2);
    trigger(MSI, 2, E[2]);
    world.settle();
    expect([taken(E), d > 0]).toEqual([[0, 0, 1, 0], true]);
  });

  it("a function that masters no bus sends no message", () => {
    const { world, d, eventfds, trigger, taken } = ready();
    const E = eventfds(1);
    trigger(MSI, 0, ...E);
    world.configWrite(d, 4, 2, 0x0002);
    world.event(0);
    expect([taken(E), world.A.fn.messages.sent]).toEqual([[0], 0]);
  });
});

describe("MSI-X", () => {
  it("vector 56: a vector beyond those enabled needs dynamic allocation", () => {
    for (const [allocatesDynamically, result] of [[false, -EINVAL], [true, 0]] as const) {
      const { world, eventfds, trigger, taken } = ready({ allocatesDynamically });
      const E = eventfds(1);
      expect(trigger(MSIX, 0, -1)).toBe(0);
      expect(trigger(MSIX, 5, ...E)).toBe(result);
      world.event(5);
      expect([taken(E), world.A.vectors.allocated]).toEqual(allocatesDynamically ? [[1], 2] : [[0], 1]);
    }
  });

  it("vectors 57, 58, 59: a range that starts later allocates all before it; vectors come and go singly", () => {
    const { world, d, eventfds, trigger, off, mode, taken } = ready();
    const E = eventfds(2);
    expect(trigger(MSIX, 3, ...E)).toBe(0);
    expect(world.A.vectors.allocated).toBe(5);
    for (const n of [0, 3, 4, 4]) world.event(n);
    expect(taken(E)).toEqual([1, 2]);
    expect(world.setIrqs(d, MSIX, NONE | TRIGGER, 0, 8)).toBe(0);
    expect(taken(E)).toEqual([1, 1]);
    expect(trigger(MSIX, 3, -1)).toBe(0);
    expect(world.setIrqs(d, MSIX, NONE | TRIGGER, 3, 1)).toBe(0);
    expect(taken(E)).toEqual([0, 0]);
    expect([off(MSIX), mode(), world.A.vectors.allocated]).toEqual([0, NO_MODE, 0]);
  });

  it("vector 60: the range is that of the table", () => {
    const { world, d, eventfds, trigger } = ready();
    expect(trigger(MSIX, 8, ...eventfds(1))).toBe(-EINVAL);
    expect(world.setIrqs(d, MSIX, NONE | TRIGGER, 0, 9)).toBe(-EINVAL);
  });

  it("the table is written while memory decodes, even where the user has switched it off", () => {
    const { world, d, eventfds, trigger, taken } = ready();
    world.configWrite(d, 4, 2, 0x0004);
    const E = eventfds(2);
    expect(trigger(MSIX, 0, ...E)).toBe(0);
    expect(world.A.fn.peek(4, 2) & 2).toBe(0);
    world.event(1);
    expect(taken(E)).toEqual([0, 1]);
  });

  it("10.4, 4: a message that a reset behind the driver's back took is written again with the vector", () => {
    const { world, eventfds, trigger, taken } = ready();
    const E = eventfds(1);
    trigger(MSIX, 0, ...E);
    world.A.fn.table?.reset();
    world.event(0);
    expect(taken(E)).toEqual([0]);
    trigger(MSIX, 0, ...E);
    world.settle();
    expect(taken(E)).toEqual([1]);
    world.event(0);
    expect(taken(E)).toEqual([1]);
  });

  it("vector 28: GET_IRQ_INFO tells whether vectors can be added", () => {
    for (const [allocatesDynamically, flags] of [[false, 9], [true, 1]] as const) {
      const { world, d } = ready({ allocatesDynamically });
      expect(world.call(d, 0x3b6d, 16, 0, MSIX, 0)).toBe(0);
      expect([world.answer(4), world.answer(12)]).toEqual([flags, 8]);
    }
  });
});

/** Takes whatever producer comes with its key. */
class Consumer extends IrqBypassConsumer {
  readonly log: string[] = [];
  override *addProducer(producer: IrqBypassProducer): Step<number> {
    this.log.push(`+${producer.irq}`);
    return 0;
  }
  override *delProducer(producer: IrqBypassProducer): Step<void> {
    this.log.push(`-${producer.irq}`);
  }
}

describe("bypass", () => {
  it("vector 110: a vector pairs with the consumer of its eventfd; a swap disconnects it first, and signals plainly", () => {
    const { world, eventfds, trigger, taken } = ready();
    const [E, E2] = eventfds(2);
    trigger(MSI, 0, E);
    const irq = world.A.vectors.irqOf(0);
    const consumer = new Consumer();
    const context = eventfdContextOf(world.process, E);
    if (typeof context === "number") throw new Error("no eventfd");
    expect(run(world.machine.host.irqBypass.registerConsumer(consumer, context))).toBe(0);
    expect(consumer.log).toEqual([`+${irq}`]);
    expect(trigger(MSI, 0, E2)).toBe(0);
    expect([consumer.log, consumer.producer]).toEqual([[`+${irq}`, `-${irq}`], null]);
    world.event(0);
    expect(taken([E, E2])).toEqual([0, 1]);
  });

  it("10.7: in either order; a second producer of one eventfd is refused, and signals all the same", () => {
    const { world, eventfds, trigger, taken } = ready();
    const [E] = eventfds(1);
    const consumer = new Consumer();
    const context = eventfdContextOf(world.process, E);
    if (typeof context === "number") throw new Error("no eventfd");
    run(world.machine.host.irqBypass.registerConsumer(consumer, context));
    expect(trigger(MSI, 0, E, E)).toBe(0);
    expect(consumer.log).toHaveLength(1);
    world.event(1);
    expect(taken([E])).toEqual([1]);
  });
});

describe("ERR and REQ", () => {
  it("vector 61: one eventfd, signalled by hand, replaced, and released", () => {
    const { world, d, eventfds, trigger } = ready();
    const [E] = eventfds(1);
    for (const index of [ERR, REQ]) {
      expect(trigger(index, 0, E)).toBe(0);
      expect([world.setIrqs(d, index, NONE | TRIGGER, 0, 1), world.take(E)]).toEqual([0, 1]);
      expect([world.setIrqs(d, index, BOOL | TRIGGER, 0, 1, 0), world.take(E)]).toEqual([0, -EAGAIN]);
      expect([world.setIrqs(d, index, BOOL | TRIGGER, 0, 1, 1), world.take(E)]).toEqual([0, 1]);
      expect([trigger(index, 0, -2), trigger(index, 0, CLOSED), trigger(index, 0, d)]).toEqual([-EINVAL, -EBADF, -EINVAL]);
      expect([world.setIrqs(d, index, NONE | TRIGGER, 0, 0), world.setIrqs(d, index, NONE | TRIGGER, 0, 1)]).toEqual([0, -EINVAL]);
      expect([world.setIrqs(d, index, NONE | TRIGGER, 0, 0), trigger(index, 0, -1)]).toEqual([-EINVAL, 0]);
      expect([world.setIrqs(d, index, BOOL | TRIGGER, 0, 1, 1), world.setIrqs(d, index, NONE | MASK, 0, 1)]).toEqual([0, -ENOTTY]);
    }
  });

  it("vector 29: a conventional function has no ERR", () => {
    const { world, d, eventfds, trigger } = ready({ isConventional: true });
    expect(world.call(d, 0x3b6d, 16, 0, ERR, 0)).toBe(-EINVAL);
    expect(trigger(ERR, 0, ...eventfds(1))).toBe(-EINVAL);
  });

  it("an uncorrectable error of the bus signals ERR", () => {
    const { world, eventfds, trigger } = ready();
    const [E] = eventfds(1);
    trigger(ERR, 0, E);
    expect(run(world.A.reportError())).toBe(true);
    expect(world.take(E)).toBe(1);
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.B.name);
    expect(run(world.B.reportError())).toBe(false);
  });
});
