import { describe, expect, it } from "vitest";
import { ItsOp } from "../../../arch/gic/its-command.js";
import { IchHcr } from "../../../arch/gic/gich.js";
import { FakeVm } from "../../../explore/stages/vgic-stage.js";
import { ItsHost } from "../../../host/its/its-host.js";
import { Sim } from "../../../sim/sim.js";
import { run } from "../../../sim/step.js";
import { EACCES, EINVAL, EPERM } from "../../../uapi/errno.js";
import * as A from "../../../uapi/arm.js";
import { createVgic } from "../vgic.js";
import { DirectMachine, type DirectOptions, HOST_DEVICE } from "../../../explore/stages/direct-machine.js";

// Test vectors VG1 to VG37 of gic.md D5. The device's event is 0 of device 0x100 on the host, 7 of device 2 in the guest.

const VPROP_8200 = 8;

function f2(options: DirectOptions = {}): DirectMachine {
  const machine = new DirectMachine(options);
  machine.trace.clear();
  return machine;
}
const property = (machine: DirectMachine): number => machine.gic.version === 3 ? machine.itsHost.gic.ram.u8(machine.v4.vm.vprop + VPROP_8200) : -1;
const vptBit = (machine: DirectMachine, cpu: number, intid = 8200): number => (machine.itsHost.gic.ram.u8(machine.vpe(cpu).vpt + (intid >>> 3)) >>> (intid & 7)) & 1;

describe("GICv4: opt-in and vPEs (C2)", () => {
  it("VG1: without the parameter no physical command is sent, and messages go by software", () => {
    const machine = f2({ vgicV4Enable: false }).boot();
    const vector = machine.direct(7);
    expect(machine.physical()).toEqual(["MAPD 256", "MAPTI 256 0", "INV 256 0"]);
    machine.send();
    expect([vector.trigger.runs, machine.acknowledged()]).toEqual([1, ["1:8200"]]);
  });

  it("VG2: an ITS made before INIT: INIT makes as many vPEs as there are vCPUs, each with its doorbell requested", () => {
    const sim = new Sim({ cpus: 3 });
    const { gic, driver, host } = ItsHost.create(sim, 2, { hw: "v4.0" });
    const vm = Object.assign(new FakeVm(sim, gic), { directIts: driver });
    for (let id = 0; id < 4; id++) vm.addVcpu(id);
    const vgic = run(createVgic(vm, 3, null));
    if (typeof vgic === "number") throw new Error(`errno ${vgic}`);
    run(vgic.createIts());
    expect(vgic.dist.v4?.hasVpes).toBe(false);
    expect(run(vgic.init())).toBe(0);
    const irqs = vgic.dist.v4?.cpus.map(({ vpe }) => vpe.irq) ?? [];
    expect(irqs.length).toBe(4);
    expect(irqs.map((irq) => host.desc(irq)?.settings)).toEqual([0x1b, 0x1b, 0x1b, 0x1b]);
  });

  it("VG3: an ITS made after INIT brings the vPEs, the second one nothing", () => {
    const machine = f2();
    expect(machine.v4.cpus.length).toBe(2);
    const { irq } = machine.vpe(0);
    machine.createIts(0x08200000);
    expect([machine.v4.cpus.length, machine.vpe(0).irq]).toEqual([2, irq]);
  });

  it("VG22: nobody in user space moves a doorbell, the load does", () => {
    const machine = f2();
    expect(run(machine.host.setAffinity(machine.vpe(1).irq, [0]))).toBe(-EPERM);
    machine.boot();
    expect(machine.lines("vpe_move")).toEqual([]);
    expect(machine.vpe(1).isResident).toBe(true);
  });

  it("VG36: a VM with nothing in list registers enters the guest with the virtual interface on", () => {
    const machine = f2().boot();
    machine.direct(7);
    machine.settle();
    expect(machine.itsHost.gic.ich(2).hcr & IchHcr.EN).toBe(IchHcr.EN);
  });

  it("VG37: at the end doorbells are freed, and every vPE is unmapped", () => {
    const machine = f2();
    const { host } = machine;
    const irqs = machine.v4.cpus.map(({ vpe }) => vpe.irq);
    machine.trace.clear();
    run(machine.vgic.destroy());
    expect(machine.physical().filter((line) => line.startsWith("VMAPP"))).toEqual(["VMAPP 0", "VMAPP 1"]);
    expect(irqs.map((irq) => host.desc(irq))).toEqual([null, null]);
    expect(machine.v4.hasVpes).toBe(false);
  });
});

