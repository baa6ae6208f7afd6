import { describe, expect, it } from "vitest";
import { KVM_IRQ_LINE_STATUS, KVM_SET_GSI_ROUTING } from "../../uapi/kvm.js";
import { run, type Step } from "../../sim/step.js";
import { X86Calls } from "./calls.js";
import { decodeIoapic, decodeLapic, decodePic, overlayIoapic, overlayLapic, overlayPic } from "./chips.js";
import { answerDifferences, chipDifferences } from "./compare.js";
import type { X86System } from "./system.js";

describe("chips as bytes and as state", () => {
  it("an overlay writes the fields given and leaves the rest; a redirection entry is written whole", () => {
    const view = new DataView(new ArrayBuffer(216));
    view.setBigUint64(24, 0x10000n, true);
    overlayIoapic(view, 0, { irr: 4, redirtbl: { 1: { vector: 0x41, trigMode: 1, destId: 3 } } });
    expect(view.getBigUint64(32, true)).toBe(0x0300_0000_0000_8041n);
    expect(decodeIoapic(view, 0).irr).toBe(4);
    expect(decodeIoapic(view, 0).redirtbl[0]).toBeUndefined();
    expect(decodeIoapic(view, 0).redirtbl[1]).toEqual({ vector: 0x41, deliveryMode: 0, destMode: 0, deliveryStatus: 0, polarity: 0, remoteIrr: 0, trigMode: 1, mask: 0, destId: 3 });
    overlayIoapic(view, 0, { redirtbl: { 1: { vector: 0x42 } } });
    expect(decodeIoapic(view, 0).irr).toBe(4);
    expect(view.getBigUint64(32, true)).toBe(0x42n);
    view.setBigUint64(32, 0xffff_ffff_ffff_ffffn, true);
    expect(decodeIoapic(view, 0).redirtbl[1].otherBits).toBe("0xfffffffffe0000");
  });

  it("PIC fields stand in the order of struct kvm_pic_state", () => {
    const view = new DataView(new ArrayBuffer(24));
    overlayPic(view, 8, { lastIrr: 1, imr: 3, elcrMask: 16 });
    expect([...new Uint8Array(view.buffer)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16]);
    expect(decodePic(view, 8)).toMatchObject({ lastIrr: 1, irr: 0, imr: 3, elcrMask: 16 });
  });

  it("vectors of a local APIC are bits of words 16 bytes apart", () => {
    const view = new DataView(new ArrayBuffer(1024));
    overlayLapic(view, { irr: [0, 0x41, 255], tpr: 0x30 });
    expect([view.getUint32(0x200, true), view.getUint32(0x220, true), view.getUint32(0x270, true), view.getUint32(0x80, true)]).toEqual([1, 2, 0x8000_0000, 0x30]);
    expect(decodeLapic(view)).toMatchObject({ irr: [0, 0x41, 255], isr: [], tpr: 0x30, svr: 0 });
    overlayLapic(view, { irr: [] });
    expect(decodeLapic(view)).toMatchObject({ irr: [], tpr: 0x30 });
  });
});

describe("answers", () => {
  it("differ where a field does, whatever the order of keys", () => {
    expect(answerDifferences({ ret: 0, events: [{ type: "intr", vector: 2 }] }, { events: [{ vector: 2, type: "intr" }], ret: 0 } as never)).toEqual([]);
    expect(answerDifferences({ ret: 0, value: 3 }, { ret: 0 })).toEqual([{ path: "value", expected: "3", got: "nothing" }]);
    expect(answerDifferences({ ret: 0 }, { errno: "EINVAL" }).map(({ path }) => path)).toEqual(["ret", "errno"]);
    expect(answerDifferences({ ret: 0, events: [{ type: "exitHlt" }] }, { ret: 0, events: [] })).toHaveLength(1);
  });

  it("the stored PPR, and chips that were not recorded, are not compared", () => {
    const pic = { irr: 1 } as never;
    expect(chipDifferences({ picMaster: pic }, { picMaster: pic, picSlave: pic })).toEqual([]);
    expect(chipDifferences({ lapic: { vcpu0: { pprLazy: 1, tpr: 1 } } } as never, { lapic: { vcpu0: { pprLazy: 2, tpr: 2 } } } as never)).toEqual([
      { path: "lapic.vcpu0.pprLazy", expected: "1", got: "2" },
      { path: "lapic.vcpu0.tpr", expected: "1", got: "2" },
    ]);
  });
});

