import { describe, expect, it } from "vitest";
import { NO_REGISTERS } from "../device/pci/bar.js";
import { type Capability, expressCapability, msiCapability, msixCapability } from "../device/pci/capabilities.js";
import { type FunctionCore, PciFunction, type PciFunctionOptions } from "../device/pci/function.js";
import { EdgeDevice, LevelDevice, type LineDevice } from "../device/line-device.js";
import { RegisterFile, REGISTERS_STRIDE } from "../device/register-file.js";
import { X86Software } from "../guest/x86-software.js";
import { run } from "../sim/step.js";
import { EAGAIN, ENOSPC, EOPNOTSUPP } from "../uapi/errno.js";
import { VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS, vfio_irq_info, vfio_irq_set } from "../uapi/vfio.js";
import { must } from "./must.js";
import { Pc, type PluggedFunction } from "./pc.js";
import type { AssignedDevice } from "./platform-device.js";
import { X86_GUEST, type X86Vmm } from "./x86-vmm.js";

const FIRST_VECTOR = 0x41;
const FIRST_GSI = 24;
const PIN = 16;
const MSIX = (vectors: number) => ({ vectors, tableBar: 2, tableOffset: 0, pbaBar: 2, pbaOffset: 0x8000 });

interface Shape {
  readonly pin?: number;
  readonly msi?: number;
  readonly msix?: number;
  readonly bar0?: number;
}

/** A PC with one function of the shape given, whose interrupts, as VFIO's client counts them, each raise and are serviced. */
class Bench {
  readonly pc = new Pc();
  readonly plugged: PluggedFunction;
  readonly vmm: X86Vmm;
  readonly lines: LineDevice[] = [];
  private device: AssignedDevice | null = null;

  constructor(shape: Shape) {
    this.plugged = run(this.pc.plug(({ name, requesterId }) => this.fn(shape, name, requesterId)));
    const devices = this.lines.map((line, i) => ({ vector: FIRST_VECTOR + i, pin: line.trigger === "level" ? PIN : null, address: X86_GUEST.devices + i * REGISTERS_STRIDE, accessesPerService: 1 }));
    this.vmm = run(this.pc.start(new X86Software({ base: X86_GUEST.code, scratch: X86_GUEST.scratch, devices, eoi: "x2apic", idle: "hlt", handlerNs: 0 })));
  }

  private fn({ pin = 0, msi = 0, msix = 0, bar0 = 0x1000 }: Shape, name: string, requesterId: number): PciFunction {
    const table = MSIX(msix);
    const capabilities: Capability[] = [expressCapability({ hasFlr: true })];
    if (msi > 0) capabilities.push(msiCapability({ vectors: msi }));
    if (msix > 0) capabilities.push(msixCapability(table));
    const bars: PciFunctionOptions["bars"] = [
      ...(bar0 === 0 ? [] : [{ index: 0, size: bar0, kind: "mem32" as const, registers: new RegisterFile(this.lines) }]),
      ...(msix > 0 ? [{ index: 2, size: 0x1_0000, kind: "mem32" as const, registers: NO_REGISTERS }] : []),
    ];
    const fn = new PciFunction({ name, requesterId, vendor: 1, device: 1, classCode: 0xff0000, intxPin: pin, bars, capabilities, ...(msix > 0 ? { msix: table } : {}) });
    const pins = pin > 0 ? 1 : 0;
    if (pin > 0) this.lines.push(new LevelDevice(this.pc.sim, name, fn.intx));
    for (let i = 0; i < Math.min(msix || msi, 8); i++) this.lines.push(new EdgeDevice(this.pc.sim, name, fn.vector(i), { index: pins + i }));
    fn.core = new Resets(this.lines);
    return fn;
  }

  get assigned(): AssignedDevice {
    return (this.device ??= run(this.pc.assign(this.vmm, this.plugged)));
  }

  wireMessage(interrupt: number): number {
    const [gsi, eventfd] = [FIRST_GSI + interrupt, this.vmm.eventfd()];
    run(this.vmm.routeMessage(gsi, { address: 0xfee0_0000, data: FIRST_VECTOR + interrupt }));
    must(run(this.vmm.vm.assignIrqfd(eventfd, gsi, -1)), "KVM_IRQFD");
    return run(this.assigned.vfio.setTrigger(interrupt, eventfd));
  }