describe("GICv4: forwarding (C3)", () => {
  it("VG4: the properties are there before DISCARD and VMAPTI; the vPE is counted", () => {
    const machine = f2();
    const vector = machine.vector(7);
    machine.trace.clear();
    const seen: number[] = [];
    const { its } = machine.itsHost.driver.nodes[0];
    const before = its.listener;
    its.listener = {
      command: (which, words, outcome) => {
        seen.push(property(machine));
        before?.command(which, words, outcome);
      },
    };
    expect(machine.bind(vector)).toBe(0);
    const vpe = machine.vpe(1);
    expect(machine.physical(true)).toEqual([`DISCARD ${HOST_DEVICE} 0`, "SYNC", `VMAPTI ${HOST_DEVICE} 0 ${vpe.id}`, `VSYNC ${vpe.id}`]);
    expect(seen).toEqual([0xa3, 0xa3, 0xa3, 0xa3]);
    expect([vpe.vlpis, run(machine.v4.isDirect(8200)), machine.hasVlpi(8200)]).toEqual([1, true, true]);
  });

  it("VG6: an event of a disabled vLPI waits in the table until INV", () => {
    const machine = f2().boot();
    machine.config(8200, 0xa0);
    machine.onEvent(ItsOp.INV, 7);
    machine.direct(7);
    machine.send();
    expect([vptBit(machine, 1), machine.acknowledged()]).toEqual([1, []]);
    machine.config(8200, 0xa1);
    machine.trace.clear();
    machine.onEvent(ItsOp.INV, 7);
    machine.settle();
    expect(machine.acknowledged()).toEqual(["1:8200"]);
    expect(machine.lines("its_hw_command").some((line) => line.includes("INV"))).toBe(true);
  });

  it("VG7: what is pending in software becomes pending in hardware", () => {
    const machine = f2();
    machine.onEvent(ItsOp.INT, 7);
    const vector = machine.vector(7);
    machine.trace.clear();
    machine.bind(vector);
    expect(machine.physical()).toEqual([`DISCARD ${HOST_DEVICE} 0`, `VMAPTI ${HOST_DEVICE} 0 1`, `INT ${HOST_DEVICE} 0`]);
    expect(machine.latched(8200)).toBe(false);
    expect(vptBit(machine, 1)).toBe(1);
    machine.boot();
    expect(machine.guest.acknowledged).toBe(1);
  });

  it("VG8: a second set-up of the same sends nothing", () => {
    const machine = f2();
    const vector = machine.direct(7);
    machine.trace.clear();
    expect(run(machine.vgic.setForwarding(vector.irq, machine.message(7)))).toBe(0);
    expect([machine.physical(), machine.vpe(1).vlpis]).toEqual([[], 1]);
  });

  it("VG9: another address, an event that is not mapped: nothing", () => {
    const machine = f2();
    const vectors = [machine.vector(7, 0x09000040), machine.vector(8)];
    machine.trace.clear();
    expect(vectors.map((vector) => machine.bind(vector))).toEqual([0, 0]);
    expect(machine.physical()).toEqual([]);
  });

  it("VG10: a host whose ITS has no virtual LPIs does not forward, and refuses to map", () => {
    const machine = f2({ hw: "v3" });
    expect(machine.vgic.dist.v4).toBeNull();
    const vector = machine.vector(7);
    expect(run(machine.host.setIrqVcpuAffinity(vector.irq, null))).toBe(-EINVAL);
    machine.boot();
    machine.bind(vector);
    machine.send();
    expect(vector.trigger.runs).toBe(1);
  });

  it("VG16: after the guest's DISCARD the event is the host's again", () => {
    const machine = f2().boot();
    const vector = machine.direct(7);
    machine.trace.clear();
    machine.onEvent(ItsOp.DISCARD, 7);
    expect(machine.physical()).toEqual([`DISCARD ${HOST_DEVICE} 0`, `MAPTI ${HOST_DEVICE} 0`, `INV ${HOST_DEVICE} 0`]);
    expect(machine.vpe(1).vlpis).toBe(0);
    machine.send();
    expect([vector.trigger.runs, machine.acknowledged()]).toEqual([1, []]);
  });

  it("VG17: DISCARD and MAPTI of the same: software injects", () => {
    const machine = f2().boot();
    const vector = machine.direct(7);
    machine.onEvent(ItsOp.DISCARD, 7);
    machine.mapti(7, 8200, 1);
    machine.trace.clear();
    machine.send();
    expect([vector.trigger.runs, machine.acknowledged()]).toEqual([1, ["1:8200"]]);
  });

  it("VG18: unset, and unset of an interrupt that is no VLPI", () => {
    const machine = f2();
    const vector = machine.direct(7);
    machine.trace.clear();
    machine.unbind(vector);
    expect(machine.physical()).toEqual([`DISCARD ${HOST_DEVICE} 0`, `MAPTI ${HOST_DEVICE} 0`, `INV ${HOST_DEVICE} 0`]);
    expect(run(machine.vgic.unsetForwarding(vector.irq))).toBe(0);
    expect(machine.vpe(1).vlpis).toBe(0);
  });

  it("VG20: a producer that is refused leaves the guest running", () => {
    const machine = f2().boot();
    const first = machine.direct(7);
    const { vm } = machine.v4;
    const device = machine.itsHost.driver.deviceOf(machine.host.desc(first.irq)?.data.parent?.hwirq ?? 0);
    if (device === null) throw new Error("no device");
    const other = { ...vm } as typeof vm;
    device.vm = other; // VG11: the device is another VM's
    machine.mapti(8, 8201, 1);
    const second = machine.vector(8);
    expect(machine.bind(second)).toBe(-EINVAL);
    device.vm = vm;
    machine.trace.clear();
    machine.send();
    expect(machine.acknowledged()).toEqual(["1:8200"]);
  });

  it("VG21: another message: the vector is forwarded no more, software injects", () => {
    const machine = f2().boot();
    machine.mapti(9, 8201, 0);
    machine.config(8201, 0xa1);
    machine.onEvent(ItsOp.INV, 9);
    const vector = machine.direct(7);
    machine.trace.clear();
    machine.reroute(vector, 9);
    expect(machine.physical()).toEqual([`DISCARD ${HOST_DEVICE} 0`, `MAPTI ${HOST_DEVICE} 0`, `INV ${HOST_DEVICE} 0`]);
    machine.send();
    expect([vector.trigger.runs, machine.acknowledged()]).toEqual([1, ["0:8201"]]);
    machine.reroute(vector, 9);
    expect(machine.physical()).toEqual([]);
  });
});

