import { describe, expect, it } from "vitest";
import { eventIdOf, isAlloc, isPendingZero, itsListOf, ItsVOp, isValid, opcodeOf, sequenceOf, vpeidOf } from "../../arch/gic/its-command.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { moveIrq } from "../irq/affinity.js";
import { irqActivate } from "../irq/state.js";
import type { MsiDevice } from "../msi.js";
import { ItsHost, type ItsHostOptions } from "./its-host.js";
import { ItsVm, ItsVpe, vlpiProperties } from "./its-vm.js";
import { commandName } from "./its-trace.js";
import { VlpiCommand } from "./vlpis.js";
import { allocateVcpuIrqs, freeVcpuIrqs } from "./vpes.js";

class Card implements MsiDevice {
  readonly name = "card";
  constructor(readonly deviceId: number) {}
  *writeMessage(): Step<void> {}
  *setMasked(): Step<void> {}
}

/** A VM of two vPEs on a host of four CPUs. */
class Machine {
  readonly sim = new Sim({ cpus: 5 });
  readonly its: ItsHost;
  readonly vm: ItsVm;
  /** Per ITS: "VMOVP vpe:1 seq:1 list:3", "VMAPP vpe:0 V:0". */
  readonly commands: string[] = [];
  /** Every command by name. */
  readonly all: string[] = [];

  constructor(options: ItsHostOptions) {
    this.its = ItsHost.create(this.sim, 4, options);
    this.vm = new ItsVm(this.sim, this.its.driver.nodes.length);
    this.vm.vpes = [new ItsVpe(this.sim), new ItsVpe(this.sim)];
    for (const { its } of this.its.driver.nodes)
      its.listener = {
        command: ({ number }, dw) => {
          if (opcodeOf(dw) === ItsVOp.VMOVP) this.commands.push(`${number}: VMOVP ${vpeidOf(dw)} seq ${sequenceOf(dw)} list ${itsListOf(dw)}`);
          if (opcodeOf(dw) === ItsVOp.VMAPP) this.commands.push(`${number}: VMAPP ${vpeidOf(dw)} V ${isValid(dw) ? 1 : 0}`);
          this.all.push(`${number}: ${commandName(opcodeOf(dw))}${opcodeOf(dw) === ItsVOp.VMAPP ? ` alloc ${isAlloc(dw) ? 1 : 0} zero ${isPendingZero(dw) ? 1 : 0}` : ""}`);
        },
      };
    expect(run(allocateVcpuIrqs(this.its.driver, this.vm))).toBe(0);
  }

  vector(deviceId: number): number {
    const irq = run(this.its.msi.alloc(new Card(deviceId), 0, 1, []));
    const desc = this.its.host.desc(irq);
    if (desc === null) throw new Error("no irq");
    run(desc.lock.lock());
    run(irqActivate(desc));
    run(desc.lock.unlock());
    return irq;
  }

  map(irq: number, vintid: number, vm = this.vm): number {
    const map = { vm, vpe: this.vm.vpes[0], vintid, properties: vlpiProperties(0xa0, true), isDoorbellOn: true };
    return run(this.its.host.setIrqVcpuAffinity(irq, new VlpiCommand("map", map)));
  }

  taken(): string[] {
    return this.commands.splice(0);
  }
}

const LIST = { hw: "v4.0", itses: [0x08080000, 0x08200000], its: { typerHigh: 0x1f }, itsOf: (id: number) => (id < 0x200 ? 0 : 1) } as const;

