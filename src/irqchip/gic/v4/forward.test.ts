import { describe, expect, it } from "vitest";
import { isValid, ItsOp, ItsVOp, opcodeOf, vpeidOf } from "../../../arch/gic/its-command.js";
import { IchHcr } from "../../../arch/gic/gich.js";
import { HOST_DEVICE } from "../../../explore/stages/direct-machine.js";
import { FakeVm } from "../../../explore/stages/vgic-stage.js";
import { ItsHost } from "../../../host/its/its-host.js";
import { Sim } from "../../../sim/sim.js";
import { run, type Step } from "../../../sim/step.js";
import { EBUSY, EINVAL, ENOMEM, EPERM } from "../../../uapi/errno.js";
import { createVgic } from "../vgic.js";
import { f2 } from "./f2.fixture.js";

// Vectors VG1 to VG11, VG16 to VG18, VG20 to VG22, VG36 and VG37 of gic.md D5.

/** A VM of four vCPUs with a GICv3 and an ITS, on a host with GICv4: INIT comes next. */
function beforeInit() {
  const sim = new Sim({ cpus: 3 });
  const { gic, driver, host } = ItsHost.create(sim, 2, { hw: "v4.0" });
  const vm = Object.assign(new FakeVm(sim, gic), { directIts: driver });
  for (let id = 0; id < 4; id++) vm.addVcpu(id);
  const vgic = run(createVgic(vm, 3, null));
  if (typeof vgic === "number") throw new Error(`errno ${vgic}`);
  run(vgic.createIts());
  return { host, driver, vgic };
}

