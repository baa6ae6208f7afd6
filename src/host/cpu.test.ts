import { describe, expect, it } from "vitest";
import { Cost, FREE_OF_COST } from "../sim/cost.js";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { type GuestMode, Ipi } from "./cpu.js";
import { GicV2 } from "./gic/gicv2.js";
import { GicV3 } from "./gic/gicv3.js";
import { HostStage, Handler } from "../explore/stages/host-stage.js";
import { Thread } from "../explore/stages/threads.js";
import { GicHost } from "./gic/gic-host.js";

class Guest implements GuestMode {
  /** Whether an IPI was the reason. */
  exits: boolean[] = [];
  *forceExit(isIpi: boolean): Step<void> {
    this.exits.push(isIpi);
  }
}

describe.each([2, 3] as const)("a physical CPU, GICv%i", (version) => {
  it("vector 61 (host half): kicks that meet one pending SGI are one interrupt", () => {
    const f = new HostStage(version);
    const guest = new Guest();
    run(f.host.cpus[1].enterGuest(guest));
    for (let i = 0; i < 3; i++) run(f.host.cpus[0].sendIpi(1, Ipi.RESCHEDULE));
    expect([guest.exits.length, f.host.cpus[0].ipisSent[0]]).toEqual([1, 3]);
    run(f.host.cpus[1].leaveGuest());
    run(f.host.cpus[1].takeInterrupts());
    expect([f.host.cpus[1].ipisTaken[0], f.host.cpus[1].interrupts]).toEqual([1, 1]);
    expect(f.trace.lines()).toEqual(["ipi(0,1,0)", "ipi(0,1,0)", "ipi(0,1,0)", "host_ack(1,0)", "host_eoi(1,0)", "host_dir(1,0)"]);
    f.settle();
    expect(f.host.cpus[1].spurious).toBe(0);
  });

  it("takes nothing while its guest runs, and everything after", () => {
    const f = new HostStage(version);
    const h = new Handler(function* () {});
    f.request(f.edge, h);
    const guest = new Guest();
    run(f.host.cpus[0].enterGuest(guest));
    f.pulse(41);
    expect([guest.exits, h.runs]).toEqual([[false], 0]);
    run(f.host.cpus[0].leaveGuest());
    run(f.host.cpus[0].takeInterrupts());
    expect(h.runs).toBe(1);
  });

  it("forces a guest out that enters with an interrupt pending", () => {
    const f = new HostStage(version);
    const h = new Handler(function* () {});
    f.request(f.edge, h);
    run(f.gic.setSpi(41, true));
    expect(run(f.host.cpus[0].isInterruptPending())).toBe(true);
    const guest = new Guest();
    run(f.host.cpus[0].enterGuest(guest));
    expect(guest.exits).toEqual([false]);
    f.settle();
    expect(h.runs).toBe(0);
  });

  it("an interrupt withdrawn before the CPU comes to it is not taken", () => {
    const f = new HostStage(version);
    f.request(f.level, new Handler(function* () {}));
    run(f.gic.setSpi(40, true));
    run(f.gic.setSpi(40, false));
    f.settle();
    expect([f.host.cpus[0].interrupts, f.host.cpus[0].spurious]).toEqual([0, 0]);
  });

  it("ends an interrupt that nobody has mapped", () => {
    const f = new HostStage(version);
    run(f.gic.setTrigger(0, 60, "edge"));
    run(f.gic.setEnabled(0, 60, true));
    f.pulse(60);
    expect([f.host.irqs.lastWarning, f.gic.isActive(0, 60)]).toEqual(["Unexpected interrupt (irqnr 60)", false]);
    expect(f.trace.lines("host_ack", "host_eoi", "host_dir")).toEqual(["host_ack(0,60)", "host_eoi(0,60)", "host_dir(0,60)"]);
  });
});

it("K28: each source of a GICv2 SGI is ended with its own value", () => {
  const f = new HostStage(2);
  for (const from of [0, 2]) run(f.host.cpus[from].sendIpi(1, Ipi.FUNCTION_CALL));
  f.settle();
  expect(f.host.cpus[1].ipisTaken[1]).toBe(2);
  expect(f.gic.isActive(1, 1)).toBe(false);
});

describe("threads", () => {
  it("a wake-up from another CPU sends the function call IPI to an idle one, none to a busy one, a rescheduling IPI to a guest's", () => {
    const f = new HostStage();
    const cpu1 = f.host.cpus[1];
    const thread = new Thread("vcpu", "user", function* () {
      yield* cpu1.switchTo(thread);
      yield* cpu1.switchTo(null);
    }, 1);
    expect(run(f.host.wakeThread(thread))).toBe(true);
    expect(run(f.host.wakeThread(thread))).toBe(false);
    f.settle();
    expect([cpu1.ipisTaken[1], cpu1.wakeups, cpu1.contextSwitches]).toEqual([1, 1, 2]);
    const other = new Thread("vmm", "user", function* () {}, 1);
    run(cpu1.switchTo(thread));
    run(f.host.wakeThread(other));
    f.settle();
    expect(f.host.cpus[0].ipisSent.slice(0, 2)).toEqual(new Int32Array([0, 1]));
    run(cpu1.enterGuest(new Guest()));
    run(f.host.wakeThread(other));
    expect(f.host.cpus[0].ipisSent.slice(0, 2)).toEqual(new Int32Array([1, 1]));
  });

  it("a wake-up on the same CPU sends none", () => {
    const f = new HostStage();
    run(f.host.wakeThread(new Thread("irq", "user", function* () {}, 0)));
    f.settle();
    expect(f.host.cpus[0].ipisSent[1]).toBe(0);
  });

  it("an IPI and a wake-up take their time", () => {
    const costs = FREE_OF_COST.slice();
    costs[Cost.ipi] = 700;
    costs[Cost.wake] = 2000;
    costs[Cost.contextSwitch] = 300;
    const trace = new TraceBuffer();
    const sim = new Sim({ cpus: 2, costs, trace });
    const gic = new GicV3({ cpus: 2 });
    gic.boot();
    const host = new GicHost(sim, gic);
    const thread = new Thread("vcpu", "user", function* () {
      yield* host.cpus[1].switchTo(thread);
    }, 1);
    run(host.wakeThread(thread));
    run(sim.settle());
    const at = (name: string): number => trace.events.find((e) => e.name === name)?.timeNs ?? -1;
    expect([at("ipi"), at("host_ack"), at("sched_switch")]).toEqual([0, 700, 2300]);
  });
});

it("a machine has as many CPUs as its GIC", () => {
  const gic = new GicV2({ cpus: 2 });
  expect(new GicHost(new Sim({ cpus: 3 }), gic).cpus.length).toBe(2);
});