describe("vPEs on the ITSs", () => {
  it("eager: every vPE is mapped on every ITS at once, and a move is one command", () => {
    const machine = new Machine({ hw: "v4.0", itses: LIST.itses });
    expect(machine.taken()).toEqual(["0: VMAPP 0 V 1", "1: VMAPP 0 V 1", "0: VMAPP 1 V 1", "1: VMAPP 1 V 1"]);
    run(moveIrq(machine.its.host.irqs, machine.vm.vpes[1].irq, 3));
    run(moveIrq(machine.its.host.irqs, machine.vm.vpes[1].irq, 3));
    expect(machine.taken()).toEqual(["0: VMOVP 1 seq 0 list 0"]);
    run(freeVcpuIrqs(machine.its.driver, machine.vm));
    expect(machine.taken()).toEqual(["0: VMAPP 1 V 0", "1: VMAPP 1 V 0", "0: VMAPP 0 V 0", "1: VMAPP 0 V 0"]);
  });

  it("a vPE that is mapped begins with nothing in a cache: VINVALL follows (C1.5)", () => {
    const machine = new Machine({ hw: "v4.0" });
    const one = ["0: VMAPP alloc 0 zero 0", "0: VSYNC", "0: VINVALL", "0: VSYNC"];
    expect(machine.all).toEqual([...one, ...one]);
  });

  it("4.1: Alloc with the first mapping of a vPE anywhere and with the last, and its table is said to be zero once", () => {
    const machine = new Machine({ hw: "v4.1", itses: LIST.itses });
    const mapped = (): string[] => machine.all.splice(0).filter((line) => line.includes("VMAPP"));
    const first = ["0: VMAPP alloc 1 zero 1", "1: VMAPP alloc 0 zero 0"];
    const last = ["0: VMAPP alloc 0 zero 0", "1: VMAPP alloc 1 zero 0"];
    expect(mapped()).toEqual([...first, ...first]);
    run(freeVcpuIrqs(machine.its.driver, machine.vm));
    expect(mapped()).toEqual([...last, ...last]);
  });

  it("what a VM had is given back: the next one gets the same doorbells, and a device of the last one may be its own", () => {
    const machine = new Machine({ hw: "v4.0" });
    const { driver, host } = machine.its;
    const irq = machine.vector(0x100);
    const lpi = host.desc(irq)?.data.parent?.hwirq ?? 0;
    const byte = (): number => driver.gic.ram.u8((run(driver.gic.readGicr(0, 0x70, 8)) & ~0xfff) + lpi - 8192);
    const before = byte();
    run(driver.setEnabled(lpi, false));
    expect(byte()).not.toBe(before | 1);
    machine.map(irq, 8200);
    expect(run(host.setIrqVcpuAffinity(irq, null))).toBe(0);
    expect(byte() & 1).toBe(1);
    expect(machine.map(irq, 8200, new ItsVm(machine.sim, 1))).toBe(0);
    const { doorbellBase } = machine.vm;
    run(freeVcpuIrqs(driver, machine.vm));
    expect(driver.allocateLpis(2)).toBe(doorbellBase);
  });

  it("VG34: with the ITS list a move goes to each ITS with vLPIs of the VM, with one number and the whole list (hazard R17)", () => {
    const machine = new Machine(LIST);
    expect(machine.taken()).toEqual([]);
    expect([machine.map(machine.vector(0x100), 8200), machine.map(machine.vector(0x200), 8201)]).toEqual([0, 0]);
    expect(machine.taken()).toEqual(["0: VMAPP 0 V 1", "0: VMAPP 1 V 1", "1: VMAPP 0 V 1", "1: VMAPP 1 V 1"]);
    run(moveIrq(machine.its.host.irqs, machine.vm.vpes[0].irq, 2));
    run(moveIrq(machine.its.host.irqs, machine.vm.vpes[1].irq, 2));
    expect(machine.taken()).toEqual(["0: VMOVP 0 seq 1 list 3", "1: VMOVP 0 seq 1 list 3", "0: VMOVP 1 seq 2 list 3", "1: VMOVP 1 seq 2 list 3"]);
  });

  it("VG35: the last vLPI of an ITS unmaps every vPE there, and moves leave it out (hazard R18)", () => {
    const machine = new Machine(LIST);
    const [first, second] = [machine.vector(0x100), machine.vector(0x200)];
    machine.map(first, 8200);
    machine.map(second, 8201);
    machine.taken();
    expect(run(machine.its.host.setIrqVcpuAffinity(second, null))).toBe(0);
    expect(machine.taken()).toEqual(["1: VMAPP 0 V 0", "1: VMAPP 1 V 0"]);
    run(moveIrq(machine.its.host.irqs, machine.vm.vpes[0].irq, 2));
    expect(machine.taken()).toEqual(["0: VMOVP 0 seq 1 list 1"]);
  });

  it("VG11: a device with vLPIs of one VM is refused to another; unmapping what is not forwarded is refused", () => {
    const machine = new Machine({ hw: "v4.0" });
    const irq = machine.vector(0x100);
    expect(run(machine.its.host.setIrqVcpuAffinity(irq, null))).toBe(-EINVAL);
    expect(machine.map(irq, 8200)).toBe(0);
    expect(machine.map(irq, 8200, new ItsVm(machine.sim, 1))).toBe(-EINVAL);
    expect(run(machine.its.host.setAffinity(irq, [2]))).toBe(-EINVAL);
    expect(run(machine.its.host.setIrqVcpuAffinity(irq, null))).toBe(0);
    expect(run(machine.its.host.setAffinity(irq, [2]))).toBe(0);
  });

  it("a map is what get gives back, and a copy: nobody changes the driver's", () => {
    const machine = new Machine({ hw: "v4.0" });
    const irq = machine.vector(0x100);
    machine.map(irq, 8200);
    const query = new VlpiCommand("get");
    expect(run(machine.its.host.setIrqVcpuAffinity(irq, query))).toBe(0);
    expect(query.map).toMatchObject({ vintid: 8200, properties: 0xa3 });
    if (query.map !== null) query.map.properties = 0;
    const again = new VlpiCommand("get");
    run(machine.its.host.setIrqVcpuAffinity(irq, again));
    expect(again.map?.properties).toBe(0xa3);
  });

  it("a vPE of 4.1 is moved by VMOVP although its redistributors share their vPE table, and its doorbell with it (Linux af9acbfc2c4b)", () => {
    const machine = new Machine({ hw: "v4.1" });
    machine.taken();
    run(moveIrq(machine.its.host.irqs, machine.vm.vpes[1].irq, 3));
    expect(machine.taken()).toEqual(["0: VMOVP 1 seq 0 list 0"]);
    expect(run(machine.its.host.setAffinity(machine.vm.vpes[1].irq, [1, 3]))).toBe(0);
    expect([machine.taken(), machine.vm.vpes[1].cpu]).toEqual([[], 3]); // where it may stay it stays
  });

  it("the driver keeps a copy of a map: who gave it changes it for itself", () => {
    const machine = new Machine({ hw: "v4.0" });
    const irq = machine.vector(0x100);
    const map = { vm: machine.vm, vpe: machine.vm.vpes[0], vintid: 8200, properties: 0xa3, isDoorbellOn: true };
    run(machine.its.host.setIrqVcpuAffinity(irq, new VlpiCommand("map", map)));
    map.properties = 0;
    const query = new VlpiCommand("get");
    run(machine.its.host.setIrqVcpuAffinity(irq, query));
    expect(query.map?.properties).toBe(0xa3);
  });

  it("without room for the tables nothing is left behind", () => {
    const machine = new Machine({ hw: "v4.0" });
    const vm = new ItsVm(machine.sim, 1);
    vm.vpes = Array.from({ length: 0x10000 }, () => new ItsVpe(machine.sim));
    expect(run(allocateVcpuIrqs(machine.its.driver, vm))).toBeLessThan(0);
    expect(vm.vpes.every((vpe) => vpe.id === -1)).toBe(true);
  });
});

