import { describe, expect, it } from "vitest";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { PhysicalXics } from "../../host/xics/physical-xics.js";
import { XicsHost } from "../../host/xics/xics-host.js";
import { PpcModule } from "../../kvm/powerpc/module.js";
import { Ppc } from "../../kvm/powerpc/powerpc.js";
import { PpcRequest, type PpcVcpu } from "../../kvm/powerpc/vcpu.js";
import { reads } from "../../sim/access.js";
import { Ev, type EventSink } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { H_HARDWARE, H_XIRR } from "./constants.js";
import { Papr, presented } from "./papr.fixture.js";

// Rules of xics.md that no vector of its section 23 holds.

const H_RTAS = 0xf000;
const BLOCK = 0x1000;
const RAM = 0x4000_0000;
const TICKS_PER_NS = 0.512;
const GET_XIVE_TOKEN = 0x2001;

const swapped = (word: number): number => (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;

/** Has the vCPU been told to look at its external interrupt before its next entry? */
function* isKicked(vcpu: PpcVcpu): Step<boolean> {
  yield reads(vcpu, "requests");
  return (vcpu.requests & PpcRequest.EXTERNAL) !== 0;
}

function putBlock(p: Papr, words: readonly number[]): void {
  for (const [i, word] of words.entries()) p.m.process.memory.setU32(RAM + BLOCK + 4 * i, swapped(word));
}
const wordOfBlock = (p: Papr, i: number): number => swapped(p.m.process.memory.getU32(RAM + BLOCK + 4 * i));

describe("xics.md 5: calls of user space", () => {
  it("5.2: a device of another VM is EPERM", () => {
    const m = new KvmMachine({ arch: new Ppc(), host: (sim) => new PpcModule(new XicsHost(sim, new PhysicalXics(2))) });
    const [own, other] = [m.createVm(), m.createVm()];
    const devices = [own, other].map((vm) => m.createDevice(vm, K.KVM_DEV_TYPE_XICS));
    const vcpu = m.ioctl(own, K.KVM_CREATE_VCPU, 0);
    const connect = (device: number): number =>
      m.ioctlOn(vcpu, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
        K.kvm_enable_cap.cap.set(view, K.KVM_CAP_IRQ_XICS);
        K.kvm_enable_cap.args[0].setNumber(view, device);
      });
    expect([connect(devices[1]), connect(devices[0])]).toEqual([-EPERM, 0]);
  });

  it("5.6: every level but 0 and UNSET is a 1", () => {
    for (const level of [1, 2, 0x100, 0x7fff_ffff, 0x8000_0000, 0xffff_fffd, 0xffff_ffff]) {
      const p = Papr.base();
      p.src(0x1010, 5, { lsi: true });
      expect([p.line(0x1010, level), p.pq(0x1010)]).toEqual([0, "P-"]);
      for (const low of [0, 0xffff_fffe]) {
        p.line(0x1010, level);
        expect([p.line(0x1010, low), p.pq(0x1010)]).toEqual([0, "--"]);
      }
    }
  });

  it("5.7: token 0 takes one token of the name away, the oldest", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    const getBy = (token: number): unknown => run(p.m.rtas("", [0x1001], 3, token));
    for (const token of [0x3001, 0x3002]) expect(run(p.m.defineToken("ibm,get-xive", token))).toBe(0);
    const answer = [0, 0, 5];
    expect([GET_XIVE_TOKEN, 0x3001, 0x3002].map(getBy)).toEqual([answer, answer, answer]);
    run(p.m.defineToken("ibm,get-xive", 0));
    expect([GET_XIVE_TOKEN, 0x3001, 0x3002].map(getBy)).toEqual([null, answer, answer]);
    run(p.m.defineToken("ibm,get-xive", 0));
    expect([0x3001, 0x3002].map(getBy)).toEqual([null, answer]);
  });

  it("12.2: KVM_SET_ONE_REG is a change by somebody else: the vCPU is kicked where something is presented, and only there", () => {
    const p = Papr.base();
    p.src(0x1001, 0xff);
    const { vcpu } = p.m.cpus[0];
    p.setIcp(0xff00_0000, 0xffff_0000);
    expect(run(isKicked(vcpu))).toBe(false);
    expect([p.setIcp(0xff00_1001, 0xff05_0000), run(isKicked(vcpu)), p.ee()]).toEqual([0, true, true]);
  });
});

