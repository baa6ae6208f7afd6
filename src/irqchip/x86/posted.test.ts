import { describe, expect, it } from "vitest";
import { run, type Step } from "../../sim/step.js";
import { decodeIrte, encodeIrte, Irte, type IrteSink, type RemappedIrte } from "../../arch/x86/irte.js";
import { IrtePosting, type PostingPort, startBypass } from "./irte-posting.js";
import { type HarnessOptions, LapicHarness } from "./lapic/lapic.fixture.js";
import { ApicReg } from "./lapic/registers.js";
import type { PostedDescriptor } from "../../arch/x86/posted-descriptor.js";
import { FakePort, post, type Posted } from "./posted.fixture.js";

/** Posted interrupts: x86-irqchip.md 10. */
class PostedHarness extends LapicHarness {
  readonly port = new FakePort();
  readonly host;
  readonly all: Posted[];

  constructor(options: HarnessOptions = {}) {
    super(options);
    this.enable();
    ({ host: this.host, all: this.all } = post(this, this.port, 8, 0x123456780));
  }
  descriptor(index = 0): PostedDescriptor {
    return this.all[index].posted.descriptor;
  }
  /** "PIR ON SN NV NDST" */
  state(index = 0): string {
    const bytes = new DataView(this.descriptor(index).bytes().buffer);
    const pir = Array.from({ length: 256 }, (_, v) => v).filter((v) => ((bytes.getUint8(v >> 3) >> (v & 7)) & 1) === 1);
    const flags = bytes.getUint8(32);
    const hex = (value: number): string => value.toString(16);
    return `${pir.map(hex).join(",")} ON${flags & 1} SN${(flags >> 1) & 1} ${hex(bytes.getUint8(34))} ${hex(bytes.getUint32(36, true))}`;
  }
  device(vector: number, index = 0, isUrgent = false): void {
    const descriptor = this.descriptor(index);
    const nv = run(descriptor.postByDevice(vector, isUrgent));
    if (nv >= 0) run(this.port.send(this.host.apicIdOf(descriptor.notifyDestination), nv));
  }
}

describe("posting and syncing (10.2, 10.3)", () => {
  it("75: PIR, ON and one notification; the sync moves all into the IRR", () => {
    const h = new PostedHarness();
    const [{ posted, vcpu }] = h.all;
    run(posted.load(3));
    Object.assign(vcpu, { physicalCpu: 3, inGuest: true });
    const states = [0x41, 0x41, 0x42].map((vector) => {
      h.deliver({ vector });
      return h.state();
    });
    expect(states).toEqual(["41 ON1 SN0 f2 300", "41 ON1 SN0 f2 300", "41,42 ON1 SN0 f2 300"]);
    expect(h.port.sent).toEqual(["f2>3"]);
    run(posted.sync(h.at(0)));
    expect([h.state(), h.bits(0, ApicReg.IRR), run(posted.rvi(h.at(0)))]).toEqual([" ON0 SN0 f2 300", [0x41, 0x42], 0x42]);
  });

  it("the vCPU's own context sends no notification; outside the guest it is woken", () => {
    const h = new PostedHarness();
    const [{ vcpu }] = h.all;
    Object.assign(vcpu, { inGuest: true, current: true });
    h.deliver({ vector: 0x41 });
    expect([h.port.sent, vcpu.wakes]).toEqual([[], 0]);
    vcpu.inGuest = false;
    h.take();
    h.deliver({ vector: 0x42 });
    expect([h.port.sent, vcpu.wakes]).toEqual([[], 1]);
  });

  it("looks at the IRR merge what was posted first: take, GET_LAPIC, rescan", () => {
    const h = new PostedHarness();
    h.deliver({ vector: 0x41 });
    expect(h.take()).toBe(0x41);
    h.deliver({ vector: 0x61 });
    const record = new Int32Array(256);
    run(h.at(0).get(record));
    expect(record[(ApicReg.IRR + 0x30) >> 2]).toBe(2);
  });

  it("SET_LAPIC forgets what was posted", () => {
    const h = new PostedHarness();
    const record = new Int32Array(256);
    run(h.at(0).get(record));
    h.deliver({ vector: 0x41 });
    run(h.at(0).put(record));
    expect([h.state(), h.take()]).toEqual([" ON0 SN0 f2 0", -1]);
  });

  it("while it is inhibited software sets the IRR, and what a device posts is merged and looked for", () => {
    const h = new PostedHarness({ cpus: 2 });
    h.deliver({ vector: 0x41 });
    h.write(1, ApicReg.ID, 0);
    expect([h.vcpu(0).events > 0, h.take(), h.at(0).accelerator]).toEqual([true, 0x41, null]);
    h.eoi();
    h.deliver({ vector: 0x42, destination: 0 });
    expect([h.state(), h.bits(0, ApicReg.IRR)]).toEqual([" ON0 SN0 f2 0", [0x42]]);
    h.take();
    h.eoi();
    h.device(0x43);
    const { events } = h.vcpu(0);
    expect([h.take(), h.vcpu(0).events - events, h.take()]).toEqual([0x43, 1, -1]);
    h.eoi();
    h.write(1, ApicReg.ID, 0x01000000);
    expect([h.take(), h.at(0).accelerator]).toEqual([-1, h.all[0].posted]);
    h.deliver({ vector: 0x44 });
    expect([h.bits(0, ApicReg.IRR), h.take()]).toEqual([[], 0x44]);
  });

  it("hardware that goes leaves what was posted in the IRR", () => {
    const h = new PostedHarness();
    h.deliver({ vector: 0x41 });
    run(h.at(0).accelerate(null));
    expect([h.state(), h.take()]).toEqual([" ON0 SN0 f2 0", 0x41]);
  });
});

