import { describe, expect, it } from "vitest";
import { doorbellOf, ItsOp, ItsVOp, NO_DOORBELL, opcodeOf, vpeidOf } from "../../../arch/gic/its-command.js";
import type { DirectMachine } from "../../../explore/stages/direct-machine.js";
import { run, type Step } from "../../../sim/step.js";
import * as A from "../../../uapi/arm.js";
import { EINVAL } from "../../../uapi/errno.js";
import { f2 } from "./f2.fixture.js";

// Rules of gic-v4.md C1.6, C1.8, C5 and C7 that no vector of gic.md asks.

const NASSGI_REQ = 1 << 8;
const ENABLE = 2;
/** No balancing, no lazy disable. */
const HYPERVISORS = 9;
const VPEND_PENDING_LAST = 1 << 29;

/** What the first ITS is told, as `note` writes it down. */
function told<T>(machine: DirectMachine, opcode: ItsOp | ItsVOp, note: (words: Int32Array) => T): T[] {
  const notes: T[] = [];
  const { its } = machine.itsHost.driver.nodes[0];
  const { listener } = its;
  its.listener = {
    command: (which, words, outcome) => {
      if (opcodeOf(words) === opcode) notes.push(note(words));
      listener?.command(which, words, outcome);
    },
  };
  return notes;
}
const order = (machine: DirectMachine): string[] => machine.trace.events.flatMap(({ name, args }) => (name === "gic_hw_write" ? [String(args[1])] : name === "its_hw_command" ? [String(args[0]).split(":")[1]] : []));

describe("VLPIs at the host's driver (gic-v4.md C1)", () => {
  it("C1.6: an event has a doorbell of its own on 4.0, and moves with its enable bit; on 4.1 it has none", () => {
    for (const hw of ["v4.0", "v4.1"] as const) {
      const machine = f2({ hw });
      const doorbells = told(machine, ItsVOp.VMAPTI, doorbellOf);
      machine.direct(7);
      machine.trace.clear();
      machine.config(8200, 0xa0);
      machine.onEvent(ItsOp.INV, 7);
      const is41 = hw === "v4.1";
      expect(doorbells).toEqual([is41 ? NO_DOORBELL : machine.vpe(1).doorbellLpi]);
      expect(machine.physical().filter((line) => line.startsWith("VMOVI")).length).toBe(is41 ? 0 : 1);
    }
  });

  it("C1.3: VMAPP is followed by VSYNC, but not 4.1's with V=0", () => {
    for (const [hw, count] of [["v4.0", 2], ["v4.1", 0]] as const) {
      const machine = f2({ hw });
      machine.trace.clear();
      run(machine.vgic.destroy());
      const lines = machine.physical(true);
      expect(lines.filter((line, i) => line.startsWith("VMAPP") && lines[i + 1]?.startsWith("VSYNC")).length).toBe(count);
    }
  });

  it("C1.7: a vPE that moves takes its doorbell's event of the proxy along, before VMOVP", () => {
    const machine = f2();
    machine.load(1, 2);
    machine.wait(1, 2);
    machine.trace.clear();
    machine.on(1, () => machine.vgic.endWfi(1));
    expect(order(machine).filter((name) => name === "MOVI" || name === "VMOVP")).toEqual(["MOVI", "VMOVP"]);
  });

  it("C1.8: of a doorbell nothing but the pending state is set", () => {
    const machine = f2();
    const { irq } = machine.vpe(1);
    expect([run(machine.host.setIrqchipState(irq, "active", true)), run(machine.host.setIrqchipState(irq, "masked", true)), run(machine.host.setIrqchipState(irq, "pending", false))]).toEqual([-EINVAL, -EINVAL, 0]);
  });

  it("the host masks a forwarded event by its byte in the VM's table", () => {
    const machine = f2();
    const parent = machine.host.desc(machine.direct(7).irq)?.data.parent;
    if (!parent) throw new Error("no parent");
    run(parent.chip.mask(parent));
    expect(machine.property(8200)).toBe(0xa2);
    run(parent.chip.unmask(parent));
    expect(machine.property(8200)).toBe(0xa3);
  });

  it("gic-its.md B7.3: the translation of a VLPI is not remembered", () => {
    const machine = f2();
    machine.direct(7);
    expect([run(machine.vgic.injectMsi(machine.message(7))), machine.its.cache.size]).toEqual([1, 0]);
  });
});

