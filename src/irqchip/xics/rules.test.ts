import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EBUSY, EEXIST, EINVAL, EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { isRestorable } from "./icp.js";
import { ExistingSources, inspectXics } from "./inspection.js";
import { fresh, Papr, presented } from "./papr.fixture.js";

const TWO32 = 0x1_0000_0000;
const H_RTAS = 0xf000;
const H_XIRR = 0x74;
const H_IPI = 0x6c;
const EXTERNAL_REQUEST = 1;

// Rules of xics.md that no vector has.

describe("slots that nobody created", () => {
  it("one above every source that exists is sent again like any other, once RTAS has given it a priority (8.4, 9.2, 12.2)", () => {
    const p = Papr.base();
    p.src(0x1001, 0xff);
    expect([p.setXive(0x1200, 0, 5), p.setIcp(0xff001200, 0xff050000)]).toEqual([0, 0]);
    p.cppr(5);
    expect([p.icp(), p.rm(), p.marks(0x1200)]).toEqual(["05,ff,ff,000000,1,0", [4], "rs"]);
    p.cppr(0xff);
    expect([p.icp(), p.marks(0x1200)]).toEqual(["ff,ff,05,001200,0,1", ""]);
  });

  it("number 1, which is below every source, is rejected like a source (8.3 step 8): it is neither nothing nor the IPI", () => {
    for (const realMode of [false, true]) {
      const p = Papr.base({ realMode });
      p.src(0x20, 0xff);
      expect([p.setXive(1, 0, 5), p.setIcp(0xff000001, 0xff050000)]).toEqual([0, 0]);
      p.cppr(5);
      expect([p.icp(), p.rm(), p.marks(1)]).toEqual(["05,ff,ff,000000,1,0", [0], "rs"]);
      p.cppr(0xff);
      expect(p.icp()).toBe("ff,ff,05,000001,0,1");
      expect([p.ipi(0, 4, 1), p.icp(), p.marks(1)]).toEqual([0, "ff,04,04,000002,1,1", "rs"]);
    }
  });
});

describe("hypercalls", () => {
  it("H_IPI to the own number with bits above 31 is another's: it kicks (9.1)", () => {
    const kicks = (server: number): boolean => {
      const p = Papr.base();
      let kicked = false;
      const { vcpu } = p.m.cpus[0];
      const { kickExternal } = vcpu;
      vcpu.kickExternal = function* (...args) {
        kicked = true;
        yield* kickExternal.apply(this, args);
      };
      expect(run(p.m.hypercall(0, H_IPI, [server, 4])).status).toBe(0);
      expect(p.icp()).toBe("ff,04,04,000002,0,1");
      return kicked;
    };
    expect([kicks(0), kicks(TWO32)]).toEqual([false, true]);
  });

  it("a number with bits above 31 is nobody's here: user space gets it, and nothing is accepted", () => {
    for (const realMode of [false, true]) {
      const p = Papr.base({ realMode });
      p.src(0x1001, 5);
      p.line(0x1001);
      expect([run(p.m.hypercall(0, TWO32 + H_XIRR, [])).isUserSpace, p.icp()]).toEqual([true, "ff,ff,05,001001,0,1"]);
    }
  });

  it("an EOI behind which an IPI is due shows it even over a source that is presented: equality is the IPI's (8.5)", () => {
    const p = presented();
    expect([p.ipi(0, 0x105), p.icp(), p.eoi(0xff000002), p.icp()]).toEqual([0, "ff,05,05,001001,0,1", 0, "ff,05,05,000002,0,1"]);
  });

  it("what real mode leaves of one H_EOI is done in order: the kick, then the listeners (14)", () => {
    const p = Papr.base({ realMode: true });
    p.src(0x1001, 5);
    run(p.m.irqfd(p.m.eventfd(), 0x1001, K.KVM_IRQFD_FLAG_RESAMPLE, p.m.eventfd()));
    p.line(0x1001);
    p.xirr();
    p.line(0x1001); // queued: the EOI presents it again
    p.setXive(0x1001, 1, 5);
    const done: string[] = [];
    const { vcpu } = p.m.cpus[1];
    const { kickExternal } = vcpu;
    vcpu.kickExternal = function* () {
      done.push(`kick behind ${p.acks().length} acknowledges`);
      yield* kickExternal.apply(this);
    };
    expect([p.eoi(0xff001001), done, p.acks(), p.icp(1)]).toEqual([0, ["kick behind 0 acknowledges"], [0x1001], "ff,ff,05,001001,0,1"]);
  });

  it("H_XIRR_X answers the timebase of now, at 512 MHz", () => {
    const p = presented();
    p.m.sim.spend(1_000_000);
    const before = p.m.xics.vm.timebase();
    const { r5 } = run(p.m.hypercall(0, 0x2fc, []));
    expect(before).toBeGreaterThanOrEqual(512_000);
    expect(r5).toBeGreaterThanOrEqual(before);
  });
});