describe("GICv4: opt-in and vPEs (C2)", () => {
  it("VG1: without the parameter no physical command is sent, and messages go by software", () => {
    const machine = f2({ vgicV4Enable: false }).boot();
    const vector = machine.direct(7);
    expect(machine.physical()).toEqual(["MAPD 256", "MAPTI 256 0", "INV 256 0"]);
    machine.send();
    expect([vector.trigger.runs, machine.acknowledged()]).toEqual([1, ["1:8200"]]);
  });

  it("VG2: an ITS made before INIT: INIT makes as many vPEs as there are vCPUs, each with its doorbell requested", () => {
    const { host, vgic } = beforeInit();
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

  it("a doorbell that is refused: INIT says why, those before it are freed, nothing is left, and the next INIT makes them all (C2.2)", () => {
    const { host, driver, vgic } = beforeInit();
    const request = host.requestIrq.bind(host);
    const asked: number[] = [];
    class Refusing {
      *requestIrq(...args: Parameters<typeof request>): Step<number> {
        asked.push(args[0]);
        return asked.length === 3 ? -EBUSY : yield* request(...args);
      }
    }
    host.requestIrq = new Refusing().requestIrq;
    const told: string[] = [];
    driver.nodes[0].its.listener = { command: (_its, words) => void (opcodeOf(words) === ItsVOp.VMAPP && told.push(`${vpeidOf(words)} ${isValid(words) ? 1 : 0}`)) };
    expect(run(vgic.init())).toBe(-EBUSY);
    expect([asked.length, asked.map((irq) => host.desc(irq)), vgic.dist.v4?.hasVpes, vgic.dist.v4?.vm.vpes]).toEqual([3, [null, null, null], false, []]);
    expect(told).toEqual(["0 1", "1 1", "2 1", "3 1", "0 0", "1 0", "3 0", "2 0"]);
    host.requestIrq = request;
    expect([run(vgic.init()), vgic.dist.v4?.cpus.length]).toEqual([0, 4]);
  });

  it("without room for its vPEs the VM is refused, and has none (C2.2)", () => {
    const sim = new Sim({ cpus: 3 });
    const { gic, driver } = ItsHost.create(sim, 2, { hw: "v4.0" });
    const vm = Object.assign(new FakeVm(sim, gic), { directIts: driver });
    vm.addVcpu(0);
    const vgic = run(createVgic(vm, 3, null));
    if (typeof vgic === "number") throw new Error(`errno ${vgic}`);
    run(vgic.createIts());
    expect(driver.allocateLpis(0x8000) >= 0 && driver.allocateLpis(0x4000) >= 0 && driver.allocateLpis(0x2000) >= 0).toBe(true);
    expect([run(vgic.init()), vgic.dist.v4?.hasVpes]).toEqual([-ENOMEM, false]);
  });

  it("VG22: nobody in user space moves a doorbell, the load does", () => {
    const machine = f2();
    expect(run(machine.host.setAffinity(machine.vpe(1).irq, [0]))).toBe(-EPERM);
    machine.boot();
    expect(machine.lines("vpe_move")).toEqual([]);
    expect(machine.vpe(1).isResident).toBe(true);
  });

  it.each([undefined, "linux-6.1"] as const)("VG36: a VM with nothing in list registers enters the guest with the virtual interface on (%s)", (compat) => {
    const machine = f2(compat === undefined ? {} : { vgic: { compat } }).boot();
    machine.direct(7);
    machine.settle();
    expect(machine.itsHost.gic.ich(2).hcr & IchHcr.EN).toBe(IchHcr.EN);
  });

  it("VG37: at the end doorbells are freed, every vPE is unmapped, and the tables are given back", () => {
    const machine = f2();
    const { host } = machine;
    const irqs = machine.v4.cpus.map(({ vpe }) => vpe.irq);
    const tables = [machine.v4.vm.vprop, ...machine.v4.cpus.map(({ vpe }) => vpe.vpt)];
    expect([0, 1, 57343].map((lpi) => machine.property(8192 + lpi))).toEqual([0xa2, 0xa2, 0xa2]);
    machine.trace.clear();
    run(machine.vgic.destroy());
    expect(machine.physical().filter((line) => line.startsWith("VMAPP"))).toEqual(["VMAPP 0", "VMAPP 1"]);
    expect(irqs.map((irq) => host.desc(irq))).toEqual([null, null]);
    expect(machine.v4.hasVpes).toBe(false);
    const { driver } = machine.itsHost;
    const blocks = [driver.takeBlock(0), driver.takeBlock(0), driver.takeBlock(0)];
    expect(blocks.sort()).toEqual(tables.sort()); // the next VM's are these
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
        seen.push(machine.property(8200));
        before?.command(which, words, outcome);
      },
    };
    expect(machine.bind(vector)).toBe(0);
    const vpe = machine.vpe(1);
    expect(machine.physical(true)).toEqual([`DISCARD ${HOST_DEVICE} 0`, "SYNC", `VMAPTI ${HOST_DEVICE} 0 ${vpe.id}`, `VSYNC ${vpe.id}`]);
    expect(seen).toEqual([0xa3, 0xa3, 0xa3, 0xa3]);
    expect([vpe.vlpis, run(machine.v4.isDirect(8200)), machine.hasVlpi(8200)]).toEqual([1, true, true]);
  });

  it("VG5: an event that comes between VMAPTI and the return of the call is delivered, with its properties", () => {
    const machine = f2().boot();
    const vector = machine.vector(7);
    const { its } = machine.itsHost.driver.nodes[0];
    const before = its.listener;
    its.listener = {
      command: (which, words, outcome) => {
        before?.command(which, words, outcome);
        if (opcodeOf(words) === ItsVOp.VMAPTI) which.translation.signal(HOST_DEVICE, 0, true); // the device, at once
      },
    };
    expect(machine.bind(vector)).toBe(0);
    expect([machine.acknowledged(), vector.trigger.runs, machine.property(8200)]).toEqual([["1:8200"], 0, 0xa3]);
  });

  it.each(["v4.0", "v4.1"] as const)("VG6, %s: an event of a disabled vLPI waits in the table until INV", (hw) => {
    const machine = f2({ hw }).boot();
    machine.config(8200, 0xa0);
    machine.onEvent(ItsOp.INV, 7);
    machine.direct(7);
    machine.send();
    expect([machine.vpeBit(1, 8200), machine.acknowledged()]).toEqual([1, []]);
    machine.config(8200, 0xa1);
    machine.trace.clear();
    machine.onEvent(ItsOp.INV, 7);
    machine.settle();
    expect(machine.acknowledged()).toEqual(["1:8200"]);
    expect(machine.lines("its_hw_command", "gic_hw_write").some((line) => line.includes("INV"))).toBe(true);
  });

  it("VG7: what is pending in software becomes pending in hardware", () => {
    const machine = f2();
    machine.onEvent(ItsOp.INT, 7);
    const vector = machine.vector(7);
    machine.trace.clear();
    machine.bind(vector);
    expect(machine.physical()).toEqual([`DISCARD ${HOST_DEVICE} 0`, `VMAPTI ${HOST_DEVICE} 0 1`, `INT ${HOST_DEVICE} 0`]);
    expect(machine.latched(8200)).toBe(false);
    expect(machine.vpeBit(1, 8200)).toBe(1);
    machine.boot();
    expect(machine.guest.acknowledged).toBe(1);
  });

  it("a route that carries no device id is none of the ITS's: no command (gic-v4.md C3.2 step 2)", () => {
    const machine = f2();
    machine.routeFlags = 0;
    const vector = machine.vector(7);
    machine.trace.clear();
    expect(machine.bind(vector)).toBe(0);
    expect([machine.physical(), machine.hasVlpi(8200)]).toEqual([[], false]);
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

  it("VG10: a device behind an ITS without virtual LPIs is not mapped, and stays with software", () => {
    const machine = f2({ itses: [0x08080000, 0x08200000], its: (number) => (number === 1 ? { typerLow: 0x1efb1 } : {}), itsOf: () => 1 }).boot();
    expect(machine.v4.hasVpes).toBe(true);
    const vector = machine.vector(7);
    machine.trace.clear();
    expect(machine.bind(vector)).toBe(-EINVAL);
    const commands = machine.physical().filter((line) => line.split(" ")[1] === String(HOST_DEVICE)); // others are the doorbells'
    expect([commands, machine.hasVlpi(8200)]).toEqual([[], false]);
    machine.send();
    expect([vector.trigger.runs, machine.acknowledged()]).toEqual([1, ["1:8200"]]);
  });

  it("a host without virtual LPIs has no vPEs", () => {
    expect(f2({ hw: "v3" }).vgic.dist.v4).toBeNull();
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
    expect(run(machine.vgic.unsetForwarding(vector.irq, machine.message(7)))).toBe(0);
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
