import { beforeAll, describe, expect, it } from "vitest";
import { type MechanismName, mechanismsOf } from "../board/assign.js";
import { builtinBoard, subjectOf } from "../board/builtin.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { addPciFunction } from "../board/pci.js";
import { COST_PROFILES, DEFAULT_X86_PROFILE } from "../scenario/profiles.js";
import { workloadSchema } from "../scenario/scenario.js";
import { TraceBuffer } from "../sim/event.js";
import { compare, runOne } from "./compare.js";
import type { DeliveryRequest } from "./request.js";
import type { Comparison, MechanismResult } from "./result.js";
import { comparisonText } from "./table.js";

const NVME = "01:00.0";
const E1000 = "00:03.0";
const PIN = 0;
const MESSAGE = 1;

function request(device: string, irqs: readonly number[], workload: object = {}, mechanisms?: readonly MechanismName[]): DeliveryRequest {
  const board = builtinBoard("pc");
  const profile = COST_PROFILES.find((each) => each.name === DEFAULT_X86_PROFILE);
  if (board === undefined || profile === undefined) throw new Error("no board pc");
  const found = findDevice(board, device);
  return {
    board,
    device: found,
    interrupts: irqs.map((index) => findInterrupt(found, index)),
    workload: workloadSchema.parse({ interrupts: 200, ...workload }),
    profile,
    mechanisms: mechanisms ?? mechanismsOf(board),
  };
}

const by = (comparison: Comparison, mechanism: MechanismName): MechanismResult => {
  const result = comparison.mechanisms.find((each) => each.mechanism === mechanism);
  if (result === undefined) throw new Error(`${mechanism} is missing`);
  return result;
};

const one = (mechanism: MechanismName, irq: number, workload: object = {}): MechanismResult => by(compare(request(NVME, [irq], workload, [mechanism])), mechanism);

/** The counts that every row has to have: nothing lost, nothing invented. */
const WHOLE = { raised: 200, delivered: 200, coalesced: 0, lost: 0, spurious: 0 };

// conformance/exits-per-interrupt.json, the x86 host (no APICv): guest running. KVM's names of the exits on VMX.
describe("exits per interrupt, guest running, are those counted on a real kernel", () => {
  it.each([
    ["KVM_SIGNAL_MSI, xAPIC EOI: the kick and the EOI", "userspace", MESSAGE, { eoi: "xapic" }, { EXTERNAL_INTERRUPT: 1, EPT_MISCONFIG: 1 }],
    ["irqfd with a message route, xAPIC EOI", "irqfd", MESSAGE, { eoi: "xapic" }, { EXTERNAL_INTERRUPT: 1, EPT_MISCONFIG: 1 }],
    ["the same, x2APIC EOI", "irqfd", MESSAGE, { eoi: "x2apic" }, { EXTERNAL_INTERRUPT: 1, MSR_WRITE: 1 }],
    ["the same, paravirtual EOI: the kick alone", "irqfd", MESSAGE, { eoi: "pv" }, { EXTERNAL_INTERRUPT: 1 }],
    ["irqfd and resamplefd, level pin", "irqfd+resample", PIN, { eoi: "xapic" }, { EXTERNAL_INTERRUPT: 1, EPT_MISCONFIG: 1 }],
    ["the same with the paravirtual EOI, which KVM does not offer for level", "irqfd+resample", PIN, { eoi: "pv" }, { EXTERNAL_INTERRUPT: 1, MSR_WRITE: 1 }],
    ["a level device in user space: the kick, its register, the EOI", "userspace", PIN, { eoi: "xapic" }, { EXTERNAL_INTERRUPT: 1, EPT_MISCONFIG: 2 }],
    ["the PIC: the kick and the EOI port", "irqfd+resample", PIN, { eoi: "pic" }, { EXTERNAL_INTERRUPT: 1, IO_INSTRUCTION: 1 }],
    ["split: the kick and the EOI, which user space hears of", "split", PIN, { eoi: "x2apic" }, { EXTERNAL_INTERRUPT: 1, MSR_WRITE: 1 }],
    ["posted: none", "posted", MESSAGE, {}, {}],
  ] as const)("%s", (_what, mechanism, irq, workload, exits) => {
    const result = one(mechanism, irq, workload);
    expect(result).toMatchObject(WHOLE);
    expect(result.exitsByReason).toEqual(exits);
    expect(result.exitsPerInterrupt).toBe(Object.values(exits).reduce((a: number, b: number) => a + b, 0));
  });
});