describe("doorbells through a device that does not exist (C1.8)", () => {
  it("the host's highest device id is theirs: a function that has it gets no message, and takes no event of theirs", () => {
    const machine = new Machine({ hw: "v4.0" });
    const { host, msi, driver } = machine.its;
    machine.all.splice(0);
    expect(run(msi.alloc(new Card(0xffff), 0, 1, []))).toBe(-EINVAL);
    expect([machine.all, host.irqs.lastWarning]).toEqual([[], "DevId ffff clashes with GICv4 VPE proxy device"]);
    expect(typeof run(driver.deviceFor(driver.nodes[0], 0xfffe, 1))).toBe("object");
    const direct = new Machine({ hw: "v4.1" });
    expect(run(direct.its.msi.alloc(new Card(0xffff), 0, 1, []))).toBeGreaterThan(0);
  });

  it("an event goes to another vPE when all are in use, and its first owner gets another when it asks", () => {
    const sim = new Sim({ cpus: 3 });
    const its = ItsHost.create(sim, 2, { hw: "v4.0" });
    const vm = new ItsVm(sim, 1);
    vm.vpes = [0, 1, 2].map(() => new ItsVpe(sim)); // two CPUs: two events
    expect(run(allocateVcpuIrqs(its.driver, vm))).toBe(0);
    const commands: string[] = [];
    its.driver.nodes[0].its.listener = { command: (_its, dw) => commands.push(`${commandName(opcodeOf(dw))} ${eventIdOf(dw)}`) };
    const ring = (n: number): string[] => {
      run(its.host.setIrqchipState(vm.vpes[n].irq, "pending", true));
      return commands.splice(0).filter((line) => !line.startsWith("SYNC"));
    };
    expect([ring(0), ring(1)]).toEqual([["MAPTI 0", "INT 0"], ["MAPTI 1", "INT 1"]]);
    expect(ring(2)).toEqual(["DISCARD 0", "MAPTI 0", "INT 0"]);
    expect([vm.vpes[0].proxyEvent, ring(1), ring(0)]).toEqual([-1, ["INT 1"], ["DISCARD 1", "MAPTI 1", "INT 1"]]);
    expect(vm.vpes.map(({ proxyEvent }) => proxyEvent)).toEqual([1, -1, 0]);
  });

  it("where their device cannot be made, the host says so and has no GICv4", () => {
    const sim = new Sim({ cpus: 3 });
    const devbits = 0x1f << 13;
    const { driver, host } = ItsHost.create(sim, 2, { hw: "v4.0", its: { typerLow: 0x1efb3 | devbits } }); // ids that no table of its reaches
    expect([driver.hasV4, driver.proxy, host.irqs.lastWarning]).toEqual([false, null, "ITS: Can't allocate GICv4 proxy device, disabling GICv4 support"]);
    expect(typeof run(driver.deviceFor(driver.nodes[0], 0x100, 1))).toBe("object");
    expect(ItsHost.create(new Sim({ cpus: 3 }), 2, { hw: "v4.0" }).driver.hasV4).toBe(true);
  });
});

it("4.1: GITS_TYPER says that redistributors share the ITS's vPE table, and where it does not the driver leaves virtual LPIs alone (C1.1)", () => {
  const [svpet, vmapp] = [1 << 9, 1 << 8];
  const { driver } = ItsHost.create(new Sim({ cpus: 3 }), 2, { hw: "v4.1", itses: [0x08080000, 0x08280000] });
  for (const { its } of driver.nodes) {
    run(its.read(8, 8));
    expect(its.high & (3 << 9 | vmapp)).toBe(svpet | vmapp);
  }
  expect([driver.hasV4, driver.nodes[0].vpeTable === driver.nodes[1].vpeTable]).toEqual([true, true]);
  expect(ItsHost.create(new Sim({ cpus: 3 }), 2, { hw: "v4.1", its: { typerHigh: 0x3f | vmapp } }).driver.hasV4).toBe(false);
});
