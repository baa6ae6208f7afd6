import { describe, expect, it } from "vitest";
import { ItsOp } from "../../../arch/gic/its-command.js";
import { type DirectMachine, HOST_DEVICE } from "../../../explore/stages/direct-machine.js";
import * as A from "../../../uapi/arm.js";
import { f2 } from "./f2.fixture.js";

const ENABLE_GRP1 = 2;

// Vectors VG12 to VG15, VG29 and VG40 of gic.md D5.

describe("GICv4: what the guest does with a VLPI (C4)", () => {
  it("VG12: INT and CLEAR reach the hardware, the latch is not used", () => {
    const machine = f2();
    machine.direct(7);
    machine.trace.clear();
    machine.onEvent(ItsOp.INT, 7);
    expect([machine.physical(), machine.vpeBit(1, 8200), machine.latched(8200)]).toEqual([[`INT ${HOST_DEVICE} 0`], 1, false]);
    machine.onEvent(ItsOp.CLEAR, 7);
    expect([machine.physical(), machine.vpeBit(1, 8200)]).toEqual([[`CLEAR ${HOST_DEVICE} 0`], 0]);
  });

  it("VG13: MOVI is VMOVI, the pending bit goes along, the counts follow", () => {
    const machine = f2();
    machine.direct(7);
    machine.send();
    machine.trace.clear();
    machine.onEvent(ItsOp.MOVI, 7, 0);
    expect(machine.physical()).toEqual([`VMOVI ${HOST_DEVICE} 0 0`]);
    expect([machine.vpeBit(0, 8200), machine.vpeBit(1, 8200), machine.vpe(0).vlpis, machine.vpe(1).vlpis]).toEqual([1, 0, 1, 0]);
  });

  it("VG14: MOVALL of three VLPIs is three VMOVIs", () => {
    const machine = f2();
    for (const event of [8, 9]) machine.mapti(event, 8193 + event, 1);
    for (const event of [7, 8, 9]) machine.direct(event);
    machine.trace.clear();
    machine.command([ItsOp.MOVALL, 0, 0, 0, 1 << 16, 0, 0, 0]);
    expect(machine.physical().sort()).toEqual([0, 1, 2].map((event) => `VMOVI ${HOST_DEVICE} ${event} 0`));
    expect(machine.vpe(0).vlpis).toBe(3);
  });

  it.each([[false, 1], [true, 2]] as const)("a whole VM may have a kernel whose MOVALL moves every LPI: %s", (movallOfAll, vcpu) => {
    const machine = f2({ vcpus: 3, vgicV4Enable: false, hazards: { movallOfAll } });
    machine.gicd(0, ENABLE_GRP1);
    machine.command([ItsOp.MOVALL, 0, 0, 0, 0, 0, 2 << 16, 0]);
    machine.onEvent(ItsOp.INT, 7);
    expect([0, 1, 2].map((each) => machine.listed(each))).toEqual([0, 1, 2].map((each) => (each === vcpu ? [8200] : [])));
  });

  it("MAPC to another vCPU is VMOVI of each event of the collection", () => {
    const machine = f2();
    machine.direct(7);
    machine.trace.clear();
    machine.command([ItsOp.MAPC, 0, 0, 0, 1, 0x80000000 | 0]);
    expect(machine.physical()).toEqual([`VMOVI ${HOST_DEVICE} 0 0`]);
  });

  it("4.1: INV tells the redistributor that the vPE is on, with its number: GICR_INVLPIR (C1.6)", () => {
    const machine = f2({ hw: "v4.1", vcpus: 3 });
    machine.direct(7);
    machine.onEvent(ItsOp.MOVI, 7, 2);
    machine.load(2, 3);
    machine.trace.clear();
    machine.config(8200, 0x51);
    machine.onEvent(ItsOp.INV, 7);
    expect(machine.lines("gic_hw_write")).toEqual([`gic_hw_write(3,INVLPIR,0x8000000${machine.vpe(2).id}_00002008)`]);
    expect([machine.vpe(2).id, machine.property(8200)]).toEqual([2, 0x53]);
  });

  it("VG15: INVALL writes the properties and invalidates the vPE once", () => {
    const machine = f2();
    machine.mapti(8, 8201, 1);
    for (const event of [7, 8]) machine.direct(event);
    machine.config(8200, 0x51);
    machine.trace.clear();
    machine.command([ItsOp.INVALL, 0, 0, 0, 1]);
    expect(machine.physical().filter((line) => !line.startsWith("VMOVI"))).toEqual(["VINVALL 1"]);
    expect(machine.property(8200)).toBe(0x53);
  });

  it.each(["v4.0", "v4.1"] as const)("VG15 on %s: what is pending and enabled by INVALL while its vCPU runs reaches it", (hw) => {
    const machine = f2({ hw });
    if (hw === "v4.1") machine.gicd(0, 2);
    machine.boot();
    machine.config(8200, 0xa0);
    machine.onEvent(ItsOp.INV, 7);
    machine.direct(7);
    machine.send();
    expect(machine.acknowledged()).toEqual([]);
    machine.config(8200, 0xa1);
    machine.command([ItsOp.INVALL, 0, 0, 0, 1]);
    machine.settle();
    expect([machine.acknowledged(), machine.vpeBit(1, 8200)]).toEqual([["1:8200"], 0]);
  });

  it("4.1: INVALL is one GICR_INVALLR with the vPE's number, on its redistributor (C4)", () => {
    const machine = f2({ hw: "v4.1" });
    machine.direct(7);
    machine.load(1, 2);
    machine.trace.clear();
    machine.command([ItsOp.INVALL, 0, 0, 0, 1]);
    expect([machine.lines("gic_hw_write"), machine.physical()]).toEqual([[`gic_hw_write(2,INVALLR,0x8000000${machine.vpe(1).id}_00000000)`], []]);
  });

  it("INVALL of another vCPU's collection writes a VLPI's byte all the same (gic-its.md B6.1)", () => {
    const machine = f2();
    machine.direct(7);
    machine.config(8200, 0x51);
    machine.command([ItsOp.INVALL, 0, 0, 0, 0]);
    expect(machine.property(8200)).toBe(0x53);
  });

  it.each([0, 1])("INVALL where vPEs are on those ITSs alone that have VLPIs of theirs: the device is behind ITS %i (hazard R49)", (which) => {
    const machine = f2({ itses: [0x08080000, 0x08200000], its: { typerHigh: 0x1f }, itsOf: () => which }).boot();
    machine.config(8200, 0xa0);
    machine.onEvent(ItsOp.INV, 7);
    machine.direct(7);
    machine.send();
    machine.trace.clear();
    machine.config(8200, 0xa1);
    machine.command([ItsOp.INVALL, 0, 0, 0, 1]);
    machine.settle();
    expect(machine.lines("its_hw_command").filter((line) => line.includes("VINVALL"))).toEqual([`its_hw_command(${which}:VINVALL,-1,-1,1,done)`]);
    expect(machine.acknowledged()).toEqual(["1:8200"]);
  });

  it("VG29: a disabled VLPI rings no more: its doorbell is 1023", () => {
    const machine = f2({ guest: { idle: "wfi" } });
    machine.direct(7);
    machine.host.cpus[2].isShared = true;
    machine.boot();
    machine.config(8200, 0xa0);
    machine.trace.clear();
    machine.onEvent(ItsOp.INV, 7);
    expect(machine.physical()).toEqual([`VMOVI ${HOST_DEVICE} 0 1`, `INV ${HOST_DEVICE} 0`]);
    machine.send();
    expect(machine.lines("vpe_doorbell")).toEqual([]);
    expect(machine.vpeBit(1, 8200)).toBe(1);
  });

  it("VG40: MAPC V=0 of its collection changes nothing for a VLPI", () => {
    const machine = f2().boot();
    machine.direct(7);
    machine.command([ItsOp.MAPC, 0, 0, 0, 1, 0]);
    machine.trace.clear();
    machine.send();
    expect(machine.acknowledged()).toEqual(["1:8200"]);
  });

  it("MAPD of the device again unmaps its VLPIs, so does a reset of the ITS (hazard R6)", () => {
    for (const end of [
      (machine: DirectMachine) => machine.command([ItsOp.MAPD, 2, 4, 0, 0x401a0000, 0x80000000 | 0]),
      (machine: DirectMachine) => machine.setAttr(machine.itsFds[0], A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_ITS_CTRL_RESET, 0),
    ]) {
      const machine = f2();
      machine.direct(7);
      machine.trace.clear();
      end(machine);
      expect(machine.physical()).toContain(`MAPTI ${HOST_DEVICE} 0`);
      expect(machine.vpe(1).vlpis).toBe(0);
    }
  });
});
