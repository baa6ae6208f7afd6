import { describe, expect, it } from "vitest";
import { binding } from "./bindings.js";
import { DEVICE, GuestMachine } from "./guest.fixture.js";

const EDGE = [{ intid: 40, trigger: "edge" }] as const;

describe("exits per interrupt (host-irq.md 3.6)", () => {
  it("KVM_IRQ_LINE edge, guest running: 1 IRQ exit, 1 IPI0", () => {
    const m = new GuestMachine({ guest: { spis: EDGE } }).boot();
    for (let i = 0; i < 10; i++) {
      m.pulse(40);
      m.settle();
    }
    expect(m.since).toEqual({ exits: 10, IRQ: 10, IPI0: 10, hostIrqs: 10, acks: 10 });
  });

  it("KVM_IRQ_LINE edge, guest in WFI: 1 WFx exit, IPI1, halt_wakeup", () => {
    const m = new GuestMachine({ guest: { spis: EDGE, idle: "wfi" } }).boot();
    for (let i = 0; i < 10; i++) {
      m.pulse(40);
      m.settle();
    }
    expect(m.since).toEqual({ exits: 10, WFx: 10, haltWakeup: 10, IPI1: 10, hostIrqs: 10, acks: 10 });
  });

  for (const idle of ["spin", "wfi"] as const)
    it(`level by a user-space device, acknowledged by MMIO, guest ${idle}: 3 exits`, () => {
      const guest = { spis: [{ intid: 41, trigger: "level" }], devices: [binding(41, DEVICE)], idle } as const;
      const m = new GuestMachine({ guest }).boot();
      m.threads[0].onWrite = function* () {
        yield* m.setLine(41, 0);
      };
      for (let i = 0; i < 10; i++) {
        m.irqLine(41, 1);
        m.settle();
      }
      const common = { exits: 30, DABT: 10, mmioUser: 10, hostIrqs: 10, acks: 10 };
      expect(m.since).toEqual(idle === "spin" ? { ...common, IRQ: 20, IPI0: 10 } : { ...common, WFx: 10, IRQ: 10, IPI1: 10, haltWakeup: 10 });
    });
});
