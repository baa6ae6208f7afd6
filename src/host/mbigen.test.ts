import { describe, expect, it } from "vitest";
import { LevelDevice } from "../device/line-device.js";
import { run } from "../sim/step.js";
import { EINVAL } from "../uapi/errno.js";
import { Handler } from "../explore/stages/host-stage.js";
import { IrqReturn, IrqType } from "./irq/types.js";
import { LpiStage } from "../explore/stages/lpi-stage.js";
import { clearRegister, isMbigenPin, MbigenEdgePin, MbigenLevelPin, typeRegister, vectorRegister } from "./mbigen.js";

// Vectors 59, 60 and the host half of 43 of host-irq.md 8.

const machine = (): LpiStage => new LpiStage();

const registers = (pin: number) => ({ vector: vectorRegister(pin), type: typeRegister(pin), clear: clearRegister(pin) });

describe("mbigen", () => {
  it("vector 59: pins 64 to 1407", () => {
    const { domain } = machine();
    expect([63, 64, 1407, 1408].map(isMbigenPin)).toEqual([false, true, true, false]);
    expect([vectorRegister(64), vectorRegister(1407)]).toEqual([0x1200, 0xc2fc]);
    expect(run(domain.map([63, IrqType.LEVEL_HIGH]))).toBe(-EINVAL);
    expect(run(domain.map([1408, IrqType.LEVEL_HIGH]))).toBe(-EINVAL);
    expect(run(domain.map([64]))).toBe(-EINVAL);
    expect(run(domain.map([64, IrqType.LEVEL_LOW]))).toBe(-EINVAL);
  });

  it("vector 60: a level pin's vector, type and clear registers", () => {
    const { domain, mbigen } = machine();
    expect(registers(200)).toEqual({ vector: 0x2220, type: { offset: 0x2000, bit: 8 }, clear: { offset: 0xa018, bit: 8 } });
    run(domain.map([200, IrqType.LEVEL_HIGH]));
    expect(mbigen.pin(200).isLevel).toBe(true);
  });

  it("vector 43: a lazily automasked level pin sends three messages, and the last is a spurious interrupt (K30)", () => {
    const { sim, host, port, mbigen, domain } = machine();
    const irq = run(domain.map([70, IrqType.LEVEL_HIGH]));
    const device = new LevelDevice(sim, "sas", new MbigenLevelPin(mbigen, 70));
    const found: number[] = [];
    let isMasked = false;
    let signals = 0;
    const vfio = new Handler(function* () {
      if (isMasked) return IrqReturn.NONE;
      yield* host.disableIrqNosync(irq);
      isMasked = true;
      signals++;
      return IrqReturn.HANDLED;
    });
    run(host.requestIrq(irq, vfio, 0, "vfio", vfio));
    const before = host.counts(irq);
    const guest = (): void => {
      found.push(run(device.service()));
      isMasked = false;
      run(host.enableIrq(irq));
      run(sim.settle());
    };
    run(device.raise());
    run(sim.settle());
    expect(mbigen.messages).toBe(3);
    guest();
    const { taken, kstat, maskOps, unmaskOps } = host.counts(irq);
    expect([taken, kstat - before.kstat, maskOps - before.maskOps, unmaskOps - before.unmaskOps]).toEqual([3, 2, 1, 1]);
    expect(signals).toBe(2);
    guest();
    expect(found).toEqual([1, 0]);
    expect([port.writes, domain.clears]).toEqual([["64:0", "64:0", "64:0"], 3]);
    expect(clearRegister(70)).toEqual({ offset: 0xa008, bit: 6 });
  });

  it("K25: the clear bit goes by the raw pin: a pin fires again, and its neighbours keep their status", () => {
    const { sim, host, mbigen, domain } = machine();
    const runs = [0, 0];
    const pins = [70, 134].map((pin, i) => {
      const irq = run(domain.map([pin, IrqType.EDGE_RISING]));
      run(host.requestIrq(irq, new Handler(function* () {
        runs[i]++;
      }), 0, "x", mbigen));
      return new MbigenEdgePin(mbigen, pin);
    });
    for (let i = 0; i < 3; i++) {
      for (const pin of pins) run(pin.pulse());
      run(sim.settle());
    }
    expect(runs).toEqual([3, 3]);
    run(mbigen.setLine(70, true));
    run(mbigen.setLine(134, true));
    const { offset, bit } = clearRegister(70);
    run(mbigen.writeClear(offset, bit));
    expect([mbigen.pin(70).isSent, mbigen.pin(134).isSent]).toEqual([false, true]);
  });

  it("an edge pin is silent until it is cleared", () => {
    const { mbigen } = machine();
    const pin = new MbigenEdgePin(mbigen, 64);
    run(pin.pulse());
    run(pin.pulse());
    expect(mbigen.messages).toBe(1);
  });
});