describe("RTAS", () => {
  it("the top four bits of the block's address do not count (9.2)", () => {
    const p = presented();
    const { memory } = p.m.process;
    for (const [i, word] of [0x2003, 1, 1, 0x1001].entries()) memory.setU32(0x4000_0000 + 0x2000 + 4 * i, (((word & 0xff) << 24) | ((word & 0xff00) << 8)) >>> 0);
    const { guest } = p.m.cpus[0];
    guest.ask(H_RTAS, [0x2000]);
    guest.hi[1] = 0xf000_0000 | 0;
    expect([run(p.m.run(0)), memory.getU32(0x4000_0000 + 0x2010)]).toEqual([0, 0]);
  });

  it("a get-xive that fails writes its status and no other output", () => {
    const p = Papr.base();
    const { memory } = p.m.process;
    const outputs = 0x4000_0000 + 0x1000 + 4 * 4; // behind the counts and one input
    for (let i = 0; i < 3; i++) memory.setU32(outputs + 4 * i, 0x5555_5555);
    p.rtas("ibm,get-xive", [0x9000], 3);
    expect([memory.getU32(outputs), memory.getU32(outputs + 4), memory.getU32(outputs + 8)]).toEqual([0xfdff_ffff, 0x5555_5555, 0x5555_5555]);
  });

  it("int-on of a source whose server is nobody fails, and changes nothing (9.2, 11)", () => {
    const p = Papr.base();
    p.src(0x1001, 0xff, { server: 9 });
    expect([p.on(0x1001), p.off(0x1001), p.getXive(0x1001)]).toEqual([-3, 0, [0, 9, 0xff]]);
  });

  it("token 0 takes one token of its name away, the oldest (5.7)", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    run(p.m.defineToken("ibm,int-off", 0x77));
    run(p.m.defineToken("ibm,int-off", 0));
    expect([run(p.m.rtas("ibm,int-off", [0x1001], 1)), run(p.m.rtas("", [0x1001], 1, 0x77))]).toEqual([null, [0]]);
  });

  it("a token has 64 bits, of which guests can name 32", () => {
    const p = Papr.base();
    const define = (lo: number, hi: number): number =>
      run(
        p.m.ioctlOn(p.m.vmFd, K.KVM_PPC_RTAS_DEFINE_TOKEN, K.kvm_rtas_token_args, (view) => {
          [..."ibm,int-on"].forEach((letter, i) => (K.kvm_rtas_token_args.name_.slice(view)[i] = letter.charCodeAt(0)));
          K.kvm_rtas_token_args.token.setHalves(view, lo, hi);
        }),
      );
    expect([define(0, 0x20_0000), define(1, 0x20_0000), define(1, 0x20_0000), define(0x2003, 1)]).toEqual([0, 0, -EEXIST, 0]);
  });
});