describe("scheduling (10.4)", () => {
  it("76: preempted, a device posts without notification; the load finds it", () => {
    const h = new PostedHarness();
    const [{ posted }] = h.all;
    run(posted.put("preempted"));
    h.device(0x50);
    expect([h.state(), h.port.sent, run(h.descriptor().hasPending())]).toEqual(["50 ON0 SN1 f2 0", [], true]);
    run(posted.load(5));
    expect([h.state(), h.take()]).toEqual(["50 ON1 SN0 f2 500", 0x50]);
  });

  it("76: with x2APIC ids on the host NDST is the id", () => {
    const h = new LapicHarness().enable();
    const { all } = post(h, new FakePort(true));
    run(all[0].posted.load(5));
    expect(all[0].posted.descriptor.bytes()[36]).toBe(5);
  });

  it("77: blocked, a device's notification wakes it; the load restores the ordinary vector", () => {
    const h = new PostedHarness();
    const [{ posted, vcpu }] = h.all;
    run(posted.put("blocking"));
    expect([h.state(), h.host.listed(0)]).toEqual([" ON0 SN0 f1 0", [0]]);
    run(h.host.wakeupHandler(0));
    expect(vcpu.wakes).toBe(0);
    h.device(0x41);
    expect([h.state(), h.port.sent]).toEqual(["41 ON1 SN0 f1 0", ["f1>0"]]);
    run(h.host.wakeupHandler(0));
    expect(vcpu.wakes).toBe(1);
    run(posted.load(0));
    expect([h.state(), h.host.listed(0), h.take()]).toEqual(["41 ON1 SN0 f2 0", [], 0x41]);
  });

  it("an urgent message notifies although notifications are suppressed", () => {
    const h = new PostedHarness();
    run(h.all[0].posted.put("preempted"));
    h.device(0x50, 0, true);
    expect([h.state(), h.port.sent]).toEqual(["50 ON1 SN1 f2 0", ["f2>0"]]);
  });

  it("a load on the same CPU changes SN alone", () => {
    const h = new PostedHarness();
    const [{ posted }] = h.all;
    run(posted.put("preempted"));
    run(posted.load(0));
    expect(h.state()).toBe(" ON0 SN0 f2 0");
  });

  it("the first bypass device has every vCPU look once", () => {
    const h = new PostedHarness({ cpus: 3 });
    run(startBypass(h.set));
    expect(h.vm.vcpus.map((v) => v.unblocks)).toEqual([1, 1, 1]);
  });
});

