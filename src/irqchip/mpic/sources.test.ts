import { describe, expect, it } from "vitest";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { PpcE500 } from "../../kvm/powerpc/e500.js";
import { run } from "../../sim/step.js";
import { EEXIST, EINVAL, ENOENT } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import {
  KVM_CREATE_IRQCHIP_ARGS,
  KVM_IRQCHIP_GET_SOURCES,
  KVM_IRQCHIP_SET_SOURCES,
  KVM_IRQCHIP_TYPE_MPIC_20,
  KVM_IRQCHIP_TYPE_MPIC_42,
  KVM_IRQCHIP_TYPE_XICS,
  kvm_irq_sources,
  kvm_irqchip_args,
} from "../../uapi/powerpc.js";
import { SourceWord } from "../sources.js";
import { Random } from "../../sim/random.js";
import { MPIC_20, MPIC_42 } from "./constants.js";
import { MpicHarness } from "./mpic.fixture.js";

const word = (h: MpicHarness, irq: number): string => {
  const into = new SourceWord();
  run(h.device.getSource(irq, into));
  return `${(into.hi >>> 0).toString(16)}:${(into.lo >>> 0).toString(16)}`;
};

function set(h: MpicHarness, irq: number, hi: number, lo: number): void {
  const from = new SourceWord();
  from.hi = hi | 0;
  from.lo = lo | 0;
  run(h.device.setSource(irq, from));
}

describe("the calls of 2013 on a second controller (xics.md D12)", () => {
  it("types are the architecture's; the range begins at 0 and ends with the 256th source", () => {
    const m = new KvmMachine({ arch: new PpcE500() });
    const vm = m.createVm();
    const create = (type: number): number => m.ioctlOn(vm, KVM_CREATE_IRQCHIP_ARGS, kvm_irqchip_args, (view) => kvm_irqchip_args.type.set(view, type));
    expect([create(KVM_IRQCHIP_TYPE_XICS), create(KVM_IRQCHIP_TYPE_MPIC_20), create(KVM_IRQCHIP_TYPE_MPIC_42)]).toEqual([-EINVAL, 0, -EEXIST]);
    const call = (request: number, irq: number, count: number): number =>
      m.ioctlOn(vm, request, kvm_irq_sources, (view) => {
        kvm_irq_sources.irq.set(view, irq);
        kvm_irq_sources.nr_irqs.set(view, count);
      });
    for (const request of [KVM_IRQCHIP_GET_SOURCES, KVM_IRQCHIP_SET_SOURCES]) expect([call(request, 0, 64), call(request, 192, 64), call(request, 193, 64), call(request, 0, 65)]).toEqual([0, 0, -ENOENT, -EINVAL]);
    expect(m.createDevice(vm, K.KVM_DEV_TYPE_FSL_MPIC_20)).toBe(-EINVAL);
  });

  it("a vCPU that no MPIC can have refuses the controller, and nothing is left of it; behind one, its number is refused (xics.md 4.1)", () => {
    const m = new KvmMachine({ arch: new PpcE500() });
    const make = (id: number): { vm: number; create: () => number } => {
      const vm = m.createVm();
      if (id >= 0) m.ioctl(vm, K.KVM_CREATE_VCPU, id);
      return { vm, create: () => m.ioctlOn(vm, KVM_CREATE_IRQCHIP_ARGS, kvm_irqchip_args, (view) => kvm_irqchip_args.type.set(view, KVM_IRQCHIP_TYPE_MPIC_20)) };
    };
    const refused = make(40);
    expect([refused.create(), refused.create(), m.createDevice(refused.vm, K.KVM_DEV_TYPE_FSL_MPIC_20) > 0, refused.create()]).toEqual([-EINVAL, -EINVAL, true, -EEXIST]);
    const taken = make(-1);
    expect([taken.create(), m.ioctl(taken.vm, K.KVM_CREATE_VCPU, 32), m.ioctl(taken.vm, K.KVM_CREATE_VCPU, 31) > 0]).toEqual([0, -EINVAL, true]);
  });

  it("a word without PENDING takes a latched edge back, whatever the source was before: nobody gets an interrupt that nobody sent", () => {
    const h = new MpicHarness();
    h.write(0x10060, 0x80080043);
    h.write(0x10070, 1);
    h.edge(3);
    expect(word(h, 3)).toBe("430608:1");
    set(h, 3, 0x0043_0008, 1);
    expect([word(h, 3), h.line(), h.iack()]).toEqual(["430008:1", 0, 0xffff]);
    h.write(0x10060, 0x80480043); // a level, high
    h.drive(3, 1);
    set(h, 3, 0x0043_0208, 1);
    expect(word(h, 3)).toBe("430208:1");
  });

  it("a word takes its source from the CPU that had it raised", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    set(h, 20, 0x0050_0508, 2);
    expect([h.line(0), h.iack(0), h.line(1), h.iack(1)]).toEqual([0, 0xffff, 1, 0x50]);
  });

  it("get, then set is the identity on a controller that is at work, whatever its output: source by source", () => {
    for (const model of [MPIC_20, MPIC_42]) {
      const random = new Random(6);
      for (let i = 0; i < 300; i++) {
        const h = new MpicHarness({ model });
        const irq = [3, 20][i & 1];
        h.write(0x10000 + 0x20 * irq, random.next32());
        h.write(0x10010 + 0x20 * irq, random.next32());
        h.drive(irq, random.below(2));
        if (model === MPIC_42) h.write(0x10018 + 0x20 * irq, random.below(3));
        const before = word(h, irq);
        const [hi, lo] = before.split(":").map((half) => Number.parseInt(half, 16));
        set(h, irq, hi, lo);
        expect(word(h, irq)).toBe(before);
      }
    }
  });

  it("every bit of the word: destination, priority, level, masked, pending; polarity, output and vector are the MPIC's own", () => {
    const h = new MpicHarness({ model: MPIC_42 });
    expect(word(h, 3)).toBe("200:1"); // after reset: masked, IDR 1
    expect(word(h, 20)).toBe("1300:1"); // an internal source is a level, and has its polarity bit set
    set(h, 3, 0x0043_310a, 3);
    expect([word(h, 3), h.ivpr(3), h.read(0x10070), h.read(0x10078)]).toEqual(["43310a:3", "0x00ca0043", "0x00000003", "0x00000001"]);
    set(h, 20, 0x0050_0508, 1);
    expect([word(h, 20), h.line(), h.iack()]).toEqual(["500508:1", 1, 0x50]);
  });

  it("what get gives, set takes: the identity on another MPIC with the same CPUs, and nothing is delivered on the way that is masked", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.set(20, 9, 0x50, 2);
    h.write(0x100b0, 0x40000000);
    h.write(0x100a0, 0x80070055);
    h.drive(20, 1);
    h.drive(5, 1);
    const other = new MpicHarness();
    for (let irq = 0; irq < 256; irq++) {
      const from = new SourceWord();
      run(h.device.getSource(irq, from));
      run(other.device.setSource(irq, from));
    }
    for (let irq = 0; irq < 256; irq++) expect([irq, word(other, irq)]).toEqual([irq, word(h, irq)]);
    expect([other.line(0), other.line(1), other.iack(1)]).toEqual([0, 1, 0x50]);
  });
});
