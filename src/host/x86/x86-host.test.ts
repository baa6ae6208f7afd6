import { beforeEach, describe, expect, it } from "vitest";
import { HostVector } from "../../arch/x86/host-vectors.js";
import { PostedDescriptor } from "../../arch/x86/posted-descriptor.js";
import { TraceBuffer } from "../../sim/event.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import { type GuestMode, Ipi } from "../cpu.js";
import { type IrqAction, IrqReturn, IrqType } from "../irq/types.js";
import type { MsiDevice } from "../msi.js";
import { IoApicEdgeInput, IoApicLevelInput } from "./ioapic.js";
import { PostedTarget } from "./remapped-irq.js";
import { X86Host } from "./x86-host.js";

/** Two nodes: APIC ids are no CPU numbers. */
const APIC_IDS = [0, 2, 16, 18];
const NIC = 0x0010;

class Counter implements IrqAction {
  runs = 0;
  constructor(private readonly serve: () => Step<void> = function* () {}) {}
  *handler(): Step<number> {
    this.runs++;
    yield* this.serve();
    return IrqReturn.HANDLED;
  }
}

/** A function that keeps its messages, and sends them. */
class Nic implements MsiDevice {
  readonly name = "nic";
  readonly deviceId = NIC;
  readonly messages: [number, number][] = [];
  readonly masked: boolean[] = [];
  *writeMessage(index: number, address: number, data: number): Step<void> {
    this.messages[index] = [address, data];
  }
  *setMasked(index: number, isMasked: boolean): Step<void> {
    this.masked[index] = isMasked;
  }
}

class Guest implements GuestMode {
  exits = 0;
  notifications = 0;
  constructor(readonly notificationVector = -1) {}
  *forceExit(): Step<void> {
    this.exits++;
  }
  *notified(): Step<void> {
    this.notifications++;
  }
}

class Fixture {
  readonly trace = new TraceBuffer();
  readonly sim = new Sim({ cpus: APIC_IDS.length + 1, trace: this.trace });
  readonly host = new X86Host(this.sim, APIC_IDS);
  readonly nic = new Nic();

  settle(): void {
    run(this.sim.settle());
  }
  vectors(count: number, handler: IrqAction): number[] {
    const irqs: number[] = [];
    expect(run(this.msi.alloc(this.nic, 0, count, irqs))).toBe(irqs[0]);
    for (const irq of irqs) expect(run(this.host.requestIrq(irq, handler, 0, "nic", handler))).toBe(0);
    return irqs;
  }
  get msi() {
    if (this.host.msi === null) throw new Error("no MSI domain");
    return this.host.msi;
  }
  send(vector: number, from = NIC): void {
    const [address, data] = this.nic.messages[vector];
    run(this.msi.write(from, 0, address | 0, data));
    this.settle();
  }
}

let f: Fixture;
beforeEach(() => {
  f = new Fixture();
});

describe("a message-signalled interrupt through the remapping unit", () => {
  it("is acknowledged and ended at once, before its handler; nothing is masked", () => {
    const seen: string[] = [];
    const nic = new Counter(function* () {
      seen.push(...f.trace.lines("host_ack", "host_eoi"));
    });
    const [irq] = f.vectors(1, nic);
    f.send(0);
    expect(nic.runs).toBe(1);
    expect(seen).toEqual([`host_ack(0,${0x21})`, `host_eoi(0,${0x21})`]);
    expect(f.host.counts(irq)).toEqual({ taken: 1, kstat: 1, maskOps: 0, unmaskOps: 1 });
    expect([f.nic.masked[0], f.nic.messages[0]]).toEqual([false, [0xfee00018, 0]]);
  });

  it("one that comes while it is handled on the same CPU is handled after", () => {
    const nic: Counter = new Counter(function* () {
      if (nic.runs === 1) yield* f.msi.write(NIC, 0, f.nic.messages[0][0] | 0, f.nic.messages[0][1]);
    });
    f.vectors(1, nic);
    f.send(0);
    expect(nic.runs).toBe(2);
  });

  it("several vectors of one message: the data is the place in the block", () => {
    const nic = new Counter();
    const irqs = f.vectors(4, nic);
    expect(f.nic.messages.map(([address]) => address)).toEqual([0xfee00018, 0xfee00018, 0xfee00018, 0xfee00018]);
    expect(f.nic.messages.map(([, data]) => data)).toEqual([0, 1, 2, 3]);
    f.send(3);
    expect(irqs.map((irq) => f.host.counts(irq).taken)).toEqual([0, 0, 0, 1]);
  });

  it("another function may not use the entry: a recorded fault, and no interrupt", () => {
    const nic = new Counter();
    f.vectors(1, nic);
    f.send(0, NIC + 1);
    expect([nic.runs, f.host.remapping.faults]).toEqual([0, 1]);
    expect(f.trace.lines("intr_remap_fault")).toEqual([`intr_remap_fault(${NIC + 1},0,${0x26})`]);
  });

  it("a message that is not remappable is blocked, an address elsewhere is no message", () => {
    expect(run(f.msi.write(NIC, 0, 0xfee00000 | 0, 0x41))).toBe(true);
    expect(f.host.remapping.faults).toBe(1);
    expect(run(f.msi.write(NIC, 0, 0xfed00000 | 0, 0))).toBe(false);
    expect(run(f.msi.write(NIC, 1, 0xfee00000 | 0, 0x41))).toBe(false);
  });

  it("moves with its affinity; the old vector stays until the first interrupt at the new place", () => {
    const nic = new Counter();
    const [irq] = f.vectors(1, nic);
    expect(run(f.host.setAffinity(irq, [2]))).toBe(0);
    expect(run(f.host.setAffinity(irq, [3]))).toBe(-EBUSY);
    expect(run(f.host.vectors.descOf(0, 0x21))).not.toBeNull();
    f.send(0);
    expect(f.host.desc(irq)?.taken).toEqual(Int32Array.of(0, 0, 1, 0, 0));
    expect(run(f.host.vectors.descOf(0, 0x21))).toBeNull();
    expect(run(f.host.setAffinity(irq, [3]))).toBe(0);
  });

  it("freed vectors can be had again, and their entries deliver no more", () => {
    const nic = new Counter();
    const [irq] = f.vectors(1, nic);
    const [address, data] = f.nic.messages[0];
    run(f.host.freeIrq(irq, nic));
    run(f.msi.free([irq]));
    run(f.msi.write(NIC, 0, address | 0, data));
    f.settle();
    expect([nic.runs, f.host.remapping.faults]).toEqual([0, 1]);
    expect(f.vectors(1, nic)).toEqual([irq]);
  });
});