/** Notes each ioctl, and lets a test write what comes back. */
class Recorder implements X86System {
  readonly kvm = 3;
  readonly made: { fd: number; request: number; bytes: number[] }[] = [];
  private next = 10;
  constructor(private readonly answer: (request: number, view: DataView) => number = () => 0) {}
  *ioctl(fd: number, request: number, argument: number | Uint8Array): Step<number> {
    const bytes = typeof argument === "number" ? [argument] : [...argument];
    this.made.push({ fd, request, bytes });
    return typeof argument === "number" ? this.next++ : this.answer(request, new DataView(argument.buffer, argument.byteOffset, argument.length));
  }
  place(): number {
    return 0x1000;
  }
  *eventfd(): Step<number> {
    return this.next++;
  }
  *read(): Step<number> {
    return -11;
  }
  *write(): Step<number> {
    return 8;
  }
  *dup(): Step<number> {
    return this.next++;
  }
  *close(fd: number): Step<number> {
    return fd < 0 ? -9 : 0;
  }
  *openNull(): Step<number> {
    return this.next++;
  }
  *pipe(): Step<readonly [number, number]> {
    return [this.next++, this.next++];
  }
  *sleep(): Step<void> {}
  *guestInit(): Step<number> {
    return 0;
  }
  *guest(): Step<never> {
    throw new Error("not here");
  }
  *end(): Step<void> {}
}

describe("calls", () => {
  it("carry descriptors by name; a closed name, and one that never was, is a bad descriptor", () => {
    const system = new Recorder();
    const calls = new X86Calls(system);
    expect(run(calls.perform({ op: "createVm", args: {} }))).toEqual({ ret: "fd" });
    expect(run(calls.perform({ op: "eventfd", args: { as: "e" } }))).toEqual({ ret: "fd" });
    run(calls.perform({ op: "irqfd", args: { fd: "e", gsi: 9, flags: ["RESAMPLE", 8], resamplefd: "nobody" } }));
    expect(system.made[1]).toMatchObject({ fd: 10, bytes: [11, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0, 255, 255, 255, 255, ...Array<number>(16).fill(0)] });
    expect(run(calls.perform({ op: "closeFd", args: { fd: "vm" } }))).toEqual({ ret: 0 });
    run(calls.perform({ op: "irqLine", args: { gsi: 1, level: 1 } }));
    expect(system.made[2].fd).toBe(-1);
  });

  it("give back what the kernel wrote", () => {
    const system = new Recorder((request, view) => {
      if (request !== KVM_IRQ_LINE_STATUS) return -22;
      view.setInt32(0, -1, true);
      return 0;
    });
    const calls = new X86Calls(system);
    expect(run(calls.perform({ op: "irqLineStatus", args: { gsi: 4, level: 1 } }))).toEqual({ ret: 0, status: -1 });
    expect(run(calls.perform({ op: "signalMsi", args: { addressLo: 0, data: 1 } }))).toEqual({ errno: "EINVAL" });
    expect(run(calls.perform({ op: "readEventfd", args: { fd: "e" } }))).toEqual({ errno: "EAGAIN" });
  });

  it("a routing table may claim more entries than it has", () => {
    const system = new Recorder();
    run(new X86Calls(system).perform({ op: "setGsiRouting", args: { nr: 3, entries: [{ gsi: 5, type: "msi", addressLo: 0xfee0_0000, data: 65 }] } }));
    const [{ request, bytes }] = system.made;
    expect([request, bytes.length, bytes[0], bytes[8], bytes[12]]).toEqual([KVM_SET_GSI_ROUTING, 8 + 3 * 48, 3, 5, 2]);
  });
});