  /** By a resampling irqfd: the guest's end of interrupt unmasks the device. */
  wirePin(): number[] {
    const [trigger, resample] = [this.vmm.eventfd(), this.vmm.eventfd()];
    must(run(this.vmm.vm.assignIrqfd(trigger, PIN, resample)), "KVM_IRQFD");
    return [run(this.assigned.vfio.setTrigger(0, trigger)), run(this.assigned.vfio.setUnmaskEventfd(0, resample))];
  }

  start(): void {
    this.vmm.run();
    run(this.pc.sim.settle());
  }

  /** Each of these raises so many times, one after the other; what their handlers found. */
  raise(interrupts: readonly number[], times: number): number[] {
    for (let i = 0; i < times; i++) {
      for (const interrupt of interrupts) {
        run(this.lines[interrupt].raise());
        run(this.pc.sim.settle());
      }
    }
    return this.lines.map((line) => line.counts.delivered);
  }

  /** SET_IRQS and GET_IRQ_INFO as they pass, and what `answer` has instead of the kernel's answer. */
  spy(answer: (request: number, index: number, last: number) => number | null): string[] {
    const seen: string[] = [];
    const { process } = this.vmm;
    const ask = process.ioctl.bind(process);
    process.ioctl = function* (fd: number, request: number, address: number) {
      const read = (offset: number): number => process.memory.getU32(address + offset);
      if (request === VFIO_DEVICE_GET_IRQ_INFO) {
        const result = yield* ask(fd, request, address);
        const index = read(vfio_irq_info.index.offset);
        const flags = answer(request, index, 0);
        if (flags !== null) process.memory.setU32(address + vfio_irq_info.flags.offset, flags);
        return result;
      }
      if (request !== VFIO_DEVICE_SET_IRQS) return yield* ask(fd, request, address);
      const [flags, index, start, count] = [vfio_irq_set.flags, vfio_irq_set.index, vfio_irq_set.start, vfio_irq_set.count].map((field) => read(field.offset));
      const result = answer(request, index, start + count) ?? (yield* ask(fd, request, address));
      seen.push(`${index}: ${(flags & 4) === 0 ? "none" : "eventfds"} ${start}+${count} = ${result}`);
      return result;
    };
    return seen;
  }
}

class Resets implements FunctionCore {
  constructor(private readonly lines: readonly LineDevice[]) {}
  *reset() {
    for (let i = 0; i < this.lines.length; i++) yield* this.lines[i].reset();
  }
}

describe("a PC takes a function with whatever interrupts it has", () => {
  it("none at all", () => {
    const bench = new Bench({});
    bench.start();
    expect(bench.assigned.vfio.lacks([])).toBe(0);
  });

  it("a pin alone: it has a wire, and a resampling irqfd carries its level", () => {
    const bench = new Bench({ pin: 1 });
    expect(bench.wirePin()).toEqual([0, 0]);
    bench.start();
    expect(bench.raise([0], 5)).toEqual([5]);
    expect(bench.lines[0].counts).toMatchObject({ raised: 5, lost: 0, spurious: 0 });
  });

  it("MSI of several vectors, each its own", () => {
    const bench = new Bench({ msi: 4 });
    expect([0, 1, 2, 3].map((i) => bench.wireMessage(i))).toEqual([0, 0, 0, 0]);
    bench.start();
    expect(bench.raise([0, 2, 3, 2], 1)).toEqual([1, 0, 2, 1]);
  });

  it("a pin and MSI, now this one and now that: wiring one ends the other", () => {
    const bench = new Bench({ pin: 1, msi: 2 });
    expect(bench.wirePin()).toEqual([0, 0]);
    bench.start();
    expect(bench.raise([0], 2)).toEqual([2, 0, 0]);
    expect([bench.wireMessage(1), bench.wireMessage(2)]).toEqual([0, 0]);
    expect(bench.raise([1, 2], 1)).toEqual([2, 1, 1]);
    expect(run(bench.assigned.vfio.setTrigger(0, bench.vmm.eventfd()))).toBe(0);
    expect(bench.raise([1], 1)).toEqual([2, 1, 1]);
  });

  it("MSI-X of more vectors than one request names, of which the host has fewer", () => {
    const bench = new Bench({ msix: 2048 });
    const answers = bench.spy((request, _index, last) => (request === VFIO_DEVICE_SET_IRQS && last > 40 ? 40 : null));
    expect(bench.wireMessage(7)).toBe(0);
    expect(answers).toEqual(["2: eventfds 1048+1000 = 40", "2: eventfds 0+40 = 0", "2: eventfds 7+1 = 0"]);
    bench.start();
    expect(bench.raise([7], 3)[7]).toBe(3);
  });

  it("no registers, or fewer than a page of them", () => {
    const bench = new Bench({ pin: 1, bar0: 0x100 });
    bench.wirePin();
    bench.start();
    expect(bench.raise([0], 2)).toEqual([2]);
    expect(new Bench({ bar0: 0 }).assigned.size).toBe(0);
  });

  it("the slots' pins go round the host's IOAPIC: the ninth slot's is on the wire of the first", () => {
    const bench = new Bench({ pin: 1 });
    const plug = (): PluggedFunction => run(bench.pc.plug(({ name, requesterId }) => new PciFunction({ name, requesterId, vendor: 1, device: 1, classCode: 0xff0000, intxPin: 1 })));
    const irqs = Array.from({ length: 8 }, () => plug().device.irq);
    expect(new Set(irqs).size).toBe(8);
    expect(irqs.indexOf(bench.plugged.device.irq)).toBe(7);
  });
});