describe("a level line at the IOAPIC", () => {
  it("is ended at the local APIC and then at the pin, and comes again while it is high", () => {
    const irq = run(f.host.mapGsi(16, IrqType.LEVEL_LOW));
    const line = new IoApicLevelInput(f.host.ioapic, 16);
    const nic: Counter = new Counter(function* () {
      if (nic.runs === 2) yield* line.setLevel(false);
    });
    expect(run(f.host.requestIrq(irq, nic, 0, "nic", nic))).toBe(0);
    run(line.setLevel(true));
    f.settle();
    expect([nic.runs, f.host.counts(irq)]).toEqual([2, { taken: 2, kstat: 2, maskOps: 0, unmaskOps: 1 }]);
  });

  it("disabled lazily it comes once more, and is masked at its pin; enabled it comes while it is high", () => {
    const irq = run(f.host.mapGsi(16, IrqType.LEVEL_LOW));
    const line = new IoApicLevelInput(f.host.ioapic, 16);
    const nic: Counter = new Counter(function* () {
      yield* f.host.disableIrqNosync(irq);
    });
    run(f.host.requestIrq(irq, nic, 0, "nic", nic));
    run(line.setLevel(true));
    f.settle();
    expect([nic.runs, f.host.counts(irq).taken, f.host.counts(irq).maskOps]).toEqual([1, 2, 1]);
    run(f.host.enableIrq(irq));
    f.settle();
    expect(nic.runs).toBe(2);
  });

  it("two pins that share no vector do not end one another", () => {
    const nics = [16, 17].map((gsi) => {
      const irq = run(f.host.mapGsi(gsi, IrqType.LEVEL_LOW));
      const line = new IoApicLevelInput(f.host.ioapic, gsi);
      const nic = new Counter(() => line.setLevel(false));
      run(f.host.requestIrq(irq, nic, 0, "nic", nic));
      return { line, nic };
    });
    for (const { line } of nics) run(line.setLevel(true));
    f.settle();
    expect(nics.map(({ nic }) => nic.runs)).toEqual([1, 1]);
  });

  it("an edge pin sends once for each rise, and loses what comes while it is masked", () => {
    const irq = run(f.host.mapGsi(4, IrqType.EDGE_RISING));
    const line = new IoApicEdgeInput(f.host.ioapic, 4);
    const uart = new Counter();
    run(f.host.requestIrq(irq, uart, 0, "uart", uart));
    run(line.pulse());
    f.settle();
    run(f.host.disableIrq(irq));
    run(line.pulse()); // taken, remembered, and masked
    f.settle();
    run(line.pulse()); // lost at the masked pin
    f.settle();
    run(f.host.enableIrq(irq)); // resent
    f.settle();
    expect([uart.runs, f.host.counts(irq).maskOps]).toEqual([2, 1]);
  });

  it("a pin has one trigger, and there are 24", () => {
    const irq = run(f.host.mapGsi(16, IrqType.LEVEL_LOW));
    expect(run(f.host.mapGsi(16, IrqType.LEVEL_LOW))).toBe(irq);
    expect(run(f.host.mapGsi(16, IrqType.EDGE_RISING))).toBe(0);
    expect(run(f.host.mapGsi(24, IrqType.LEVEL_LOW))).toBe(0);
    expect(run(f.host.setIrqType(irq, IrqType.EDGE_RISING))).toBe(-EINVAL);
  });
});

