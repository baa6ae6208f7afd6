import { describe, expect, it } from "vitest";
import { ItsOp } from "../../../arch/gic/its-command.js";
import { VLPI_BASE } from "../../../arch/gic/gicr-vlpi.js";
import type { DirectMachine } from "../../../explore/stages/direct-machine.js";
import { type Assembler, Label } from "../../../guest/op.js";
import { writeHvc } from "../../../guest/software.js";
import { moveIrq } from "../../../host/irq/affinity.js";
import { irqDeactivate } from "../../../host/irq/state.js";
import { PSCI_CPU_SUSPEND } from "../../../kvm/arm64/psci.js";
import { run, type Step } from "../../../sim/step.js";
import * as A from "../../../uapi/arm.js";
import { EACCES, EFAULT, EINVAL } from "../../../uapi/errno.js";
import { f2 } from "./f2.fixture.js";

// Vectors VG19, VG23 to VG28 and VG30 to VG32 of gic.md D5.

const ENABLE_GRP1 = 2;
const VPENDBASER = VLPI_BASE + 0x78;

describe("GICv4: residency and doorbells (C5)", () => {
  it("VG23, VG24: the first load on a CPU moves the vPE there, the next one on the same does not", () => {
    const machine = f2();
    machine.load(1, 2);
    expect(machine.lines("vpe_move", "vpe_resident")).toEqual(["vpe_move(1,2)", "vpe_resident(2,1)"]);
    expect(machine.physical().filter((line) => line.startsWith("VMOVP"))).toEqual(["VMOVP 1"]);
    machine.put(1, 2);
    machine.trace.clear();
    machine.load(1, 2);
    expect([machine.lines("vpe_move"), machine.physical()]).toEqual([[], [`CLEAR 65535 0`]]);
  });

  it("VG23: VPROPBASER is written before VPENDBASER, which says Valid and PendingLast, and IDAI at first only", () => {
    const machine = f2();
    const written = (): string[] => machine.lines("gic_hw_write").splice(0);
    const vprop = `gic_hw_write(2,VPROPBASER,0x0_${(machine.v4.vm.vprop | 0x78f).toString(16).padStart(8, "0")})`;
    const vpend = (high: string): string => `gic_hw_write(2,VPENDBASER,0x${high}_${(machine.vpe(1).vpt | 0x780).toString(16).padStart(8, "0")})`;
    machine.load(1, 2);
    expect(written()).toEqual([vprop, vpend("e0000000")]);
    machine.trace.clear();
    machine.put(1, 2);
    expect(written()).toEqual([vpend("0")]);
    machine.trace.clear();
    machine.load(1, 2);
    expect(written()).toEqual([vprop, vpend("a0000000")]);
  });

  it("an entry waits for Dirty once per residency: the next residency waits again (hazard R12)", () => {
    const machine = f2();
    const { vpe } = machine.v4.cpus[1];
    for (let round = 0; round < 2; round++) {
      machine.load(1, 2);
      expect(vpe.isReady).toBe(false);
      machine.on(2, () => machine.vgic.flush(1));
      expect(vpe.isReady).toBe(true);
      machine.put(1, 2);
    }
  });

  it("vPEs are mapped again behind a save that fails", () => {
    const machine = f2({ hw: "v4.1" });
    machine.direct(7);
    machine.send();
    machine.gicr(1, 0, 4, 0);
    machine.gicr(1, 0x78, 8, 0x10000000);
    machine.gicr(1, 0, 4, 1);
    machine.trace.clear();
    expect(run(machine.vgic.setAttr(machine.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0))).toBe(-EFAULT);
    expect(machine.physical().filter((line) => line.startsWith("VMAPP")).length).toBe(4);
  });

  it("VG25: a VLPI of a resident vPE comes without host interrupt, doorbell or exit", () => {
    const machine = f2().boot();
    const vector = machine.direct(7);
    machine.zero();
    machine.send();
    machine.send();
    expect(machine.since).toEqual({ acks: 2 });
    expect([vector.trigger.runs, machine.acknowledged(), machine.lines("vpe_doorbell")]).toEqual([0, ["1:8200", "1:8200"], []]);
  });

  it("VG26: a VLPI for a vCPU that is preempted interrupts nobody, and comes with the next load", () => {
    const machine = f2();
    const vector = machine.direct(7);
    machine.load(1, 2);
    machine.put(1, 2);
    machine.trace.clear();
    machine.send();
    expect([machine.lines("host_ack", "vpe_doorbell"), vector.trigger.runs, machine.vpeBit(1, 8200)]).toEqual([[], 0, 1]);
    machine.load(1, 1);
    const vif = machine.itsHost.gic.ich(1);
    vif.hcr = 1;
    vif.vmcr = 0xf0000002 | 0;
    expect(run(vif.acknowledge(1))).toBe(8200);
  });

  it("VG28: what comes between the arming of the doorbell and the deschedule is in PendingLast, and rings: the vCPU does not sleep", () => {
    const machine = f2();
    const vector = machine.direct(7);
    machine.load(1, 2);
    const { gic } = machine.itsHost;
    const write = gic.writeGicr.bind(gic);
    let isArmed = false;
    class Late {
      *writeGicr(frame: number, offset: number, size: number, low: number, high = 0): Step<void> {
        if (offset === VPENDBASER && high >= 0) {
          isArmed = machine.lines("its_hw_command").some((line) => line.includes("INV,65535"));
          yield* machine.sendStep();
        }
        yield* write(frame, offset, size, low, high);
      }
    }
    gic.writeGicr = new Late().writeGicr;
    machine.trace.clear();
    machine.wait(1, 2);
    expect([isArmed, machine.lines("vpe_away"), vector.trigger.runs]).toEqual([true, ["vpe_away(2,1,1)"], 0]);
    expect(run(machine.vgic.isPendingFor(1))).toBe(true);
  });

  it("hazard R10: a vCPU that is preempted while it waits stays away from the hardware, with its doorbell armed", () => {
    const machine = f2();
    machine.direct(7);
    machine.load(1, 2);
    machine.wait(1, 2);
    machine.load(1, 2);
    expect(machine.vpe(1).isResident).toBe(false);
    machine.put(1, 2);
    machine.trace.clear();
    machine.send();
    expect(machine.lines("vpe_doorbell").length).toBe(1);
    expect(run(machine.vgic.isPendingFor(1))).toBe(true);
  });

  it("VG27: a vCPU that waits is woken by one doorbell, and takes the VLPI when it runs", () => {
    const machine = f2({ guest: { idle: "wfi" } });
    machine.direct(7);
    for (const cpu of machine.host.cpus) cpu.isShared = true;
    machine.boot();
    expect(machine.vpe(1).isResident).toBe(false);
    machine.zero();
    machine.send();
    expect(machine.lines("vpe_doorbell").length).toBe(1);
    expect(machine.acknowledged()).toEqual(["1:8200"]);
    expect(machine.since).toMatchObject({ haltWakeup: 1, exits: 1, WFx: 1 });
    machine.trace.clear();
    machine.send();
    expect([machine.lines("vpe_doorbell").length, machine.acknowledged()]).toEqual([1, ["1:8200"]]);
  });

  it("a vCPU with VLPIs that has its CPU for itself waits in the guest: no exit, no doorbell", () => {
    const machine = f2({ guest: { idle: "wfi" } });
    machine.direct(7);
    machine.boot();
    expect(machine.vpe(1).isResident).toBe(true);
    machine.zero();
    machine.send();
    expect([machine.lines("vpe_doorbell"), machine.acknowledged()]).toEqual([[], ["1:8200"]]);
    expect(machine.since.exits).toBeUndefined();
  });

  it("VG30: a pending disabled VLPI does not count in PendingLast", () => {
    const machine = f2();
    machine.config(8200, 0xa0);
    machine.onEvent(ItsOp.INV, 7);
    machine.direct(7);
    machine.load(1, 2);
    machine.send();
    machine.wait(1, 2);
    expect([machine.lines("vpe_away"), machine.vpeBit(1, 8200)]).toEqual([["vpe_away(2,1,0)"], 1]);
  });

  it("VG31: 4.1, a vCPU that is preempted: pending_last is true, and no doorbell rings", () => {
    const machine = f2({ hw: "v4.1" });
    machine.direct(7);
    machine.load(1, 2);
    machine.put(1, 2);
    machine.send();
    expect([machine.lines("vpe_away"), machine.lines("vpe_doorbell")]).toEqual([["vpe_away(2,1,1)"], []]);
  });

  it("VG32: Dirty that never clears is taken for something pending, without a hang", () => {
    const machine = f2();
    machine.load(1, 2);
    machine.itsHost.gic.stick(2);
    machine.put(1, 2);
    expect(machine.lines("vpe_away")).toEqual(["vpe_away(2,1,1)"]);
    expect(machine.host.irqs.lastWarning).toContain("not cleaning");
  });

  it("4.1: a vCPU that waits is woken whoever has its CPU meanwhile, and wherever its vPE is moved (I9)", () => {
    for (const disturb of [
      (machine: DirectMachine) => machine.load(0, 2),
      (machine: DirectMachine) => void run(moveIrq(machine.host.irqs, machine.vpe(1).irq, 0)),
    ]) {
      const machine = f2({ hw: "v4.1" });
      machine.gicd(0, ENABLE_GRP1);
      machine.direct(7);
      machine.load(1, 2);
      machine.wait(1, 2);
      disturb(machine);
      machine.send();
      expect(machine.lines("vpe_doorbell").length).toBe(1);
      expect(run(machine.vgic.isPendingFor(1))).toBe(true);
    }
  });

  it("4.1: VPENDBASER has the guest's groups, also as the vPE leaves; the doorbell rings for those that are on (C1.4)", () => {
    for (const [enables, high, rings] of [[ENABLE_GRP1, "c", 1], [0, "0", 0]] as const) {
      const machine = f2({ hw: "v4.1" });
      machine.gicd(0, enables);
      machine.direct(7);
      machine.trace.clear();
      machine.load(1, 2);
      machine.wait(1, 2);
      machine.send();
      const written = machine.lines("gic_hw_write").filter((line) => line.includes("VPENDBASER"));
      expect(written).toEqual([`gic_hw_write(2,VPENDBASER,0x8${high}000000_00000001)`, `gic_hw_write(2,VPENDBASER,0x4${high}000000_00000001)`]);
      expect(machine.lines("vpe_doorbell").length).toBe(rings);
    }
  });

  it("hazard R11: a vPE that cannot be moved stays away, and the host is told", () => {
    const machine = f2();
    machine.load(1, 2);
    machine.put(1, 2);
    const desc = machine.host.desc(machine.vpe(1).irq);
    if (desc === null) throw new Error("no doorbell");
    run(desc.lock.lock());
    run(irqDeactivate(desc));
    run(desc.lock.unlock());
    machine.load(1, 1);
    expect([machine.vpe(1).isResident, machine.host.irqs.lastWarning]).toEqual([false, `vgic_v4_load: vPE 1 cannot be moved to CPU 1 (${-EINVAL})`]);
  });

  it.each([["v4.0", "newest"], ["v4.1", "newest"], ["v4.0", "v5-2017"]] as const)("%s, %s: a vCPU that sleeps by PSCI's CPU_SUSPEND is woken by its doorbell, as one that waits", (hw, compat) => {
    const again = new Label();
    const main = (code: Assembler, vcpu: number): void => {
      if (vcpu !== 1) return;
      code.place(again);
      writeHvc(code, PSCI_CPU_SUSPEND);
      code.branch(again);
    };
    const machine = f2({ hw, vgic: { compat }, guest: { main } });
    machine.direct(7);
    machine.boot();
    machine.trace.clear();
    machine.send();
    expect([machine.lines("vpe_doorbell").length, machine.acknowledged(), machine.vpeBit(1, 8200)]).toEqual([1, ["1:8200"], 0]);
  });

  it("4.1: a waiting vCPU is woken by its default doorbell, once", () => {
    const machine = f2({ hw: "v4.1", guest: { idle: "wfi" } });
    machine.direct(7);
    for (const cpu of machine.host.cpus) cpu.isShared = true;
    machine.boot();
    machine.zero();
    machine.send();
    expect([machine.lines("vpe_doorbell").length, machine.acknowledged()]).toEqual([1, ["1:8200"]]);
  });
});

