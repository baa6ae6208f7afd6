import { describe, expect, it } from "vitest";
import { Af, CapId, Exp, Pci, Pm } from "../arch/pci/config-registers.js";
import { aerCapability, type Capability, vendorCapability } from "../device/pci/capabilities.js";
import { PciStage, type PciStageOptions } from "../explore/stages/pci-stage.js";
import { EINVAL } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";

// vfio.md 12.1 step 3, 12.2 steps 8 and 11, 23.22: configuration outlives a reset, and no user's outlives the user.

const [EXPRESS_V1, EXPRESS_V2] = [1, 2];
/** Registers of A that its user writes: PCI Express, PCI-X, AER. */
const KEPT = (world: PciStage): readonly (readonly [at: number, size: number, value: number])[] => {
  const { fn } = world.A;
  const express = fn.capability(CapId.EXPRESS);
  const isV2 = express !== 0 && (fn.peek(express + 2, 2) & 0xf) >= EXPRESS_V2;
  const pcix = fn.capability(CapId.PCIX);
  return [
    ...(express === 0 ? [] : ([[express + 0x08, 2, 0x0010], [express + 0x10, 2, 0x0040]] as const)),
    ...(isV2 ? ([[express + 0x28, 2, 0x0015]] as const) : []),
    ...(pcix === 0 ? [] : ([[pcix + 2, 2, 0x000c]] as const)),
    ...(world.A.extendedCapability(1) === 0 ? [] : [0x08, 0x0c, 0x14, 0x18].map((offset) => [0x100 + offset, 4, 0x40 + offset] as const)),
  ];
};

function written(options: PciStageOptions) {
  const world = new PciStage({ extended: [aerCapability()], ...options });
  const fds = world.ready();
  const kept = KEPT(world);
  const had = (d: number): number[] => kept.map(([at, size]) => world.configRead(d, at, size));
  const fresh = had(fds.d);
  for (const [at, size, value] of kept) world.configWrite(fds.d, at, size, value);
  return { world, ...fds, fresh, had, wanted: kept.map(([, , value]) => value) };
}

const pcix: Capability = { id: CapId.PCIX, length: 8, fields: [{ offset: 2, size: 2, writable: 0x7f }] };
const v1: Capability = { id: CapId.EXPRESS, length: 0x14, fields: [{ offset: 2, size: 2, value: EXPRESS_V1 }, { offset: 8, size: 2, writable: 0x7fff }, { offset: 16, size: 2, writable: 0x1ff }] };

describe("what the user has written into capabilities", () => {
  it("is there after VFIO_DEVICE_RESET", () => {
    const { world, d, had, wanted } = written({ extra: [pcix] });
    expect([wanted.length, had(d)]).toEqual([8, wanted]);
    const { resets } = world.A.fn;
    expect([world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0), world.A.fn.resets - resets, had(d)]).toEqual([0, 1, wanted]);
  });

  it("is there after D3hot, where the way back resets the function", () => {
    const { world, d, had, wanted } = written({ resetsInD3: true });
    const { resets } = world.A.fn;
    const pmcsr = world.A.fn.capability(CapId.PM) + Pm.PMCSR;
    world.configWrite(d, pmcsr, 2, Pm.D3HOT);
    world.configWrite(d, pmcsr, 2, 0);
    expect([world.A.fn.resets - resets, had(d)]).toEqual([1, wanted]);
  });

  it("is gone for the next user, reset or not", () => {
    for (const noReset of [false, true]) {
      const { world, c, g, d, had, fresh } = written({ noReset });
      for (const fd of [d, g, c]) world.close(fd);
      expect(had(world.ready().d)).toEqual(fresh);
    }
  });

  it("leaves alone what lies behind a PCI Express capability of version 1", () => {
    const { world, d, had, wanted } = written({ isConventional: true, resetsInD3: true, extended: [], extra: [v1, vendorCapability(0x20)] });
    const behind = world.A.fn.capability(CapId.EXPRESS) + Exp.DEVCTL2;
    const pmcsr = world.A.fn.capability(CapId.PM) + Pm.PMCSR;
    world.A.fn.setRegister(behind, 2, 0x1234);
    for (const state of [Pm.D3HOT, 0]) world.configWrite(d, pmcsr, 2, state);
    expect([had(d), world.A.fn.peek(behind, 2)]).toEqual([wanted, 0]);
  });
});

describe("what a function does not offer", () => {
  it("12.1: AF that cannot tell pending transactions, or reset nothing, is no way to reset (pci_af_flr)", () => {
    const told = [0, 1, 2, Af.CAP_TP_FLR].map((offered) => {
      const af: Capability = { id: CapId.AF, length: Af.LENGTH, fields: [{ offset: Af.LENGTH_FIELD, size: 1, value: Af.LENGTH }, { offset: Af.CAPABILITIES, size: 1, value: offered }] };
      const world = new PciStage({ isConventional: true, extra: [af] });
      const { d } = world.ready();
      world.call(d, uapi.VFIO_DEVICE_GET_INFO, 16);
      return [world.answer(4) & uapi.VFIO_DEVICE_FLAGS_RESET, world.A.resetMethod(), world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0)];
    });
    const none = [0, null, -EINVAL];
    expect(told).toEqual([none, none, none, [uapi.VFIO_DEVICE_FLAGS_RESET, "af_flr", 0]]);
  });

  it("13.5: D1 and D2 are not gone to where PMC has them not (pci_set_power_state)", () => {
    const reached = [0, Pm.HAS_D1, Pm.HAS_D2].map((offered) => {
      const world = new PciStage();
      const { d } = world.ready();
      const pm = world.A.fn.capability(CapId.PM);
      world.A.fn.setRegister(pm + Pm.PMC, 2, world.A.fn.peek(pm + Pm.PMC, 2) | offered);
      return [Pm.D1, Pm.D2, Pm.D3HOT, 0].map((state) => {
        world.configWrite(d, pm + Pm.PMCSR, 2, state);
        return world.configRead(d, pm + Pm.PMCSR, 2) & Pm.STATE_MASK;
      });
    });
    expect(reached).toEqual([[0, 0, 3, 0], [1, 1, 3, 0], [0, 2, 3, 0]]);
  });

  it("13.5: a vendor's capability that says it has no bytes is left out of the list", () => {
    const listed = [0, 4].map((length) => {
      const world = new PciStage({ extra: [{ id: CapId.VENDOR, length: 4, fields: [{ offset: 2, size: 1, value: length }] }] });
      const { d } = world.ready();
      const ids: number[] = [];
      for (let at = world.configRead(d, Pci.CAP_POINTER, 1); at !== 0; at = world.configRead(d, at + 1, 1)) ids.push(world.configRead(d, at, 1));
      return ids.includes(CapId.VENDOR);
    });
    expect(listed).toEqual([false, true]);
  });
});
