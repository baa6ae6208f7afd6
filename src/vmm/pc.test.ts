import { describe, expect, it } from "vitest";
import type { DmaPort } from "../device/dma-port.js";
import { expressCapability, msiCapability } from "../device/pci/capabilities.js";
import { NO_REGISTERS } from "../device/pci/bar.js";
import { PciFunction } from "../device/pci/function.js";
import { X86Software } from "../guest/x86-software.js";
import { run } from "../sim/step.js";
import { must } from "./must.js";
import { Pc, type PluggedFunction } from "./pc.js";
import { X86_GUEST, type X86Vmm } from "./x86-vmm.js";

const [VECTOR, GSI] = [0x41, 24];

/** A machine with `functions` that do nothing but send a message, and a guest that has the first. */
class Bench {
  readonly pc = new Pc();
  readonly dmas: DmaPort[] = [];
  readonly plugged: PluggedFunction[] = [];
  readonly vmm: X86Vmm;

  constructor(functions = 1) {
    for (let i = 0; i < functions; i++) this.plugged.push(run(this.pc.plug((slot) => this.fn(slot.name, slot.requesterId, slot.dma))));
    this.vmm = run(this.pc.start(new X86Software({ base: X86_GUEST.code, scratch: X86_GUEST.scratch, devices: [{ vector: VECTOR, pin: null, address: X86_GUEST.devices, accessesPerService: 1 }], eoi: "x2apic", idle: "hlt", handlerNs: 0 })));
  }

  private fn(name: string, requesterId: number, dma: DmaPort): PciFunction {
    this.dmas.push(dma);
    const capabilities = [expressCapability({ hasFlr: true }), msiCapability({ vectors: 1 })];
    return new PciFunction({ name, requesterId, vendor: 1, device: 1, classCode: 0xff0000, bars: [{ index: 0, size: 0x1000, kind: "mem32", registers: NO_REGISTERS }], capabilities });
  }

  wire(i: number): void {
    const eventfd = this.vmm.eventfd();
    const assigned = run(this.pc.assign(this.vmm, this.plugged[i]));
    run(this.vmm.routeMessage(GSI, { address: 0xfee0_0000, data: VECTOR }));
    must(run(this.vmm.vm.assignIrqfd(eventfd, GSI, -1)), "KVM_IRQFD");
    must(run(assigned.vfio.setTrigger(0, eventfd)), "VFIO_DEVICE_SET_IRQS");
    this.vmm.run();
    run(this.pc.sim.settle());
  }

  reads(i: number, address: number): boolean {
    return run(this.dmas[i].read(address, new Uint8Array(16)));
  }
}

describe("a PC for devices of one's own", () => {
  it("a function reaches its guest's memory and nothing else, before its assignment nothing at all", () => {
    const bench = new Bench();
    expect(bench.reads(0, 0x12_0000)).toBe(false);
    bench.wire(0);
    expect(bench.reads(0, 0x12_0000)).toBe(true);
    expect(bench.reads(0, bench.vmm.ram.size)).toBe(false);
  });

  it("functions stand in groups of their own: one that is not assigned stays blocked", () => {
    const bench = new Bench(2);
    bench.wire(0);
    expect(bench.plugged.map(({ device, group }) => [device.name, group.id])).toEqual([
      ["0000:01:00.0", 1],
      ["0000:02:00.0", 2],
    ]);
    expect([bench.reads(0, 0x12_0000), bench.reads(1, 0x12_0000)]).toEqual([true, false]);
  });

  it("what it begins with is checked", () => {
    expect(() => new Pc({ cpus: 2 })).toThrow(/too few/);
  });
});
