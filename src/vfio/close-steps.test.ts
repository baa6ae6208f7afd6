import { describe, expect, it, vi } from "vitest";
import { CapId, Command, Msi, Pci } from "../arch/pci/config-registers.js";
import { Ev } from "../sim/event.js";
import { run } from "../sim/step.js";
import { EINVAL } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { ERR, EVENTFD, MSI, NONE, PciStage, REQ, TRIGGER } from "../explore/stages/pci-stage.js";

// What a function's registers see of its first open and of its last close, step by step (vfio.md 12.1, 12.2, 5.5).

/** The configuration writes that reach hardware from here on. */
function writesOf(world: PciStage): () => { offset: number; value: number }[] {
  const spy = vi.spyOn(world.A.fn, "writeConfig");
  return () => spy.mock.calls.map(([offset, , value]) => ({ offset, value }));
}

describe("the first open", () => {
  it("12.1, 1: ends bus mastering that somebody before has left on, where no reset does", () => {
    const world = new PciStage({ noReset: true });
    run(world.A.setMaster(true));
    const { d } = world.ready();
    expect([world.A.fn.isMaster, world.configRead(d, 4, 2) & Command.MASTER]).toEqual([false, 0]);
  });
});

describe("the last close", () => {
  function closed(): { offset: number; value: number }[] {
    const world = new PciStage({ noReset: true });
    const { d } = world.ready();
    world.configWrite(d, 4, 2, Command.MEMORY | Command.MASTER);
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(0);
    const log = writesOf(world);
    world.close(d);
    return log();
  }

  it("12.2, 2 and 3: DMA stops before anything else of the function is taken away", () => {
    const all = closed();
    const world = new PciStage();
    const messages = all.findIndex(({ offset, value }) => offset === world.A.fn.capability(CapId.MSI) + Msi.FLAGS && (value & Msi.ENABLE) === 0);
    const master = all.findIndex(({ offset, value }) => offset === Pci.COMMAND && (value & Command.MASTER) === 0);
    expect([master, messages > master]).toEqual([0, true]);
  });

  it("12.2, 8 to 11: what was saved is there again, then only DisINTx, and after the reset what was saved", () => {
    const commands = closed().filter(({ offset }) => offset === Pci.COMMAND).map(({ value }) => value & 0xffff);
    const only = commands.indexOf(Command.INTX_DISABLE);
    const saved = commands[only - 1];
    expect(saved & Command.MEMORY).toBe(Command.MEMORY);
    expect(commands.slice(only - 1, only + 2)).toEqual([saved, Command.INTX_DISABLE, saved]);
  });

  it.each([["ERR", ERR], ["REQ", REQ]])("12.2, 13: lets go of the eventfd of %s: the next user's is not told to the last one", (_name, index) => {
    const world = new PciStage();
    const { g, d } = world.ready();
    const E = world.eventfd();
    expect([world.setIrqs(d, index, EVENTFD | TRIGGER, 0, 1, E), world.setIrqs(d, index, NONE | TRIGGER, 0, 1), world.take(E)]).toEqual([0, 0, 1]);
    world.close(d);
    const next = world.deviceFd(g, world.A.name);
    expect([world.setIrqs(next, index, NONE | TRIGGER, 0, 1), world.count(E)]).toEqual([-EINVAL, 0]);
    expect(world.call(next, uapi.VFIO_DEVICE_GET_INFO, 16)).toBe(0);
  });
});

describe("a driver that waits for the last close", () => {
  it("5.5: asks each ten seconds, and says so each tenth time", () => {
    const world = new PciStage();
    const { d } = world.ready();
    const E = world.eventfd();
    world.setIrqs(d, REQ, EVENTFD | TRIGGER, 0, 1, E);
    const notices: string[] = [];
    const emit = vi.spyOn(world.sim, "emit");
    for (let count = 0; count <= 20; count++) {
      run(world.vfioA.askForRelease(count));
      const told = emit.mock.calls.filter(([event]) => event === Ev.irq_warning);
      if (told.length > notices.length) notices.push(`${count}: ${String(told[told.length - 1][2])}`);
    }
    expect(world.take(E)).toBe(21);
    expect(notices).toEqual([`10: ${world.A.name}: relaying device request to user (#10)`, `20: ${world.A.name}: relaying device request to user (#20)`]);
  });
});
