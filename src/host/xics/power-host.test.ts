import { describe, expect, it } from "vitest";
import { builtinBoard } from "../../board/builtin.js";
import type { Board } from "../../board/board.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { PersonError } from "../../sim/person-error.js";
import { ENOSPC } from "../../uapi/errno.js";
import { clocksOf } from "../board-host.js";
import { IrqReturn, IrqType } from "../irq/types.js";
import type { MsiDevice } from "../msi.js";
import { xicsHostFromBoard } from "./board-host.js";
import { RTAS_PARAMETER_ERROR, RTAS_SUCCESS } from "./firmware.js";
import { MESSAGE_WINDOW } from "./message-domain.js";
import { PhysicalXics } from "./physical-xics.js";
import { XicsHost } from "./xics-host.js";

const LSI = 0x1200;
const MESSAGES = 0x1300;

function world(messages = 8): { sim: Sim; xics: PhysicalXics; host: XicsHost } {
  const sim = new Sim({ cpus: 3 });
  const xics = new PhysicalXics(2);
  xics.addSources(LSI, 4, true);
  xics.addSources(MESSAGES, messages, false);
  return { sim, xics, host: new XicsHost(sim, xics, { first: MESSAGES, count: messages }) };
}

/** A handler that counts. */
class Counting {
  count = 0;
  *handler(): Step<number> {
    this.count++;
    return IrqReturn.HANDLED;
  }
}

function device(deviceId: number): MsiDevice & { readonly written: [number, number, number][] } {
  const written: [number, number, number][] = [];
  return {
    name: `device ${deviceId}`,
    deviceId,
    written,
    *writeMessage(index: number, address: number, data: number): Step<void> {
      written.push([index, address, data]);
    },
    *setMasked(): Step<void> {},
  };
}

describe("a source of a Power host", () => {
  it("is masked until it is requested, level low alone or an edge, and ended with the priority that was there", () => {
    const { sim, xics, host } = world();
    expect([run(host.mapSource(LSI, IrqType.LEVEL_HIGH)), run(host.mapSource(LSI, IrqType.EDGE_FALLING))]).toEqual([0, 0]);
    const irq = run(host.mapSource(LSI, IrqType.LEVEL_LOW));
    expect([irq > 0, run(host.mapSource(LSI, IrqType.LEVEL_LOW)) === irq, run(host.mapSource(LSI, IrqType.EDGE_RISING))]).toEqual([true, true, 0]);
    run(xics.input(LSI, true));
    run(sim.settle());
    expect(host.cpus[0].interrupts).toBe(0);
    run(xics.input(LSI, false));
    const handler = new Counting();
    expect(run(host.requestIrq(irq, handler, 0, "test", handler))).toBe(0);
    run(xics.input(LSI, true));
    run(xics.input(LSI, false));
    run(sim.settle());
    expect([handler.count, run(xics.read(0, 0, 1))]).toEqual([1, 0xff]);
  });

  it("goes where its affinity says, and disabled it is masked when it comes again", () => {
    const { sim, xics, host } = world();
    const irq = run(host.mapSource(LSI, IrqType.LEVEL_LOW));
    const handler = new Counting();
    run(host.requestIrq(irq, handler, 0, "test", handler));
    expect(run(host.setAffinity(irq, [1]))).toBe(0);
    run(xics.input(LSI, true));
    run(xics.input(LSI, false));
    run(sim.settle());
    expect([host.cpus[0].interrupts, host.cpus[1].interrupts]).toEqual([0, 1]);
    run(host.disableIrq(irq));
    run(xics.input(LSI, true));
    run(sim.settle());
    expect([handler.count, host.counts(irq).maskOps]).toEqual([1, 1]);
    run(host.setAffinity(irq, [0]));
    run(xics.input(LSI, false));
    run(xics.input(LSI, true));
    run(sim.settle());
    expect(handler.count).toBe(1); // a move does not unmask
    run(xics.input(LSI, false));
    run(host.enableIrq(irq));
    run(xics.input(LSI, true));
    run(xics.input(LSI, false));
    run(sim.settle());
    expect([handler.count, host.cpus[0].interrupts]).toEqual([2, 1]);
  });
});