describe("GICv4: save (C6)", () => {
  it("VG19: 4.0 refuses to save an ITS with VLPIs, 4.1 saves it", () => {
    const saved = (hw: "v4.0" | "v4.1"): number => {
      const machine = f2({ hw });
      machine.direct(7);
      return run(machine.its.setAttr(machine.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_ITS_SAVE_TABLES, 0, 0));
    };
    expect([saved("v4.0"), saved("v4.1")]).toEqual([-EACCES, 0]);
  });

  it("4.0: what is pending for a VLPI nobody can read: the guest's pending table is saved without it (gic-its.md B9.4)", () => {
    const machine = f2();
    machine.direct(7);
    machine.send();
    expect(run(machine.vgic.setAttr(machine.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0))).toBe(0);
    expect([machine.vpeBit(1, 8200), machine.savedBit(1, 8200)]).toEqual([1, false]);
  });

  it("4.1: the pending bit of a VLPI is saved with the vPEs unmapped, and they are mapped again", () => {
    const machine = f2({ hw: "v4.1" });
    machine.direct(7);
    machine.send();
    machine.trace.clear();
    expect(run(machine.vgic.setAttr(machine.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0))).toBe(0);
    expect(machine.savedBit(1, 8200)).toBe(true);
    expect(machine.physical().filter((line) => line.startsWith("VMAPP")).map((line) => line.split(" ")[1])).toEqual(["0", "1", "0", "1"]);
    expect(machine.vpeBit(1, 8200)).toBe(1);
  });
});