describe("remapping entries (10.5)", () => {
  const source = { id: 0x0010, qualifier: 0, validation: 1 };
  const remapped: RemappedIrte = {
    kind: "remapped",
    vector: 0x31,
    destination: 0x300,
    isLogical: false,
    hasRedirectionHint: true,
    isLevel: false,
    mode: 1,
    isFaultDisabled: false,
    source,
  };
  const words = (value: Int32Array): string[] => [...value].map((word) => (word >>> 0).toString(16).padStart(8, "0"));

  it("78: the posted format", () => {
    const posted = { kind: "posted", vector: 0x41, isUrgent: false, descriptor: 0x123456780, isFaultDisabled: false, source } as const;
    const encoded = encodeIrte(posted);
    const [w0, w1, w2, w3] = words(encoded);
    expect([w1 + w0, w3 + w2]).toEqual(["2345678000418001", "0000000100040010"]);
    expect(decodeIrte(encoded)).toEqual(posted);
  });

  it("the remapped format comes back as it went in; an absent entry is nothing", () => {
    expect(decodeIrte(encodeIrte(remapped))).toEqual(remapped);
    expect(words(encodeIrte(remapped))[0]).toBe("00310029");
    expect(decodeIrte(new Int32Array(4))).toBeNull();
  });

  class Sink implements IrteSink {
    readonly seen: string[] = [];
    constructor(private readonly h: PostedHarness) {}
    descriptorAt(address: number): PostedDescriptor | null {
      return address === 0x123456780 ? this.h.descriptor() : null;
    }
    coalesced(vector: number): void {
      this.seen.push(`coalesced ${vector.toString(16)}`);
    }
    *notify(ndst: number, vector: number): Step<void> {
      this.seen.push(`notify ${vector.toString(16)} ${ndst.toString(16)}`);
    }
    *remapped(): Step<void> {
      this.seen.push("host");
    }
    *fault(isRecorded: boolean): Step<void> {
      this.seen.push(`fault ${isRecorded}`);
    }
  }

  it("a message is remapped, posted, or blocked", () => {
    const h = new PostedHarness();
    const sink = new Sink(h);
    const irte = new Irte();
    const posted = { kind: "posted", vector: 0x41, isUrgent: false, descriptor: 0x123456780, isFaultDisabled: true, source } as const;
    run(irte.deliver(sink));
    run(irte.write(encodeIrte(remapped)));
    run(irte.deliver(sink));
    run(irte.write(encodeIrte(posted)));
    run(irte.deliver(sink));
    run(irte.deliver(sink));
    run(irte.write(encodeIrte({ ...posted, descriptor: 0x40 })));
    run(irte.deliver(sink));
    expect([sink.seen, h.state()]).toEqual([["fault true", "host", "notify f2 0", "coalesced 41", "fault false"], "41 ON1 SN0 f2 0"]);
  });

  class Port implements PostingPort {
    constructor(
      private readonly irte: Irte,
      private readonly refusal: () => number,
    ) {}
    *post(vector: number, descriptor: number): Step<number> {
      yield* this.irte.write(encodeIrte({ kind: "posted", vector, isUrgent: false, descriptor, isFaultDisabled: false, source }));
      return this.refusal();
    }
    *restore(): Step<number> {
      yield* this.irte.write(encodeIrte(remapped));
      return 0;
    }
  }

  it("79: posted to a single vCPU, remapped for several, for NMIs, and when the producer goes", () => {
    const h = new PostedHarness({ cpus: 4 });
    h.flat();
    h.trace.clear();
    const irte = new Irte();
    run(irte.write(encodeIrte(remapped)));
    let refusal = 0;
    const posting = new IrtePosting(h.set, new Port(irte, () => refusal), 24, 10);
    const update = (addressLo: number, data: number): [number, number] => [run(posting.update({ addressHi: 0, addressLo, data })), posting.postedTo];
    expect(update(0xfee0f004, 0x41)).toEqual([0, -1]);
    expect(update(0xfee01000, 0x441)).toEqual([0, -1]);
    expect(update(0xfee01000, 0x41)).toEqual([0, 1]);
    expect(run(irte.decode())).toEqual({ kind: "posted", vector: 0x41, isUrgent: false, descriptor: 0x1234567c0, isFaultDisabled: false, source });
    expect(update(0xfee0f004, 0x0141)).toEqual([0, 1]);
    expect(update(0xfee0f004, 0x0142)).toEqual([0, 2]);
    expect([run(posting.update(null)), run(irte.decode()), posting.postedTo]).toEqual([0, remapped, -1]);
    refusal = -22;
    expect(update(0xfee01000, 0x41)).toEqual([-22, -1]);
    expect(h.trace.lines("kvm_pi_irte_update")).toEqual([
      "kvm_pi_irte_update(24,1,10,65,1)",
      "kvm_pi_irte_update(24,1,10,65,1)",
      "kvm_pi_irte_update(24,2,10,66,1)",
      "kvm_pi_irte_update(24,2,10,66,0)",
    ]);
    expect(h.trace.lines("irte_remapped")).toEqual(["irte_remapped(24,10,not exactly one vCPU)", "irte_remapped(24,10,delivery mode)", "irte_remapped(24,10,no message, or no producer)"]);
  });
});