describe("xics.md 8 and 9: hypercalls", () => {
  it("8.5: an IPI whose MFRR equals what is pending takes its place, unrejected, where MFRR came without being shown", () => {
    const p = presented(5);
    expect([p.ipi(0, 0x105), p.icp()]).toEqual([0, "ff,05,05,001001,0,1"]);
    expect([p.eoi(0xff000002), p.icp(), p.marks(0x1001), p.pq(0x1001)]).toEqual([0, "ff,05,05,000002,0,1", "", "P-"]);
  });

  it("9.1: H_XIRR_X gives the timebase of now, all 64 bits of it", () => {
    const p = Papr.base();
    for (const ns of [1_000_000, 20_000_000_000]) {
      run(p.m.sim.runUntil(ns));
      const from = Math.max(...p.m.sim.clock);
      const { timebase } = p.xirrX();
      expect(timebase).toBeGreaterThanOrEqual(Math.floor(ns * TICKS_PER_NS));
      expect(timebase).toBeLessThanOrEqual(Math.ceil(Math.max(from, ...p.m.sim.clock) * TICKS_PER_NS));
    }
  });

  it("9.1: a vCPU that is called one of the XICS's and has lost its presentation controller gets H_HARDWARE", () => {
    const p = Papr.base();
    p.m.cpus[0].vcpu.icp = null; // what no call leads to: both go at once, and the vCPU's mutex is held (VECTORS.md)
    expect(run(p.m.hypercall(0, H_XIRR, []))).toMatchObject({ status: H_HARDWARE, isUserSpace: false });
  });
});

describe("xics.md 9.2: RTAS", () => {
  it("the top four bits of the block's address are no part of it", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    putBlock(p, [GET_XIVE_TOKEN, 1, 3, 0x1001, 9, 9, 9]);
    const answer = run(p.m.hypercall(0, H_RTAS, [0xf * 2 ** 60 + BLOCK]));
    expect([answer.status, answer.isUserSpace, wordOfBlock(p, 4), wordOfBlock(p, 5), wordOfBlock(p, 6)]).toEqual([0, false, 0, 0, 5]);
  });

  it("a get-xive that fails writes its status alone", () => {
    const p = Papr.base();
    putBlock(p, [GET_XIVE_TOKEN, 1, 3, 0x5000, 0x1111, 0x2222, 0x3333]);
    run(p.m.hypercall(0, H_RTAS, [BLOCK]));
    expect([wordOfBlock(p, 4) | 0, wordOfBlock(p, 5), wordOfBlock(p, 6)]).toEqual([-3, 0x2222, 0x3333]);
  });

  it("int-on of a source whose stored server is nobody fails, and leaves it as it was", () => {
    const p = Papr.base();
    expect(p.src(0x1001, 0xff, { server: 9 })).toBe(0);
    p.line(0x1001);
    const before = p.source(0x1001);
    expect([p.on(0x1001), p.source(0x1001)]).toEqual([-3, before]);
    expect([p.off(0x1001), p.getXive(0x1001)]).toEqual([0, [0, 9, 0xff]]); // which asks for nobody
  });
});

/** What real mode had kicked when each listener was told. */
class KicksAtAck implements EventSink {
  readonly seen: number[] = [];
  constructor(private readonly kicks: () => number) {}
  event(_sim: Sim, _id: number, _cause: number, kind: number): void {
    if (kind === Ev.kvm_ack_irq) this.seen.push(this.kicks());
  }
}

describe("xics.md 14: what real mode leaves", () => {
  it("is done in the kernel's order: the kick, then the listeners", () => {
    const p = Papr.base({ realMode: true });
    p.src(0x1010, 5, { lsi: true });
    const [trigger, resample] = [p.m.eventfd(), p.m.eventfd()];
    run(p.m.irqfd(trigger, 0x1010, K.KVM_IRQFD_FLAG_RESAMPLE, resample));
    run(p.m.signal(trigger));
    p.xirr();
    p.setXive(0x1010, 1, 5); // the line is high yet: the EOI presents it on the other server, which is on no core
    const { realMode } = p.m.cpus[0].vcpu;
    const sink = new KicksAtAck(() => realMode?.kicks ?? -1);
    p.m.sim.traceTo(sink);
    expect([p.eoi(0xff001010), sink.seen, realMode?.kicks, realMode?.notifications, p.icp(1)]).toEqual([0, [1], 1, 1, "ff,ff,05,001010,0,1"]);
  });
});
