import { describe, expect, it } from "vitest";
import { Arm64 } from "../../kvm/arm64/arm64.js";
import { X86 } from "../../kvm/x86/x86.js";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { run } from "../../sim/step.js";
import { EEXIST, EINVAL, ENOENT, ENXIO } from "../../uapi/errno.js";
import {
  IRQ_SOURCES_PER_CALL,
  KVM_CREATE_IRQCHIP_ARGS,
  KVM_IRQCHIP_GET_SOURCES,
  KVM_IRQCHIP_SET_SOURCES,
  KVM_IRQCHIP_TYPE_XICS,
  kvm_irq_sources,
  kvm_irqchip_args,
} from "../../uapi/powerpc.js";
import { KVM_CHECK_EXTENSION } from "../../uapi/kvm.js";
import { KVM_CAP_IRQCHIP_ARGS } from "../../uapi/powerpc.js";
import { Papr } from "./papr.fixture.js";

/** The calls of February 2013 on a VM on POWER. */
class Proposal extends Papr {
  create(type = KVM_IRQCHIP_TYPE_XICS, param = 0): number {
    return run(
      this.m.ioctlOn(this.m.vmFd, KVM_CREATE_IRQCHIP_ARGS, kvm_irqchip_args, (view) => {
        kvm_irqchip_args.type.set(view, type);
        kvm_irqchip_args.param.set(view, param);
      }),
    );
  }

  /** Words as [high, low]; the result. */
  setSources(irq: number, count: number, words: readonly (readonly [number, number])[]): number {
    return run(
      this.m.ioctlOn(this.m.vmFd, KVM_IRQCHIP_SET_SOURCES, kvm_irq_sources, (view) => {
        kvm_irq_sources.irq.set(view, irq);
        kvm_irq_sources.nr_irqs.set(view, count);
        for (const [i, [hi, lo]] of words.entries()) {
          view.setUint32(8 + 8 * i, lo >>> 0, true);
          view.setUint32(12 + 8 * i, hi >>> 0, true);
        }
      }),
    );
  }

  /** The result, and the first words of the buffer, which held ones before. */
  getSources(irq: number, count: number): { result: number; words: readonly string[] } {
    const words: string[] = [];
    const result = run(
      this.m.ioctlOn(
        this.m.vmFd,
        KVM_IRQCHIP_GET_SOURCES,
        kvm_irq_sources,
        (view) => {
          kvm_irq_sources.irq.set(view, irq);
          kvm_irq_sources.nr_irqs.set(view, count);
          kvm_irq_sources.words.slice(view).fill(0xff);
        },
        (view) => {
          for (let i = 0; i < Math.min(count, IRQ_SOURCES_PER_CALL); i++) words.push(`${view.getUint32(12 + 8 * i, true).toString(16)}:${view.getUint32(8 + 8 * i, true).toString(16)}`);
        },
      ),
    );
    return { result, words };
  }
}

const bare = (): Proposal => new Proposal({ hasXics: false });

function created(): Proposal {
  const p = bare();
  expect(p.create()).toBe(0);
  return p;
}

const same = (count: number, hi: number, lo = 0): (readonly [number, number])[] => Array.from({ length: count }, () => [hi, lo]);