describe("residency and doorbells (gic-v4.md C2, C5)", () => {
  it("C5.1: a doorbell that is on is switched off before the vPE is resident", () => {
    const machine = f2();
    machine.load(1, 2);
    machine.wait(1, 2);
    machine.trace.clear();
    machine.on(2, () => machine.vgic.endWfi(1));
    const all = order(machine);
    expect(all.indexOf("INV")).toBeGreaterThanOrEqual(0);
    expect(all.indexOf("INV")).toBeLessThan(all.indexOf("VPENDBASER"));
  });

  it("C5.1: 4.1's preempted vPE leaves with PendingLast written as 1 and no doorbell", () => {
    const machine = f2({ hw: "v4.1" });
    machine.load(1, 2);
    machine.trace.clear();
    machine.put(1, 2);
    const [line] = machine.lines("gic_hw_write");
    const high = parseInt(/VPENDBASER,0x([0-9a-f]+)_/.exec(line)?.[1] ?? "", 16);
    expect(high >>> 29).toBe(VPEND_PENDING_LAST >>> 29); // neither Valid nor Doorbell
  });

  it("C5.2: the handler switches off a doorbell that is on, once", () => {
    const machine = f2();
    machine.direct(7);
    machine.load(1, 2);
    machine.wait(1, 2);
    machine.send();
    const desc = machine.host.desc(machine.vpe(1).irq);
    const action = desc?.actions?.action;
    if (!desc || !action) throw new Error("no doorbell");
    const depth = (): number => {
      run(desc.lock.lock());
      const now = desc.depth;
      run(desc.lock.unlock());
      return now;
    };
    expect(depth()).toBe(1);
    machine.on(2, function* () {
      yield* action.handler(machine.vpe(1).irq, null);
    });
    expect(depth()).toBe(1);
  });

  it("C2.3: a doorbell that is freed has none of the hypervisor's settings", () => {
    const machine = f2({ hw: "v4.1" });
    const settingsOf = (vcpu: number): number => (machine.host.desc(machine.vpe(vcpu).irq)?.settings ?? 0) & HYPERVISORS;
    expect([settingsOf(0), settingsOf(1)]).toEqual([HYPERVISORS, HYPERVISORS]);
    const settings = told(machine, ItsVOp.VMAPP, (words) => settingsOf(vpeidOf(words)));
    run(machine.vgic.destroy());
    expect(settings).toEqual([0, 0]);
  });
});

describe("virtual SGIs (gic-v4.md C7)", () => {
  function vsgis(machine: DirectMachine): DirectMachine {
    machine.gicd(0, NASSGI_REQ);
    machine.gicd(0, NASSGI_REQ | ENABLE);
    return machine;
  }

  it("the guest stands still while SGIs change hands", () => {
    const machine = f2({ hw: "v4.1" }).boot();
    const { vm } = machine.vgic.dist;
    const log: string[] = [];
    const [halt, resume] = [vm.haltGuest.bind(vm), vm.resumeGuest.bind(vm)];
    class Watching {
      *haltGuest(): Step<void> {
        yield* halt();
        log.push("halted");
      }
      *resumeGuest(): Step<void> {
        log.push("resumed");
        yield* resume();
      }
    }
    Object.assign(vm, { haltGuest: new Watching().haltGuest, resumeGuest: new Watching().resumeGuest });
    told(machine, ItsVOp.VSGI, () => log.push("VSGI"));
    vsgis(machine);
    expect(log).toEqual(["halted", ...Array.from({ length: 32 }, () => "VSGI"), "resumed"]);
  });

  it("what user space has restored of nASSGIreq holds from the first run on", () => {
    const machine = f2({ hw: "v4.1" });
    const commands = told(machine, ItsVOp.VSGI, () => 1);
    machine.setAttr(machine.vgicFd, A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, NASSGI_REQ | ENABLE);
    expect(commands.length).toBe(0);
    machine.boot();
    expect(commands.length).toBeGreaterThanOrEqual(32);
  });

  it("C5.1: a vCPU that runs is scheduled anew when the guest's group enables change", () => {
    const machine = f2({ hw: "v4.1" });
    machine.gicd(0, ENABLE);
    machine.boot();
    machine.trace.clear();
    machine.gicd(0, 0);
    machine.settle();
    const written = machine.lines("gic_hw_write").flatMap((line) => /\(2,VPENDBASER,0x([0-9a-f]+)_/.exec(line)?.[1] ?? []);
    expect(written.at(-1)).toBe("80000000"); // Valid, and no group
  });

  it("those that are taken back are disabled in the hardware, and cleared by a command of its own", () => {
    const machine = vsgis(f2({ hw: "v4.1" }));
    const enabled = told(machine, ItsVOp.VSGI, (words) => (words[0] >>> 8) & 3); // Clear, Enable
    machine.gicd(0, 0);
    expect(enabled).toEqual(Array.from({ length: 32 }, () => [0, 2]).flat());
  });

  it("GITS_SGIR of an ITS that is off raises nothing", () => {
    const machine = vsgis(f2({ hw: "v4.1" }));
    const { its } = machine.itsHost.driver.nodes[0];
    const raise = (sgi: number): number => {
      run(its.write(0x20020, 8, sgi, machine.vpe(1).id));
      return machine.vpeBit(1, sgi);
    };
    expect(raise(5)).toBe(1);
    run(its.write(0, 4, 0, 0));
    expect(raise(6)).toBe(0);
  });
});