describe("the device", () => {
  it("KVM_SET_ONE_REG is nobody's own change: the vCPU is asked to look (12.2)", () => {
    const p = Papr.base();
    const requests = (): number => p.m.cpus[0].vcpu.requests & EXTERNAL_REQUEST;
    p.xirr();
    expect([requests(), p.setIcp(0xff000002, 0x04040000), requests(), p.ee()]).toEqual([0, 0, EXTERNAL_REQUEST, true]);
  });

  it("a vCPU is connected to the XICS of its own VM alone; what has a controller is busy before it is anything else (5.2)", () => {
    const p = Papr.base();
    const other = run(p.m.ioctl(p.m.kvm, K.KVM_CREATE_VM, 0));
    let device = -1;
    run(p.m.ioctlOn(other, K.KVM_CREATE_DEVICE, K.kvm_create_device, (view) => K.kvm_create_device.type.set(view, K.KVM_DEV_TYPE_XICS), (view) => (device = K.kvm_create_device.fd.get(view))));
    run(p.m.addVcpu(7));
    expect([run(p.m.connect(2, device, 9)), run(p.m.connect(0, device, 9)), run(p.m.connect(0, p.m.device, 1))]).toEqual([-EPERM, -EPERM, -EBUSY]);
  });

  it("a level is low when it is 0 or UNSET, and high whatever else it is (5.6)", () => {
    for (const level of [1, 2, 0x8000_0000, 0xffff_ffff, 0xffff_fffd, 0xffff_fffc]) {
      const p = Papr.base();
      p.src(0x1010, 5, { lsi: true });
      const seen = [p.line(0x1010, level), p.pq(0x1010), p.line(0x1010, 0xffff_fffe), p.pq(0x1010), p.line(0x1010, level), p.line(0x1010, 0), p.pq(0x1010)];
      expect([level, ...seen]).toEqual([level, 0, "P-", 0, "--", 0, 0, "--"]);
    }
  });

  it("strict: an irqfd of a level has to resample, one of a message has not (R21)", () => {
    const assign = (strict: boolean): number[] => {
      const p = Papr.base({ strict });
      p.src(0x1001, 5);
      p.src(0x1010, 5, { lsi: true });
      return [run(p.m.irqfd(p.m.eventfd(), 0x1001)), run(p.m.irqfd(p.m.eventfd(), 0x1010)), run(p.m.irqfd(p.m.eventfd(), 0x1010, K.KVM_IRQFD_FLAG_RESAMPLE, p.m.eventfd())), run(p.m.irqfd(p.m.eventfd(), 0x9000))];
    };
    expect([assign(false), assign(true)]).toEqual([[0, 0, 0, 0], [0, -EINVAL, 0, 0]]);
  });
});

describe("inspection (4.4, 12.4, 15)", () => {
  it("sources that exist are found one by one, ascending, whatever is created meanwhile", () => {
    const p = Papr.base();
    for (const irq of [0xf_ffff, 16, 0x1001, 0x13ff, 0x1400]) p.src(irq, 0xff);
    p.setXive(0x1002, 0, 5); // a slot, and no source
    const sources = new ExistingSources(p.m.xics);
    expect([sources.next().value, sources.next().value]).toEqual([16, 0x1001]);
    p.src(0x1003, 0xff);
    expect([...sources]).toEqual([0x1003, 0x13ff, 0x1400, 0xf_ffff]);
    expect([...new ExistingSources(fresh().m.xics)]).toEqual([]);
  });

  it("a word is told to be not restorable as KVM_SET_ONE_REG would refuse it", () => {
    const p = Papr.base();
    const told = (): boolean => inspectXics(p.m.xics).icps[0].isRestorable;
    const halves = (): { hi: number; lo: number } => {
      const word = String(p.icpWord());
      return { hi: Number.parseInt(word.slice(2, 10), 16), lo: Number.parseInt(word.slice(10), 16) };
    };
    const seen: unknown[] = [told(), isRestorable(halves())];
    p.ipi(0, 4);
    seen.push(told(), isRestorable(halves()));
    p.ipi(0, 0xff); // 12.4, R7
    seen.push(told(), isRestorable(halves()), p.setIcp(halves().hi, halves().lo));
    expect(seen).toEqual([true, true, true, true, false, false, -EINVAL]);
  });

  it("totals: what real mode left to virtual mode, what was sent again, what was displaced", () => {
    const p = Papr.base({ realMode: true });
    p.src(0x1001, 5);
    p.src(0x1002, 3);
    p.line(0x1001);
    p.line(0x1002);
    p.eoi(Number(p.xirr()));
    p.ipi(1, 4);
    expect(inspectXics(p.m.xics).totals).toEqual({ realModeKicks: 1, realModeNotifications: 0, resends: 1, rejects: 1 });
    run(p.m.irqfd(p.m.eventfd(), 0x1001, K.KVM_IRQFD_FLAG_RESAMPLE, p.m.eventfd()));
    p.eoi(0xff001002);
    expect(inspectXics(p.m.xics).totals.realModeNotifications).toBe(1);
  });

  it("the trace names the server of an EOI, and the blocks that a scan looked at", () => {
    const p = Papr.base();
    p.cppr(0);
    p.src(0x1001, 5);
    p.src(0x2001, 4);
    p.line(0x1001);
    p.line(0x2001);
    p.trace.clear();
    p.cppr(0xff);
    expect(p.lines("xics_resend")).toEqual(["xics_resend(0,4 8)"]);
    p.eoi(0xff002001);
    expect(p.lines("xics_eoi")).toEqual(["xics_eoi(0,8193,1,0)"]);
  });
});