describe("in HLT the HLT exit takes the place of the kick", () => {
  it.each([
    ["userspace", MESSAGE, {}, { HLT: 1, EPT_MISCONFIG: 1 }],
    ["irqfd", MESSAGE, {}, { HLT: 1, EPT_MISCONFIG: 1 }],
    ["irqfd", MESSAGE, { eoi: "pv" }, { HLT: 1 }],
    ["irqfd+resample", PIN, {}, { HLT: 1, EPT_MISCONFIG: 1 }],
    ["irqfd+resample", PIN, { eoi: "pic" }, { HLT: 1, IO_INSTRUCTION: 1 }],
    ["userspace", PIN, {}, { HLT: 1, EPT_MISCONFIG: 2 }],
    ["split", PIN, {}, { HLT: 1, EPT_MISCONFIG: 1 }],
    ["posted", MESSAGE, {}, { HLT: 1 }],
  ] as const)("%s, interrupt %i, %o", (mechanism, irq, workload, exits) => {
    const result = one(mechanism, irq, { ...workload, wait: "hlt" });
    expect(result).toMatchObject(WHOLE);
    expect(result.exitsByReason).toEqual(exits);
  });
});

describe("what posting claims", () => {
  let posted: MechanismResult;
  let irqfd: MechanismResult;
  beforeAll(() => {
    const both = compare(request(NVME, [MESSAGE]));
    posted = by(both, "posted");
    irqfd = by(both, "irqfd");
  });

  it("while the guest runs: no exit, no eventfd, no host interrupt, no ioctl; one notification each", () => {
    expect(posted).toMatchObject({ ...WHOLE, apicv: true, exitsPerInterrupt: 0, hostInterrupts: 0, eventfdSignalsPerInterrupt: 0, ipisPerInterrupt: 0, ioctlsPerInterrupt: 0, notificationsPerInterrupt: 1 });
    expect(irqfd).toMatchObject({ ...WHOLE, apicv: false, hostInterrupts: 200, eventfdSignalsPerInterrupt: 1, ipisPerInterrupt: 1, notificationsPerInterrupt: 0 });
  });

  it("a blocked vCPU is woken by the wake-up vector, whose handler finds its descriptor", () => {
    const trace = new TraceBuffer();
    const result = runOne(request(NVME, [MESSAGE], { wait: "hlt", interrupts: 3 }, ["posted"]), trace);
    expect(by(result, "posted")).toMatchObject({ delivered: 3, lost: 0, eventfdSignalsPerInterrupt: 0, hostInterrupts: 0 });
    const wakes = trace.lines("pi_notification", "host_ack", "sched_wakeup", "guest_ack");
    // APIC id 2 is the vCPU's CPU; 0xf1 to it, and its handler there wakes the thread.
    expect(wakes.slice(0, 4)).toEqual([`pi_notification(2,${0xf1})`, `host_ack(2,${0xf1})`, "sched_wakeup(vcpu0,vcpu)", `guest_ack(0,${0x40})`]);
  });

  it("with APIC virtualisation everywhere an irqfd needs no exit either, but goes through the host and its eventfd", () => {
    expect(one("irqfd", MESSAGE, { apicv: true })).toMatchObject({ ...WHOLE, apicv: true, exitsPerInterrupt: 0, hostInterrupts: 200, eventfdSignalsPerInterrupt: 1 });
  });

  it("a level interrupt keeps the exit of its end, which KVM has to hear of", () => {
    expect(one("irqfd+resample", PIN, { apicv: true }).exitsByReason).toEqual({ EOI_INDUCED: 1 });
    expect(one("split", PIN, { apicv: true }).exitsByReason).toEqual({ EOI_INDUCED: 1 });
  });
});

describe("nothing is lost and nothing invented", () => {
  it.each([1, 2, 3])("under bursts that overlap the handler, seed %i", (seed) => {
    for (const irqs of [[PIN], [MESSAGE]])
      for (const workload of [{}, { wait: "hlt" }, { eoi: "pv" }, { apicv: true }])
        for (const result of compare(request(NVME, irqs, { ...workload, interrupts: 300, burst: 3, ratePerSecond: 400_000, seed })).mechanisms) {
          if (!result.applicable) continue;
          expect([result.mechanism, workload, result.lost]).toEqual([result.mechanism, workload, 0]);
          expect((result.delivered ?? 0) + (result.coalesced ?? 0)).toBe(300);
        }
  });

  it("several messages of one function are each their own, posted or not", () => {
    const several = compare(request(NVME, [1, 2, 5], { interrupts: 300 }));
    for (const mechanism of ["userspace", "irqfd", "posted"] as const) {
      const result = by(several, mechanism);
      expect(result).toMatchObject({ irqs: [1, 2, 5], raised: 300, lost: 0, spurious: 0 });
    }
    expect(by(several, "posted").exitsPerInterrupt).toBe(0);
  });

  it("split: the VMM itself signals the eventfd that unmasks, once for each end that KVM tells it", () => {
    expect(one("split", PIN)).toMatchObject({ ...WHOLE, userExitsPerInterrupt: 1, resamplefdSignalsPerInterrupt: 1, wakeupsPerInterrupt: 0 });
  });

  it("a level pin is masked in the function: the host takes it once and writes no mask", () => {
    for (const mechanism of ["userspace", "irqfd+resample", "split"] as const)
      expect(one(mechanism, PIN)).toMatchObject({ ...WHOLE, hostInterrupts: 200, hostMasksPerInterrupt: 0, hostUnmasksPerInterrupt: 0 });
  });

  it("EOI to unmask of a pin is the time from the guest's EOI to the clear of DisINTx", () => {
    for (const mechanism of ["irqfd+resample", "split"] as const) {
      const trace = new TraceBuffer();
      const result = by(runOne(request(NVME, [PIN], { interrupts: 5 }, [mechanism]), trace), mechanism);
      const times = trace.events.filter(({ name, args }) => name === "guest_eoi" || (name === "pci_intx" && args[1] === 0)).map(({ timeNs }) => timeNs);
      const waits = times.flatMap((ns, i) => (i % 2 === 1 ? [ns - times[i - 1]] : []));
      expect([waits.length, Math.min(...waits) > 0]).toEqual([5, true]);
      const tenth = (ns: number): number => Math.round(ns * 10) / 10;
      expect(result.eoiToUnmaskNs).toMatchObject({ min: tenth(Math.min(...waits)), max: tenth(Math.max(...waits)) });
    }
    // The trapping VMM unmasks at the access, before the guest's EOI.
    expect(one("userspace", PIN).eoiToUnmaskNs).toBe(null);
  });
});

