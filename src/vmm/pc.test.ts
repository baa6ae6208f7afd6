import { describe, expect, it } from "vitest";
import type { DmaPort } from "../device/dma-port.js";
import { CapId, Msi } from "../arch/pci/config-registers.js";
import { expressCapability, msiCapability } from "../device/pci/capabilities.js";
import type { Bar, BarRegisters } from "../device/pci/bar.js";
import { PciFunction } from "../device/pci/function.js";
import { X86Software } from "../guest/x86-software.js";
import { IommuDma } from "../host/iommu/dma.js";
import { IommuGroup } from "../host/iommu/group.js";
import { run, type Step } from "../sim/step.js";
import { must } from "./must.js";
import { Pc, type PluggedFunction } from "./pc.js";
import { X86_GUEST, type X86Vmm } from "./x86-vmm.js";

const [VECTOR, GSI] = [0x41, 24];

/** Registers that the guest's handler accesses once an interrupt. */
class CountingRegisters implements BarRegisters {
  accesses = 0;

  *read(): Step<number> {
    this.accesses++;
    return 0;
  }

  *write(): Step<void> {
    this.accesses++;
  }
}

/** A machine with `functions` that do nothing but send a message, and a guest that has the first. */
class Bench {
  readonly pc = new Pc();
  readonly dmas: DmaPort[] = [];
  readonly plugged: PluggedFunction[] = [];
  readonly vmm: X86Vmm;
  readonly registers = new CountingRegisters();

  constructor(functions = 1) {
    for (let i = 0; i < functions; i++) this.plugged.push(run(this.pc.plug((slot) => this.fn(slot.name, slot.requesterId, slot.dma))));
    this.vmm = run(this.pc.start(new X86Software({ base: X86_GUEST.code, scratch: X86_GUEST.scratch, devices: [{ vector: VECTOR, pin: null, address: X86_GUEST.devices, accessesPerService: 1 }], eoi: "x2apic", idle: "hlt", handlerNs: 0 })));
  }

  private fn(name: string, requesterId: number, dma: DmaPort): PciFunction {
    this.dmas.push(dma);
    const capabilities = [expressCapability({ hasFlr: true }), msiCapability({ vectors: 1 })];
    // One window is all that the guest has for registers.
    const bars: Bar[] = this.dmas.length > 1 ? [] : [{ index: 0, size: 0x1000, kind: "mem32", registers: this.registers }];
    return new PciFunction({ name, requesterId, vendor: 1, device: 1, classCode: 0xff0000, bars, capabilities });
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

  it("a function that writes another's message by DMA interrupts nobody, and its own interrupts its guest", () => {
    const bench = new Bench(2);
    bench.wire(0);
    run(bench.pc.assign(bench.vmm, bench.plugged[1]));
    const { fn } = bench.plugged[0];
    const at = fn.capability(CapId.MSI);
    const message = new Uint8Array(4);
    new DataView(message.buffer).setUint32(0, fn.peek(at + Msi.DATA_64, 2), true);
    const address = fn.peek(at + Msi.ADDRESS_LO, 4) >>> 0;
    const served = (i: number): number => {
      run(bench.dmas[i].write(address, message));
      run(bench.pc.sim.settle());
      return bench.registers.accesses;
    };
    expect([served(1), served(0)]).toEqual([0, 1]);
  });

  it("VT-d records what it blocks, by requester and page, until its registers are full", () => {
    const bench = new Bench();
    bench.reads(0, 0x1234);
    bench.wire(0);
    const beyond = bench.vmm.ram.size + 0x10;
    bench.reads(0, beyond);
    run(bench.dmas[0].write(beyond, new Uint8Array(4)));
    const requesterId = 0x100;
    expect(bench.pc.iommu.events).toEqual({
      records: [
        { reason: "NO_READ", requesterId, address: beyond - 0x10, isWrite: false },
        { reason: "NO_WRITE", requesterId, address: beyond - 0x10, isWrite: true },
      ],
      hasOverflown: false,
    });
    for (let i = 0; i < 7; i++) bench.reads(0, beyond);
    expect([bench.pc.iommu.events.records.length, bench.pc.iommu.events.hasOverflown]).toEqual([8, true]);
  });

  it("VT-d has no context for a function whose group is blocked", () => {
    const { pc } = new Bench();
    const group = new IommuGroup(pc.sim, 9);
    run(group.claimDmaOwner({}));
    expect(run(new IommuDma(pc.iommu, group, 0x900).write(0x1234, new Uint8Array(4)))).toBe(false);
    expect(pc.iommu.events.records).toEqual([{ reason: "CONTEXT_NOT_PRESENT", requesterId: 0x900, address: 0x1000, isWrite: true }]);
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