describe("virq's own client copes (vfio.md 22.2, 22.3)", () => {
  it("GET_DEVICE_FD answers EAGAIN while somebody resets the device: it asks again", () => {
    const bench = new Bench({ msi: 1 });
    const { device } = bench.plugged;
    const reset = device.tryResetFunction.bind(device);
    let tries = 0;
    device.tryResetFunction = function* () {
      return tries++ < 2 ? -EAGAIN : yield* reset();
    };
    expect(bench.wireMessage(0)).toBe(0);
    expect(tries).toBe(3);
  });

  it("SET_IRQS answers with the vectors that there are: it enables those, and has no more", () => {
    const bench = new Bench({ msi: 4 });
    const answers = bench.spy((request, _index, last) => (request === VFIO_DEVICE_SET_IRQS && last > 2 ? 2 : null));
    expect([0, 1, 2].map((i) => bench.wireMessage(i))).toEqual([0, 0, -ENOSPC]);
    expect(answers.slice(0, 2)).toEqual(["1: eventfds 0+4 = 2", "1: eventfds 0+2 = 0"]);
    expect(bench.assigned.vfio.lacks([0, 1, 2, 3])).toBe(4);
    bench.start();
    expect(bench.raise([0, 1], 1)).toEqual([1, 1, 0, 0]);
  });

  it("SET_IRQS fails for vectors: the pin is left", () => {
    const bench = new Bench({ pin: 1, msi: 2 });
    bench.spy((request, index) => (request === VFIO_DEVICE_SET_IRQS && index === 1 ? -ENOSPC : null));
    expect(bench.wireMessage(1)).toBe(-ENOSPC);
    expect(bench.wirePin()).toEqual([0, 0]);
    bench.start();
    expect(bench.raise([0], 1)).toEqual([1, 0, 0]);
  });

  it("MSI-X that does not grow is enabled anew for one more vector, what it had with it; nothing on vector 0 first", () => {
    for (const [flags, expected] of [
      [9, ["2: none 0+0 = 0", "2: eventfds 0+6 = 0", "2: eventfds 5+1 = 0"]],
      [1, ["2: eventfds 5+1 = 0"]],
    ] as const) {
      const bench = new Bench({ msix: 8 });
      const { vfio } = bench.assigned;
      run(vfio.disable(0));
      const answers = bench.spy((request) => (request === VFIO_DEVICE_GET_IRQ_INFO ? flags : null));
      Object.assign(vfio, { flags: new Map() });
      expect([bench.wireMessage(0), bench.wireMessage(5)]).toEqual([0, 0]);
      expect(answers).toEqual(["2: eventfds 0+1 = 0", "2: eventfds 0+1 = 0", ...expected]);
      bench.start();
      expect(bench.raise([0, 5], 1)).toEqual([1, 0, 0, 0, 0, 1, 0, 0]);
    }
  });

  it("an index without the EVENTFD flag is left alone", () => {
    const bench = new Bench({ pin: 1, msi: 2 });
    const answers = bench.spy((request) => (request === VFIO_DEVICE_GET_IRQ_INFO ? 0 : null));
    const eventfd = bench.vmm.eventfd();
    expect([0, 1].map((i) => run(bench.assigned.vfio.setTrigger(i, eventfd)))).toEqual([-EOPNOTSUPP, -EOPNOTSUPP]);
    expect(answers).toEqual([]);
  });
});