describe("what a person sees", () => {
  it("each mechanism has its column: a pin by three, a message by three; the table says whether APICv is on", () => {
    const board = builtinBoard("pc");
    const subject = board === undefined ? null : subjectOf(board);
    if (subject === null) throw new Error("no subject");
    const text = comparisonText(compare(request(subject.device, subject.irqs, { interrupts: 10 })));
    expect(text).toMatch(/^interrupts served +0 +1 +0 +0 +1$/m);
    expect(text).toMatch(/^APICv +off +off +off +off +on$/m);
    expect(text).toMatch(/^EOI to unmask p50 +- +- +\d+ ns +\d+ ns +-$/m);
  });

  it("a way for whose steps nothing was published has no latency, and says so", () => {
    expect(one("posted", MESSAGE).latencyNs).toBe(null);
    expect(one("irqfd", MESSAGE).latencyNs?.min).toBeGreaterThan(0);
    const text = comparisonText(compare(request(NVME, [MESSAGE])));
    expect(text).toMatch(/^latency p50 .*us +- +- +n\/a$/m);
    expect(text).toContain("posted: latency n/a: no published figure for any step of its way (xeon-2016).");
  });

  it("times that lack the way through user space, which nobody has measured there, are called too short", () => {
    const foot = "userspace, split: times leave out what KVM_RUN's return to user space and the way back in cost: no published figure (xeon-2016).";
    expect(comparisonText(compare(request(NVME, [PIN], { interrupts: 10 })))).toContain(foot);
    expect(comparisonText(compare(request(NVME, [PIN], { interrupts: 10 }, ["irqfd+resample"])))).not.toContain("times leave out");
  });

  it("KVM_RUN that goes on inside is traced as a call that has not returned", () => {
    const trace = new TraceBuffer();
    runOne(request(NVME, [PIN], { interrupts: 2 }, ["split"]), trace);
    expect(trace.events.flatMap(({ name, args }) => (name === "sys_ioctl" ? [args[2]] : []))).toEqual(["inside", "inside"]);
  });

  it("a mechanism that does not fit stays with its reason", () => {
    const nic = compare(request(E1000, [PIN], { interrupts: 10 }));
    expect(by(nic, "posted")).toMatchObject({ applicable: false, why: "the interrupt is a line, and only messages are posted" });
    expect(by(nic, "irqfd")).toMatchObject({ applicable: false, apicv: null });
    expect(by(nic, "irqfd+resample")).toMatchObject({ delivered: 10, lost: 0 });
    const pic = compare(request(NVME, [MESSAGE], { eoi: "pic" }));
    expect(pic.mechanisms.map((each) => each.applicable)).toEqual([false, false, false, false, false]);
    expect(by(pic, "irqfd").why).toBe("the guest uses the PIC alone, which takes no messages");
    expect(by(compare(request(NVME, [PIN], { eoi: "pic" }, ["split"])), "split").why).toMatch(/split irqchip has no PIC/);
  });

  it("the same request gives the same trace, hop by hop, each with its cause", () => {
    const lines = (): string[] => {
      const trace = new TraceBuffer();
      runOne(request(NVME, [MESSAGE], { interrupts: 5 }, ["posted"]), trace);
      const ids = new Set(trace.events.map((event) => event.id));
      expect(trace.events.filter((event) => event.cause !== 0 && !ids.has(event.cause))).toEqual([]);
      return trace.lines();
    };
    expect(lines()).toEqual(lines());
  });

  it("a function of a person's own is served like those of the board", () => {
    const asked = request(NVME, [MESSAGE]);
    const board = addPciFunction(asked.board, { bdf: "02:00.0", msiVectors: 1, under: "00:1d.0" });
    const device = findDevice(board, "02:00.0");
    const result = compare({ ...asked, board, device, interrupts: [findInterrupt(device, 0)], mechanisms: ["posted"] });
    expect(by(result, "posted")).toMatchObject({ ...WHOLE, exitsPerInterrupt: 0 });
  });
});