describe("firmware of a Power machine", () => {
  it("ibm,set-xive, int-off and int-on of what there is; -3 of other sources and servers", () => {
    const { host } = world();
    const { firmware } = host;
    expect([run(firmware.setXive(LSI, 1, 5)), run(firmware.intOff(LSI)), run(firmware.intOn(LSI))]).toEqual([RTAS_SUCCESS, RTAS_SUCCESS, RTAS_SUCCESS]);
    expect([run(firmware.setXive(0x9999, 0, 5)), run(firmware.setXive(LSI, 2, 5)), run(firmware.intOn(0x9999))]).toEqual([RTAS_PARAMETER_ERROR, RTAS_PARAMETER_ERROR, RTAS_PARAMETER_ERROR]);
  });

  it("ibm,change-msi gives what there is, a block in a row from a multiple of its size; the query says which", () => {
    const { firmware } = world(8).host;
    expect([run(firmware.changeMsi(1, 1)), run(firmware.changeMsi(2, 3)), run(firmware.changeMsi(1, 2))]).toEqual([1, 3, 2]);
    expect([0, 1, 2].map((i) => run(firmware.querySource(2, i)))).toEqual([MESSAGES + 4, MESSAGES + 5, MESSAGES + 6]);
    expect([run(firmware.querySource(1, 1)), run(firmware.querySource(1, 2))]).toEqual([MESSAGES + 1, RTAS_PARAMETER_ERROR]);
    expect(run(firmware.changeMsi(3, 4))).toBe(0);
    expect([run(firmware.changeMsi(2, 0)), run(firmware.changeMsi(3, 4))]).toEqual([0, 4]);
  });
});

describe("messages of a Power host", () => {
  it("carry their source's number, which only their own function can send", () => {
    const { sim, host } = world();
    const own = device(0x100);
    const irqs: number[] = [];
    if (host.msi === null) throw new Error("no messages");
    expect(run(host.msi.alloc(own, 0, 2, irqs))).toBe(irqs[0]);
    const handlers = irqs.map((irq) => {
      const handler = new Counting();
      run(host.requestIrq(irq, handler, 0, "test", handler));
      return handler;
    });
    expect(own.written).toEqual([
      [0, MESSAGE_WINDOW, MESSAGES],
      [1, MESSAGE_WINDOW, MESSAGES + 1],
    ]);
    const send = (from: number, data: number): boolean | undefined => run(host.msi?.write(from, Math.floor(MESSAGE_WINDOW / 2 ** 32), 0, data) ?? none());
    expect([send(0x100, MESSAGES + 1), send(0x200, MESSAGES), send(0x100, MESSAGES + 5)]).toEqual([true, true, true]);
    run(sim.settle());
    expect(handlers.map((handler) => handler.count)).toEqual([0, 1]);
    expect(run(host.msi.write(0x100, 0, 0x1000, MESSAGES))).toBe(false);
  });

  it("-ENOSPC when firmware has none left, and what was given before stays", () => {
    const { host } = world(2);
    const irqs: number[] = [];
    if (host.msi === null) throw new Error("no messages");
    run(host.msi.alloc(device(1), 0, 1, irqs));
    expect([run(host.msi.alloc(device(2), 0, 2, [])), run(host.msi.alloc(device(2), 0, 1, irqs)) > 0]).toEqual([-ENOSPC, true]);
    run(host.msi.free([irqs[0]]));
    expect(run(host.msi.alloc(device(3), 0, 1, []))).toBeGreaterThan(0);
  });
});

function* none(): Step<boolean> {
  return false;
}

describe("the host of a board", () => {
  const board = (): Board => {
    const found = builtinBoard("pseries");
    if (found === undefined) throw new Error("pseries");
    return found;
  };

  it("has a CPU for each thread, the board's sources with their kinds, and messages behind them", () => {
    const machine = board();
    const host = xicsHostFromBoard(new Sim({ cpus: clocksOf(machine) }), machine);
    expect(host.cpus).toHaveLength(64);
    expect([0x1000, 0x1103, 0x1207, 0x1300, 0x1fff].map((irq) => run(host.xics.hasSource(irq)))).toEqual([true, true, true, true, true]);
    expect([0x1208, 0x2000].map((irq) => run(host.xics.hasSource(irq)))).toEqual([false, false]);
  });

  it("needs servers that count from 0 without a gap", () => {
    const machine = board();
    const cpus = machine.cpus.map((cpu) => ({ ...cpu, hwId: 2 * cpu.hwId }));
    expect(() => xicsHostFromBoard(new Sim({ cpus: clocksOf(machine) }), { ...machine, cpus })).toThrow(PersonError);
  });
});