describe("GICv4: what the guest does with a VLPI (C4)", () => {
  it("VG12: INT and CLEAR reach the hardware, the latch is not used", () => {
    const machine = f2();
    machine.direct(7);
    machine.trace.clear();
    machine.onEvent(ItsOp.INT, 7);
    expect([machine.physical(), vptBit(machine, 1), machine.latched(8200)]).toEqual([[`INT ${HOST_DEVICE} 0`], 1, false]);
    machine.onEvent(ItsOp.CLEAR, 7);
    expect([machine.physical(), vptBit(machine, 1)]).toEqual([[`CLEAR ${HOST_DEVICE} 0`], 0]);
  });

  it("VG13: MOVI is VMOVI, the pending bit goes along, the counts follow", () => {
    const machine = f2();
    machine.direct(7);
    machine.send();
    machine.trace.clear();
    machine.onEvent(ItsOp.MOVI, 7, 0);
    expect(machine.physical()).toEqual([`VMOVI ${HOST_DEVICE} 0 0`]);
    expect([vptBit(machine, 0), vptBit(machine, 1), machine.vpe(0).vlpis, machine.vpe(1).vlpis]).toEqual([1, 0, 1, 0]);
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

  it("MAPC to another vCPU is VMOVI of each event of the collection", () => {
    const machine = f2();
    machine.direct(7);
    machine.trace.clear();
    machine.command([ItsOp.MAPC, 0, 0, 0, 1, 0x80000000 | 0]);
    expect(machine.physical()).toEqual([`VMOVI ${HOST_DEVICE} 0 0`]);
  });

  it("VG15: INVALL writes the properties and invalidates the vPE once", () => {
    const machine = f2();
    machine.mapti(8, 8201, 1);
    for (const event of [7, 8]) machine.direct(event);
    machine.config(8200, 0x51);
    machine.trace.clear();
    machine.command([ItsOp.INVALL, 0, 0, 0, 1]);
    expect(machine.physical().filter((line) => !line.startsWith("VMOVI"))).toEqual(["VINVALL 1"]);
    expect(property(machine)).toBe(0x53);
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
    expect(vptBit(machine, 1)).toBe(1);
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
    expect([machine.lines("host_ack", "vpe_doorbell"), vector.trigger.runs, vptBit(machine, 1)]).toEqual([[], 0, 1]);
    machine.load(1, 1);
    const vif = machine.itsHost.gic.ich(1);
    vif.hcr = 1;
    vif.vmcr = 0xf0000002 | 0;
    expect(run(vif.acknowledge(1))).toBe(8200);
  });

  it("VG28: what comes between the arming of the doorbell and the deschedule is in PendingLast: the vCPU does not sleep", () => {
    const machine = f2();
    machine.direct(7);
    machine.load(1, 2);
    machine.send();
    machine.wait(1, 2);
    expect(machine.lines("vpe_away")).toContain("vpe_away(2,1,1)");
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
    expect([machine.lines("vpe_away"), vptBit(machine, 1)]).toEqual([["vpe_away(2,1,0)"], 1]);
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

  it("4.1: the pending bit of a VLPI is saved with the vPEs unmapped, and they are mapped again", () => {
    const machine = f2({ hw: "v4.1" });
    machine.direct(7);
    machine.send();
    machine.trace.clear();
    expect(run(machine.vgic.setAttr(machine.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0))).toBe(0);
    expect(machine.savedBit(1, 8200)).toBe(true);
    expect(machine.physical().filter((line) => line.startsWith("VMAPP")).map((line) => line.split(" ")[1])).toEqual(["0", "1", "0", "1"]);
    expect(vptBit(machine, 1)).toBe(1);
  });
});
