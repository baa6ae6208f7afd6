import { expect, it } from "vitest";
import { findUnannounced } from "./unannounced/audit.js";

/** What contexts share without announcing it, and why no order of it can be told from another. */
const HARMLESS = [
  [/^\w+\.references in host\/(file|eventfd)\.ts$/, "references taken, which commute with each other; the footprint of each says so, and is in an order with those that give back"],
  [/^AddressSpace\.last(Start|View|Length|Area) /, "the page and the area looked up last: another answer takes longer and is the same"],
  [/^(Arm|X86)VcpuStats\.|^Intx\.signals /, "a counter that is added to"],
  [/^Route\.|^Array\.\* in kvm\/(routing-table|routing)\.ts/, "a table's routes, decoded for whoever asks first: always the same"],
  [/^(Ppc)?Vcpu(X86)?\.stage in kvm\/kick\.ts and kvm\/vcpu-run\.ts$/, "who wakes asks whether it polls: the way into the guest is none; who signals comes behind the look for signals"],
  [/^ApicMessage\.|^Array\.\* in irqchip\/x86\/local-apics\.ts$/, "a pool of messages, each filled anew before it is used"],
  [/^DataView\.\* in host\/memory\.ts$/, "arguments of system calls at addresses of their own, in one page"],
  [/^DataView\.\* in device\/pci\/config-space\.ts$/, "a function's registers in one view: what a driver peeks at without a point is its capabilities, which do not change"],
  [/^Array\.\* in vfio\/backends\/platform\.ts$/, "entries of different devices; those of one are under its device_lock"],
  [/^Array\.\* in kvm\/arm64\/irq-forward\.ts$/, "H39's look outside of the mutex, which only its switch makes"],
  [/^Map\.\* in host\/memory\.ts$/, "a page, made for whoever touches it first"],
  [/^Array\.\* in host\/irq\/domain\.ts$/, "an interrupt's place, given back behind free_irq: one that comes late finds no handler, or no descriptor, and nobody is told in either case"],
  [/^Array\.\* in host\/process\.ts$/, "a descriptor table: open takes a slot that is free, others look at those that they were given"],
  [/^Its\.c(readr|writer) in irqchip\/gic\/its\/|^Int32Array\.\[\] in .*irqchip\/plain-ram\.ts$/, "an ITS's command queue, under cmd_lock, which only R42's switch takes away"],
  [/^Vcpu\.stage in kvm\/arm64\/module\.ts and kvm\/vcpu-run\.ts$|^Array\.\* in kvm\/arm64\/module\.ts and kvm\/arm64\/vcpu\.ts$/, "who signals a vLPI asks which guest runs, and whether it does; on its way in the vCPU looks at that signal itself, which is in an order"],
  [/^LpiSet\.intid in host\/gic\/its\/lpi-set\.ts and host\/gic\/its\/vlpi-frame\.ts$/, "a guest that looks between a vLPI's arrival and the signal of it sees it at once; that signal comes all the same, and is in an order"],
  [/^(Int32Array\.\[\]|ItsDriver\.vmovpSequence) in host\/its\/vpe-map\.ts$/, "an ITS's count of a VM's events and the number of a VMOVP, under locks that only R17's and R18's switches take away"],
  [/^Array\.\* in host\/process\.ts$/, "a descriptor is looked up by who has its number: others' come beside it"],
  [/^PpcVcpu\.(irqType|realMode|icp) /, "under the vCPU's mutex, which only R24's switch takes away"],
  [/^PpcVm\.xicsDevice in kvm\/powerpc\/powerpc\.ts and kvm\/powerpc\/xics\.ts$/, "a call on a range looks for its controller under kvm.lock, which only R24's switch takes away; an irqfd's look is announced"],
  [/^Tally\.number in vfio\/backends\/pci\/low-power\.ts$/, "a tally that is only raised: raises commute, and who reads it is in an order with each"],
  [/^GicCpu\.(needsResched|thread) in host\/cpu\.ts/, "a vCPU's look on its way in, which only spares it the way: in the guest it looks again, in an access to the CPU's signal, with which the end of a slice is in an order; and whose slice ends as it goes to sleep goes to sleep"],
  [/^GicCpu\.isIpiOnItsWay in host\/cpu\.ts$/, "of two IPIs to a CPU at once one may be charged as a plain signal: a delay, and nothing else"],
  [/^IrqDesc\.runner in host\/irq\/flow\.ts and host\/irq\/manage\.ts$/, "who waits for a handler asks whether it is that itself: nobody else changes the answer"],
  [/^IrqCounters\.(kstat|taken) in host\/irq\/desc\.ts$/, "tables of counters that grow whole, in one step: what was counted before is copied"],
  [/^Array\.\* in vfio\/backends\/pci\/device-set\.ts and vfio\/backends\/pci\/hot-reset\.ts$|^IdlePower\.before in vfio\/backends\/pci\/idle-power\.ts$/, "the members of a set and their sleep, under its lock, which only 2.3's and 12.5's switches take away"],
  [/^(Gic|Apic)Cpu\.interruptDepth in host\/cpu\.ts and host\/irq\/desc\.ts$/, "free_irq asks whether it is in a handler, and warns"],
];

it("no two steps of different contexts touch the same state, one of them writing, unless what they announce puts them in an order", async () => {
  const found = await findUnannounced(6);
  expect([...found].filter(([touched]) => !HARMLESS.some(([pattern]) => pattern.test(touched)))).toEqual([]);
  expect(found.size).toBeGreaterThan(0); // the detector does see
}, 300_000);
