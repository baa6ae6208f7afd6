import { describe, expect, it } from "vitest";
import { run, type Step } from "../sim/step.js";
import { EINVAL, ENOSPC } from "../uapi/errno.js";
import { HostStage, Handler } from "../explore/stages/host-stage.js";
import type { MsiDevice } from "./msi.js";
import { V2mDomain, V2mFrame, type V2mFrameDescription } from "./v2m.js";

// Vectors 57 and 58 of host-irq.md 8.3, and 2.7.

class Nic implements MsiDevice {
  readonly name = "nic";
  readonly deviceId = 8;
  messages: string[] = [];
  masked: boolean[] = [];
  *writeMessage(index: number, address: number, data: number): Step<void> {
    this.messages[index] = `${address.toString(16)}=${data}`;
  }
  *setMasked(index: number, isMasked: boolean): Step<void> {
    this.masked[index] = isMasked;
  }
}

const FRAME: V2mFrameDescription = { address: 0x8020000, baseSpi: 64, spiCount: 32 };

function domain(description: Partial<V2mFrameDescription> = {}): { f: HostStage; v2m: V2mDomain; nic: Nic } {
  const f = new HostStage(2);
  const frame = V2mFrame.create(f.gic, { ...FRAME, ...description });
  if (typeof frame === "number") throw new Error(`the frame is refused: ${frame}`);
  return { f, v2m: new V2mDomain(f.host.irqs, f.host.domain, [frame]), nic: new Nic() };
}

describe("GICv2m", () => {
  it("vector 57: three vectors take an aligned block of four; 32 more do not fit", () => {
    const { f, v2m, nic } = domain();
    const irqs: number[] = [];
    expect(run(v2m.alloc(nic, 0, 3, irqs))).toBe(irqs[0]);
    for (const irq of irqs) run(f.host.requestIrq(irq, new Handler(function* () {}), 0, "nic", nic));
    expect(nic.messages).toEqual(["8020040=64", "8020040=65", "8020040=66"]);
    expect(run(v2m.alloc(nic, 0, 32, []))).toBe(-ENOSPC);
    const next: number[] = [];
    run(v2m.alloc(nic, 0, 1, next));
    expect(f.desc(next[0]).data.parent?.hwirq).toBe(68);
  });

  it("vector 58: the frame's SPIs start at 32 and end before 1019", () => {
    const f = new HostStage(2);
    const create = (baseSpi: number, spiCount: number) => V2mFrame.create(f.gic, { address: 0, baseSpi, spiCount });
    expect([create(31, 1), create(1000, 20), create(64, 0)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect(create(1000, 19)).toBeInstanceOf(V2mFrame);
  });

  it("delivers a write to the doorbell as an edge, whoever writes it", () => {
    const { f, v2m, nic } = domain();
    const irqs: number[] = [];
    run(v2m.alloc(nic, 0, 2, irqs));
    const h = new Handler(function* () {});
    run(f.host.requestIrq(irqs[1], h, 0, "nic", nic));
    expect(nic.masked[1]).toBe(false);
    expect(run(v2m.write(99, 0, 0x8020040, 65))).toBe(true);
    expect(run(v2m.write(99, 0, 0x8020044, 65))).toBe(false);
    expect(run(v2m.write(99, 1, 0x8020040, 65))).toBe(false);
    run(v2m.write(99, 0, 0x8020040, 500));
    f.settle();
    expect([h.runs, f.host.counts(irqs[1]), v2m.isIsolated]).toEqual([1, { taken: 1, kstat: 1, maskOps: 0, unmaskOps: 1 }, false]);
  });

  it("masks at the device and at the GIC, and clears the message when freed", () => {
    const { f, v2m, nic } = domain();
    const irqs: number[] = [];
    run(v2m.alloc(nic, 0, 1, irqs));
    run(f.host.requestIrq(irqs[0], new Handler(function* () {}), 0, "nic", nic));
    run(f.host.freeIrq(irqs[0], nic));
    expect([nic.masked, nic.messages, f.gic.isEnabled(0, 64)]).toEqual([[true], ["0=0"], false]);
    run(v2m.free(irqs));
    expect([f.host.desc(irqs[0]), f.host.domain.descOf(64)]).toEqual([null, null]);
    const again: number[] = [];
    expect(run(v2m.alloc(nic, 0, 32, again))).toBe(irqs[0]);
  });

  it("writes smaller data for the implementations that add to it", () => {
    for (const [iidr, data] of [[0x06000170, 0], [0x0000013f, 32]] as const) {
      const { f, v2m, nic } = domain({ iidr });
      const irqs: number[] = [];
      run(v2m.alloc(nic, 0, 1, irqs));
      const h = new Handler(function* () {});
      run(f.host.requestIrq(irqs[0], h, 0, "nic", nic));
      expect(nic.messages).toEqual([`8020040=${data}`]);
      run(v2m.write(8, 0, 0x8020040, data));
      f.settle();
      expect(h.runs).toBe(1);
    }
  });

  it("puts the doorbell where the IOMMU maps it for this device, and fails with it", () => {
    const { f, v2m, nic } = domain();
    const mapped = Object.assign(nic, { *prepareDoorbell(address: number): Step<number> { return address === 0x8020040 ? 0x8000040 : -12; } });
    const irqs: number[] = [];
    run(v2m.alloc(mapped, 0, 1, irqs));
    run(f.host.requestIrq(irqs[0], new Handler(function* () {}), 0, "nic", nic));
    expect(nic.messages).toEqual(["8000040=64"]);
    const full = Object.assign(new Nic(), { *prepareDoorbell(): Step<number> { return -12; } });
    run(v2m.alloc(full, 0, 1, irqs));
    expect(run(f.host.requestIrq(irqs[1], new Handler(function* () {}), 0, "nic", nic))).toBe(-12);
  });
});
