import { describe, expect, it } from "vitest";
import { BUILTIN_BOARD_NAMES, builtinBoard } from "../board/builtin.js";
import type { Board } from "../board/board.js";
import { EdgeDevice, LevelDevice } from "../device/line-device.js";
import { Workload } from "../device/workload.js";
import { PersonError } from "../sim/person-error.js";
import { Sim } from "../sim/sim.js";
import { run } from "../sim/step.js";
import { clocksOf, connectInterrupt, hostFromBoard } from "./board-host.js";
import { Handler } from "../explore/stages/host-stage.js";
import { connectPin, x86HostFromBoard } from "./x86/board-host.js";
import { IrqReturn } from "./irq/types.js";

function board(name: string): Board {
  const found = builtinBoard(name);
  if (found === undefined) throw new Error(`no board ${name}`);
  return found;
}

const hasGic = (name: string): boolean => board(name).controllers.some((each) => each.kind === "gicv2" || each.kind === "gicv3");

describe.each(BUILTIN_BOARD_NAMES.filter(hasGic))("the host on %s", (name) => {
  it("takes an interrupt from each wired device that its GIC serves", () => {
    const machine = board(name);
    const sim = new Sim({ cpus: clocksOf(machine) });
    const host = hostFromBoard(sim, machine);
    expect(host.cpus.length).toBe(clocksOf(machine) - 1);
    const seen = new Set<number>();
    for (const { path, interrupts } of machine.devices)
      for (const interrupt of interrupts) {
        const connected = run(connectInterrupt(host, machine, interrupt));
        if (connected === null) {
          expect(interrupt.kind === "spi" && ["level-high", "edge-rising"].includes(interrupt.trigger), `${path} ${interrupt.index}`).toBe(false);
          continue;
        }
        if (seen.has(connected.irq)) continue;
        seen.add(connected.irq);
        const device = connected.trigger === "level" ? new LevelDevice(sim, path, connected.sink) : new EdgeDevice(sim, path, connected.sink);
        const handler = new Handler(function* () {
          return (yield* device.service()) > 0 ? IrqReturn.HANDLED : IrqReturn.NONE;
        });
        expect(run(host.requestIrq(connected.irq, handler, 0, path, handler))).toBe(0);
        new Workload(sim, device, { count: 3, periodNs: 1000 }).start();
        run(sim.settle());
        expect([handler.runs, device.counts.delivered, device.counts.lost], path).toEqual([3, 3, 0]);
        expect(run(host.freeIrq(connected.irq, handler))).toBe(handler);
      }
    expect(name === "d05" || seen.size > 0).toBe(true);
    expect([host.irqs.warnings, sim.isQuiet()]).toEqual([0, true]);
  });
});

describe("the host on pc", () => {
  it("takes a level interrupt from the pin of each function, at the CPU whose APIC id the entry names", () => {
    const machine = board("pc");
    const sim = new Sim({ cpus: clocksOf(machine) });
    const host = x86HostFromBoard(sim, machine);
    expect(host.cpus.map((cpu) => host.apicId(cpu.cpu))).toEqual(machine.cpus.map((cpu) => cpu.hwId));
    for (const { interrupts } of machine.devices) {
      const connected = run(connectPin(host, machine, interrupts[0]));
      if (connected === null) throw new Error("no pin");
      const handler = new Handler(function* () {
        yield* connected.sink.setLevel(false);
      });
      expect(run(host.requestIrq(connected.irq, handler, 0, "nic", handler))).toBe(0);
      expect(run(host.setAffinity(connected.irq, [9]))).toBe(0);
      run(connected.sink.setLevel(true));
      run(sim.settle());
      expect([handler.runs, host.desc(connected.irq)?.taken[9]]).toEqual([1, 1]);
    }
  });

  it("a message is no pin", () => {
    const machine = board("pc");
    const host = x86HostFromBoard(new Sim({ cpus: clocksOf(machine) }), machine);
    expect(run(connectPin(host, machine, machine.devices[1].interrupts[1]))).toBeNull();
  });
});

describe("a board's controllers", () => {
  it("give the host its message interrupts by GICv2m", () => {
    const machine = board("overdrive");
    const host = hostFromBoard(new Sim({ cpus: clocksOf(machine) }), machine);
    expect(host.msi?.isIsolated).toBe(false);
    const device = { name: "nic", deviceId: 0, *writeMessage() {}, *setMasked() {} };
    const irqs: number[] = [];
    expect(host.msi === null ? 0 : run(host.msi.alloc(device, 0, 4, irqs))).toBe(irqs[0]);
    expect(irqs.length).toBe(4);
  });

  it("decide its EOImode", () => {
    const machine = board("midway");
    expect(hostFromBoard(new Sim({ cpus: 5 }), machine).gic.eoiMode).toBe(1);
    const small = machine.controllers.map((each) => (each.kind === "gicv2" ? { ...each, gicc: { ...each.gicc, size: 0x1000 } } : each));
    expect(hostFromBoard(new Sim({ cpus: 5 }), { ...machine, controllers: small }).gic.eoiMode).toBe(0);
  });

  it("have to include a GIC, with no more CPUs than it serves", () => {
    const machine = board("midway");
    expect(() => hostFromBoard(new Sim(), { ...machine, controllers: [] })).toThrow(PersonError);
    const [cpu] = machine.cpus;
    const nine = Array.from({ length: 9 }, (_, index) => ({ ...cpu, index }));
    expect(() => hostFromBoard(new Sim(), { ...machine, cpus: nine })).toThrow(PersonError);
  });
});