describe("the interface of February 2013 (xics.md 3, 4)", () => {
  it("D1: type and parameter ask for a controller, and a capability says that they can", () => {
    const p = bare();
    expect(run(p.m.ioctl(p.m.vmFd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP_ARGS))).toBe(1);
    expect([p.create(7), p.create(KVM_IRQCHIP_TYPE_XICS, 1), p.create(), p.create()]).toEqual([-EINVAL, -EINVAL, 0, -EEXIST]);
    expect(run(p.m.createXics())).toBe(-EEXIST); // the merged interface's is the same controller
  });

  it("D1: every vCPU is connected under its id, those of later too", () => {
    const p = created();
    run(p.m.addVcpu(5));
    expect([p.cppr(0xff, 0), p.cppr(0xff, 2), p.ipoll(5).status, p.ipoll(1).status]).toEqual([0, 0, 0, 0]);
  });

  it("D1: a device of the merged interface keeps this one out", () => {
    expect(new Proposal().create()).toBe(-EEXIST);
  });

  it("D2: no register of the controller lies at an address: its VM's bus is empty", () => {
    const p = created();
    p.setSources(0x1000, 1, same(1, 0xff));
    const { buses } = p.m.vm;
    expect(run(buses.guestRead(0, p.m.cpus[0].vcpu, 0xfec0_0000, 4))).toBe(false);
  });

  it("D3: hypercalls give a guest the same whether real mode serves them or not", () => {
    const trace = (realMode: boolean): string[] => {
      const p = Papr.base({ realMode });
      p.src(0x1001, 5);
      p.line(0x1001);
      p.ipi(0, 4, 1);
      return [p.icp(), p.xirr(), p.icp(), String(p.eoi(0xff000002)), p.icp(), String(p.cppr(3)), p.icp(), String(p.cppr(0xff)), p.icp()];
    };
    expect(trace(true)).toEqual(trace(false));
  });

  it("D4, vector 61: numbers below 16 and above 1,048,575 are none, and a range with one of them changes nothing", () => {
    const p = created();
    expect([p.setSources(14, 4, same(4, 0xff)), p.getSources(16, 1).result]).toEqual([-ENOENT, -ENOENT]);
    expect([p.setSources(0xffffe, 3, same(3, 0xff)), p.getSources(0xffffe, 1).result]).toEqual([-ENOENT, -ENOENT]);
    expect([p.setSources(0xffffe, 2, same(2, 0xff)), p.getSources(0xffffe, 2)]).toEqual([0, { result: 0, words: ["2ff:0", "2ff:0"] }]);
    expect(p.setSources(0xffff_fff0, 32, same(32, 0xff))).toBe(-ENOENT);
  });

  it("D5, vector 60: set creates across blocks, get requires every one to exist and leaves the buffer alone otherwise", () => {
    const p = created();
    expect(p.setSources(0x13fe, 4, same(4, 5))).toBe(0);
    expect(p.getSources(0x13fe, 4)).toEqual({ result: 0, words: ["5:0", "5:0", "5:0", "5:0"] });
    expect(p.getSources(0x13fe, 5)).toEqual({ result: -ENOENT, words: same(5, 0).map(() => "ffffffff:ffffffff") });
  });

  it("D5: the first source that is refused ends it, what was set stays set", () => {
    const p = created();
    expect(p.setSources(0x1000, 3, [[5, 0], [5, 9], [5, 1]])).toBe(-EINVAL);
    expect([p.getSources(0x1000, 1).result, p.getSources(0x1001, 1).result, p.getSources(0x1002, 1).result]).toEqual([0, -ENOENT, -ENOENT]);
  });

  it("D6: what get gives, set takes: the identity on another VM", () => {
    const p = created();
    p.cppr(0xff);
    p.setSources(0x1000, 4, [[5, 0], [0x105, 1], [0x205, 0], [0x1807, 0]]);
    p.line(0x1001);
    p.line(0x1002);
    const { words } = p.getSources(0x1000, 4);
    const other = created();
    other.setSources(0x1000, 4, words.map((word) => word.split(":").map((half) => Number.parseInt(half, 16)) as [number, number]));
    expect(other.getSources(0x1000, 4).words).toEqual(words);
    expect(words).toEqual(["5:0", "d05:1", "e05:0", "1807:0"]);
  });

  it("D7: PENDING delivers, but P of a source in service is lost: messages are raised by KVM_IRQ_LINE (R19)", () => {
    const p = created();
    p.cppr(0xff);
    p.setSources(0x1000, 1, same(1, 5));
    p.line(0x1000);
    expect(p.xirr()).toBe("0xff001000");
    p.line(0x1000); // queued
    p.setSources(0x1000, 1, same(1, 5));
    expect([p.pq(0x1000), p.eoi(0xff001000), p.icp()]).toEqual(["--", 0, "ff,ff,ff,000000,0,0"]);
    p.setSources(0x1000, 1, same(1, 0x405));
    expect(p.icp()).toBe("ff,ff,05,001000,0,1");
  });

  it("D8: other architectures know the call, and no type", () => {
    for (const arch of [new X86(), new Arm64({ cpus: 1, gicVersion: 3 })]) {
      const m = new KvmMachine({ arch });
      const vm = m.createVm();
      expect(m.ioctlOn(vm, KVM_CREATE_IRQCHIP_ARGS, kvm_irqchip_args, (view) => kvm_irqchip_args.type.set(view, KVM_IRQCHIP_TYPE_XICS))).toBe(-EINVAL);
      expect(m.ioctlOn(vm, KVM_IRQCHIP_SET_SOURCES, kvm_irq_sources, () => undefined)).toBe(-ENXIO);
      expect(m.ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP_ARGS)).toBe(0);
    }
  });

  it("D9, vector 61: the record holds its words: no pointer, and at most 64", () => {
    const p = created();
    expect([kvm_irq_sources.size, IRQ_SOURCES_PER_CALL]).toEqual([520, 64]);
    expect([p.setSources(0x1000, 65, same(64, 5)), p.getSources(0x1000, 65).result, p.setSources(0x1000, 64, same(64, 5))]).toEqual([-EINVAL, -EINVAL, 0]);
    expect([p.setSources(3, 0, []), p.getSources(3, 0).result]).toEqual([0, 0]);
  });

  it("D10: destination 31:0, priority 39:32, level 40, masked 41, pending 42; bits 63:45 are ignored and read as zero", () => {
    const p = created();
    p.setSources(0x1000, 3, [[0xffff_e0aa | 0, 1], [0x100 | 0xbb, 0], [0x200 | 0xcc, 1]]);
    expect(p.getSources(0x1000, 3).words).toEqual(["aa:1", "1bb:0", "2cc:1"]);
    expect([p.source(0x1000), p.source(0x1001), p.source(0x1002)]).toMatchObject([
      { server: 1, priority: 0xaa, isLsi: false },
      { server: 0, priority: 0xbb, isLsi: true },
      { server: 1, priority: 0xff, savedPriority: 0xcc },
    ]);
  });

  it("D11: a destination is a number that user space chose, not an index", () => {
    const p = new Papr({ servers: [7, 0x100] });
    p.cppr(0xff, 1);
    expect([p.src(0x1000, 5, { server: 1 }), p.src(0x1000, 5, { server: 0x100 }), p.line(0x1000), p.icp(0x100)]).toEqual([-EINVAL, 0, 0, "ff,ff,05,001000,0,1"]);
  });

  it("without a controller there is nothing to move", () => {
    const p = bare();
    expect([p.setSources(0x1000, 1, same(1, 5)), p.getSources(0x1000, 1).result]).toEqual([-ENXIO, -ENXIO]);
  });
});
