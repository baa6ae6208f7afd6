import { describe, expect, it } from "vitest";
import type { EdgeSink, LevelSink } from "../arch/level.js";
import { reads } from "../sim/access.js";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { EdgeDevice, LevelDevice } from "./line-device.js";
import { DEVICE_REGISTERS, REGISTERS_STRIDE, RegisterFile } from "./register-file.js";
import { Workload } from "./workload.js";

class Wire implements LevelSink {
  readonly trigger = "level";
  changes: boolean[] = [];
  *setLevel(isHigh: boolean): Step<void> {
    yield reads(this, "changes");
    this.changes.push(isHigh);
  }
}

class Pulses implements EdgeSink {
  readonly trigger = "edge";
  count = 0;
  *pulse(): Step<void> {
    this.count++;
  }
}

describe("a level device", () => {
  it("holds its line while conditions are outstanding; one service finds them all", () => {
    const trace = new TraceBuffer();
    const wire = new Wire();
    const device = new LevelDevice(new Sim({ trace }), "nic", wire, { index: 2 });
    run(device.raise());
    run(device.raise());
    expect([wire.changes, run(device.status())]).toEqual([[true], 2]);
    expect(run(device.access())).toBe(2);
    expect([wire.changes, device.counts]).toEqual([[true, false], { raised: 2, delivered: 1, coalesced: 1, lost: 0, spurious: 0 }]);
    expect(run(device.service())).toBe(0);
    expect(device.counts.spurious).toBe(1);
    expect(trace.lines()).toEqual(["device_raise(nic,2,1)", "device_raise(nic,2,1)", "device_service(nic,2,2)", "device_lower(nic,2)", "device_service(nic,2,0)"]);
  });

  it("loses by a reset what nobody serviced", () => {
    const wire = new Wire();
    const device = new LevelDevice(new Sim(), "nic", wire);
    run(device.raise());
    run(device.reset());
    expect([wire.changes, device.counts]).toEqual([[true, false], { raised: 1, delivered: 0, coalesced: 0, lost: 1, spurious: 0 }]);
  });

  it.skipIf(STRAIGHT)("ends with the right level when a raise meets the fall of the line", () => {
    for (let switchAfter = 0; switchAfter < 12; switchAfter++) {
      const wire = new Wire();
      const device = new LevelDevice(new Sim(), "nic", wire);
      run(device.raise());
      const serving = device.service();
      for (let i = 0; i < switchAfter; i++) serving.next();
      const raising = device.raise();
      while (raising.next().done !== true);
      while (serving.next().done !== true);
      const { lost } = device.counts;
      expect(wire.changes.at(-1)).toBe(lost > 0);
    }
  });
});

describe("an edge device", () => {
  it("pulses once for each condition", () => {
    const pulses = new Pulses();
    const device = new EdgeDevice(new Sim(), "timer", pulses, { accessesToService: 0 });
    for (let i = 0; i < 3; i++) run(device.raise());
    expect([pulses.count, run(device.service()), device.counts.coalesced]).toEqual([3, 3, 2]);
  });
});

describe("the register file", () => {
  it("services with the last of the accesses that a service needs", () => {
    const sim = new Sim();
    const lines = [new LevelDevice(sim, "nic", new Wire()), new LevelDevice(sim, "nic", new Wire(), { index: 1, accessesToService: 3 })];
    const registers = new RegisterFile(lines);
    run(lines[1].raise());
    expect(run(registers.read(REGISTERS_STRIDE + DEVICE_REGISTERS.STATUS, 4))).toBe(0);
    run(registers.write(REGISTERS_STRIDE + DEVICE_REGISTERS.CLEAR, 4, 1));
    expect(lines[1].counts.delivered).toBe(0);
    expect(run(registers.read(REGISTERS_STRIDE, 4))).toBe(1);
    expect([lines[1].counts.delivered, lines[0].counts.spurious, registers.accesses]).toEqual([1, 0, 3]);
    expect(run(registers.read(0x100, 4))).toBe(0);
  });
});

describe("a workload", () => {
  const times = (seed: number): number[] => {
    const trace = new TraceBuffer();
    const sim = new Sim({ cpus: 2, trace });
    const device = new EdgeDevice(sim, "timer", new Pulses());
    new Workload(sim, device, { count: 3, periodNs: 1000, burst: 2, jitterNs: 100, startNs: 500, seed }).start();
    run(sim.settle());
    return trace.events.map((e) => e.timeNs);
  };

  it("raises bursts on its schedule, on the hardware's clock", () => {
    const sim = new Sim({ cpus: 3 });
    const device = new EdgeDevice(sim, "timer", new Pulses());
    const workload = new Workload(sim, device, { count: 4, periodNs: 250, burst: 2 });
    workload.start();
    run(sim.settle());
    expect([device.counts.raised, Array.from(sim.clock), workload.cpu]).toEqual([8, [0, 0, 1000], 2]);
  });

  it("sets what is left of its conditions on the last occasion", () => {
    const sim = new Sim({ cpus: 2 });
    const device = new EdgeDevice(sim, "timer", new Pulses());
    new Workload(sim, device, { count: 3, periodNs: 250, burst: 4, conditions: 10 }).start();
    run(sim.settle());
    expect([device.counts.raised, sim.clock[1]]).toEqual([10, 750]);
  });

  it("jitters by its seed alone", () => {
    expect(times(1)).toEqual(times(1));
    expect(times(1)).not.toEqual(times(2));
    times(3).forEach((time, i) => {
      const nominal = 500 + Math.floor(i / 2) * 1000;
      expect(time).toBeGreaterThanOrEqual(nominal);
      expect(time).toBeLessThanOrEqual(nominal + 100);
    });
  });
});
