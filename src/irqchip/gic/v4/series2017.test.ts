import { describe, expect, it } from "vitest";
import { ItsOp } from "../../../arch/gic/its-command.js";
import { type DirectOptions, HOST_DEVICE } from "../../../explore/stages/direct-machine.js";
import { run } from "../../../sim/step.js";
import { EBUSY } from "../../../uapi/errno.js";
import { f2 } from "./f2.fixture.js";

// compat "v5-2017" (gic.md D0.5): what [2017] is marked with in gic-v4.md C3, C5.5 and gic-its.md.

const UNMAPPED_INTERRUPT = 0x010307;
const series = (options: DirectOptions = {}) => f2({ vgic: { compat: "v5-2017" }, ...options });
const messages = (machine: ReturnType<typeof f2>): string[] => machine.lines("vpe_resident", "vpe_away").map((line) => line.split("(")[0]);

describe("the GICv4 series of October 2017: residency (C5.5)", () => {
  it("a vPE is resident from each entry to its exit; load and put are nothing to it, and nobody waits for Dirty", () => {
    const machine = series({ parsesLate: true });
    machine.direct(7);
    machine.trace.clear();
    machine.load(1, 2);
    expect([messages(machine), machine.vpe(1).isResident]).toEqual([[], false]);
    machine.on(2, () => machine.vgic.flush(1));
    expect([messages(machine), machine.vpe(1).isResident, machine.vpe(1).isReady]).toEqual([["vpe_resident"], true, false]);
    machine.on(2, () => machine.vgic.sync(1));
    expect([messages(machine), machine.vpe(1).isResident]).toEqual([["vpe_resident", "vpe_away"], false]);
    machine.put(1, 2);
    expect(messages(machine)).toEqual(["vpe_resident", "vpe_away"]);
  });

  it("an entry on another CPU sends VMOVP first; each one clears the doorbell", () => {
    const machine = series();
    machine.direct(7);
    const pass = (cpu: number): string[] => {
      machine.load(1, cpu);
      machine.trace.clear();
      machine.on(cpu, () => machine.vgic.flush(1));
      machine.on(cpu, () => machine.vgic.sync(1));
      machine.put(1, cpu);
      return machine.physical().map((line) => line.split(" ")[0]);
    };
    expect(pass(2)).toEqual(["VMOVP", "MAPTI", "CLEAR"]); // MAPTI: the doorbell's event of the proxy
    expect([pass(2), pass(2)]).toEqual([["CLEAR"], ["CLEAR"]]);
    expect(pass(1)).toContain("VMOVP");
  });

  it("the doorbell is on between the beginning and the end of a wait: a message of before rings then, and each one after it rings", () => {
    const machine = series();
    machine.direct(7);
    const { irq } = machine.vpe(1);
    machine.load(1, 2);
    machine.send();
    expect(machine.lines("vpe_doorbell")).toEqual([]);
    machine.wait(1, 2);
    machine.send();
    machine.send();
    expect(machine.lines("vpe_doorbell").length).toBe(3);
    expect(machine.vpe(1).pendingLast).toBe(true);
    machine.on(2, () => machine.vgic.endWfi(1));
    machine.send();
    expect([machine.lines("vpe_doorbell").length, machine.host.desc(irq)?.settings]).toEqual([3, 0x1b]);
  });

  it("WFI traps, whoever injects", () => {
    const machine = series();
    machine.direct(7);
    expect(run(machine.vgic.hasVlpis(1))).toBe(false);
  });

  it("GICv4.1 is not known: nothing is injected directly", () => {
    expect(series({ hw: "v4.1" }).vgic.dist.v4).toBeNull();
  });
});

describe("the GICv4 series of October 2017: forwarding (C3)", () => {
  it("the answer of a message that raises nothing is the call's, and refuses the producer; the guest goes on", () => {
    const machine = series().boot();
    const unmapped = machine.vector(8);
    expect([machine.bind(unmapped), unmapped.producer.consumer]).toEqual([UNMAPPED_INTERRUPT, null]);
    const vector = machine.vector(7);
    machine.gits(0, 4, 0, 0);
    expect([machine.bind(vector), machine.hasVlpi(8200), machine.vcpus.some((vcpu) => vcpu.isPaused)]).toEqual([-EBUSY, false, false]);
    machine.gits(0, 4, 1, 0);
    machine.send(1);
    expect(machine.acknowledged()).toEqual(["1:8200"]);
  });

  it("what is pending in software when an LPI becomes a VLPI stays there, and is lost (hazard R2)", () => {
    const machine = series();
    machine.onEvent(ItsOp.INT, 7);
    machine.direct(7);
    expect([machine.latched(8200), machine.vpeBit(1, 8200)]).toEqual([true, 0]);
    expect(machine.boot().acknowledged()).toEqual([]);
  });

  it("a second set-up of the same maps it again", () => {
    const machine = series();
    const vector = machine.direct(7);
    machine.trace.clear();
    expect(run(machine.vgic.setForwarding(vector.irq, machine.message(7)))).toBe(0);
    expect([machine.physical(), machine.vpe(1).vlpis]).toEqual([[`VMOVI ${HOST_DEVICE} 0 1`], 1]);
    machine.unbind(vector);
    expect([machine.hasVlpi(8200), machine.vpe(1).vlpis]).toEqual([false, 0]);
  });

  it("a route that changes leaves the VLPI, and so does an unset whose message raises nothing", () => {
    const machine = series();
    const vector = machine.direct(7);
    machine.reroute(vector, 9);
    expect(machine.hasVlpi(8200)).toBe(true);
    machine.reroute(vector, 7);
    machine.gits(0, 4, 0, 0);
    expect([run(machine.vgic.unsetForwarding(vector.irq, machine.message(7))), machine.hasVlpi(8200)]).toEqual([-EBUSY, true]);
    machine.gits(0, 4, 1, 0);
    expect([run(machine.vgic.unsetForwarding(vector.irq, machine.message(7))), machine.hasVlpi(8200)]).toEqual([0, false]);
  });

  it("no translation is remembered, and MAPTI does not look for its entry in memory (gic-its.md B4.4, B7.3)", () => {
    const machine = series();
    expect(run(machine.vgic.injectMsi(machine.message(7)))).toBe(1);
    expect([machine.its.cache.size, run(machine.vgic.injectMsiAtomic(machine.message(7)))]).toEqual([0, -11]);
    const invisible = 0x10;
    machine.command([ItsOp.MAPD, 3, 4, 0, 0, 0x80000000 | invisible]);
    machine.command([ItsOp.MAPTI, 3, 1, 8201, 1]);
    expect(machine.lines("its_command").at(-1)).toContain("its_command(10,3,1,0)");
  });
});