describe("IPIs and notifications", () => {
  it("an IPI has the host's vector for its kind, and is ended before anything else", () => {
    run(f.host.cpus[0].sendIpi(2, Ipi.RESCHEDULE));
    f.settle();
    expect(f.trace.lines()).toEqual(["ipi(0,2,0)", `host_ack(2,${0xfd})`, `host_eoi(2,${0xfd})`]);
    expect(f.host.cpus[2].ipisTaken[Ipi.RESCHEDULE]).toBe(1);
  });

  it("what a guest's processor takes as its notification never reaches the host", () => {
    const guest = new Guest(HostVector.POSTED_INTR);
    run(f.host.cpus[2].enterGuest(guest));
    run(f.host.send(16, HostVector.POSTED_INTR));
    f.settle();
    expect([guest.exits, guest.notifications, f.host.cpus[2].interrupts]).toEqual([0, 1, 0]);
  });

  it("without posted interrupts, and outside of the guest, it is an interrupt of the host's that does nothing", () => {
    const guest = new Guest();
    run(f.host.cpus[2].enterGuest(guest));
    run(f.host.send(16, HostVector.POSTED_INTR));
    expect([guest.exits, guest.notifications]).toEqual([1, 0]);
    run(f.host.cpus[2].leaveGuest());
    run(f.host.cpus[2].takeInterrupts());
    expect(f.host.cpus[2].ipisTaken[Ipi.POSTED]).toBe(1);
  });

  it("a more urgent interrupt beside the notification makes the guest exit", () => {
    const guest = new Guest(HostVector.POSTED_INTR);
    run(f.host.cpus[0].sendIpi(2, Ipi.RESCHEDULE)); // pending before entry
    run(f.host.send(16, HostVector.POSTED_INTR));
    run(f.host.cpus[2].enterGuest(guest));
    expect([guest.exits, guest.notifications]).toEqual([1, 0]);
    run(f.host.cpus[2].leaveGuest());
    run(f.host.cpus[2].takeInterrupts());
    expect([f.host.cpus[2].ipisTaken[Ipi.RESCHEDULE], f.host.cpus[2].ipisTaken[Ipi.POSTED]]).toEqual([1, 1]);
  });

  it("the wake-up vector calls its handler with the CPU that took it", () => {
    const cpus: number[] = [];
    f.host.setPostedWakeup({
      *wakeupHandler(cpu: number): Step<void> {
        cpus.push(cpu);
      },
    });
    run(f.host.send(18, HostVector.POSTED_INTR_WAKEUP));
    f.settle();
    expect(cpus).toEqual([3]);
  });
});

describe("an interrupt that is posted", () => {
  const posted = () => {
    const nic = new Counter();
    const [irq] = f.vectors(1, nic);
    const descriptor = new PostedDescriptor();
    run(descriptor.direct(HostVector.POSTED_INTR, 16));
    const address = f.host.remapping.reserve();
    f.host.remapping.place(address, descriptor);
    const target = new PostedTarget(0x41, address);
    expect(run(f.host.setIrqVcpuAffinity(irq, target))).toBe(0);
    return { nic, irq, descriptor };
  };

  it("sets the guest's vector and notifies the CPU of the descriptor once; the host takes nothing", () => {
    const { nic, irq, descriptor } = posted();
    const guest = new Guest(HostVector.POSTED_INTR);
    run(f.host.cpus[2].enterGuest(guest));
    f.send(0);
    f.send(0);
    expect([guest.notifications, guest.exits, nic.runs, f.host.counts(irq).taken]).toEqual([1, 0, 0, 0]);
    expect(descriptor.pir[2]).toBe(1 << 1);
    expect(f.trace.lines("pi_notification")).toEqual([`pi_notification(16,${0xf2})`]);
  });

  it("stays posted when its affinity changes, and goes to the new place when the guest is gone", () => {
    const { nic, irq } = posted();
    expect(run(f.host.setAffinity(irq, [1]))).toBe(0);
    f.send(0);
    expect(nic.runs).toBe(0);
    run(f.host.setIrqVcpuAffinity(irq, null));
    f.send(0);
    expect([nic.runs, f.host.desc(irq)?.taken[1]]).toEqual([1, 1]);
  });

  it("a target that is none is refused", () => {
    const { irq } = posted();
    expect(run(f.host.setIrqVcpuAffinity(irq, {}))).toBe(-EINVAL);
  });
});
