import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { X86 } from "../../kvm/x86/x86.js";
import { enableCap } from "../../kvm/x86/core.fixture.js";
import * as K from "../../uapi/kvm.js";
import { kvm_ioapic_state } from "../../uapi/x86.js";
import { CHIP_RULE_ROWS, type ChipRule, chipRules, type X86Compat } from "./chip-rules.js";
import { ChipHarness } from "./chips.fixture.js";
import { LapicHarness } from "./lapic/lapic.fixture.js";
import { ApicReg } from "./lapic/registers.js";
import { FakePort, post } from "./posted.fixture.js";
import { RealApics } from "./real-apics.fixture.js";

const PIN = 14;
const RTC = 8;

interface Change {
  /** The last kernel without the change, and the first with it. */
  readonly kernels: readonly [before: X86Compat, after: X86Compat];
  /** What shows the difference, on one kernel. */
  readonly observe: (compat: X86Compat) => unknown;
  readonly before: unknown;
  readonly after: unknown;
}

function realApics(compat: X86Compat, hasOptimizedMap = true): ChipHarness {
  return new ChipHarness({ compat, makeApics: (vm) => new RealApics(vm, { compat, hasOptimizedMap }) });
}

/** What a VM answers to KVM_CHECK_EXTENSION and to KVM_ENABLE_CAP. */
function enabled(compat: X86Compat, capability: number, argument: number): [number, number] {
  const m = new KvmMachine({ arch: new X86(2, { compat }) });
  const vm = m.createVm();
  return [m.ioctl(vm, K.KVM_CHECK_EXTENSION, capability), enableCap(m, vm, capability, argument)];
}

/** Level pin 14 is sent again at every EOI: the state after 10,000. */
function storm(compat: X86Compat): boolean {
  const h = new ChipHarness({ compat });
  h.entry(PIN, 0x8077);
  h.pin(PIN, 1);
  for (let i = 0; i < 10_000; i++) h.serve();
  return h.irrOf().length > 0;
}

/** An x2APIC vCPU 5, after KVM_SET_LAPIC with another id in the record. */
function restoredId(compat: X86Compat): string[] {
  const h = new LapicHarness({ compat, ids: [5], x2apic: true }).x2apic();
  const page = new Int32Array(256);
  run(h.at(0).get(page));
  page[ApicReg.ID >> 2] = 0x33 << 24;
  run(h.at(0).put(page));
  return [h.rdmsr(0, 0x802), h.rdmsr(0, 0x80d)];
}

/** A vector that is only posted is still meant for its old vCPU: is its end told in split mode? */
function postedInSplitMode(compat: X86Compat): boolean {
  const h = new LapicHarness({ compat, mode: "split" }).enable();
  post(h, new FakePort());
  h.ioapic.entries = [{ destination: 5, isLogical: false, vector: 0x41 }];
  h.deliver({ destination: 0, vector: 0x41, isLevel: true });
  run(h.at(0).handled.rescan());
  return h.at(0).handled.has(0x41);
}

/** The EOI of a vector that no entry points here with any more: rescans asked for. */
function staleRescans(compat: X86Compat): number {
  const h = new LapicHarness({ compat }).enable();
  h.deliver({ destination: 0, vector: 0x41, isLevel: true });
  h.ioapic.entries = [{ destination: 5, isLogical: false, vector: 0x41 }];
  run(h.at(0).handled.rescan());
  h.take();
  const before = h.vcpu(0).scans;
  h.eoi();
  return h.vcpu(0).scans - before;
}

const CHANGES: Readonly<Record<ChipRule, Change>> = {
  ignoresPolarity: {
    kernels: ["linux-3.8", "linux-3.9"],
    observe(compat) {
      const h = new ChipHarness({ compat });
      h.entry(PIN, 0x2000 | 0x8077);
      h.pin(PIN, 1);
      const high = h.irrOf();
      h.pin(PIN, 0);
      return [high, h.irrOf()];
    },
    before: [[], [0x77]],
    after: [[0x77], [0x77]],
  },
  tracksRtcEoi: {
    kernels: ["linux-3.9", "linux-3.10"],
    observe(compat) {
      const h = new ChipHarness({ compat });
      h.entry(RTC, 0x70);
      return [1, 0, 1].map((level) => h.pin(RTC, level, 0, true));
    },
    before: [1, 1, 1],
    after: [1, 1, 0],
  },
  exitsByBitmap: {
    kernels: ["linux-3.9", "linux-3.10"],
    observe(compat) {
      const h = new LapicHarness({ compat }).enable();
      run(h.at(0).handled.rescan());
      h.deliver({ destination: 0, vector: 0x41 });
      h.take();
      h.eoi();
      return h.ioapic.eois;
    },
    before: ["0:41:edge"],
    after: [],
  },
  pausesEoiStorm: { kernels: ["linux-3.14", "linux-3.15"], observe: storm, before: true, after: false },
  hasSplitIrqchip: { kernels: ["linux-4.3", "linux-4.4"], observe: (compat) => enabled(compat, K.KVM_CAP_SPLIT_IRQCHIP, 24), before: [0, -22], after: [1, 0] },
  hasX2apicApi: {
    kernels: ["linux-4.7", "linux-4.8"],
    observe: (compat) => [...enabled(compat, K.KVM_CAP_X2APIC_API, 2), new LapicHarness({ compat }).set.enableX2apicApi(2)],
    before: [0, -22, -22],
    after: [3, 0, 0],
  },
  unmaskAsksResampler: {
    kernels: ["linux-6.3", "linux-6.4"],
    observe(compat) {
      const h = new ChipHarness({ compat });
      h.resample(PIN);
      h.entry(PIN, 0x18077);
      h.pin(PIN, 1, 1);
      h.entry(PIN, 0x8077);
      return [h.vm.resampled.get(PIN), h.irrOf()];
    },
    before: [0, [0x77]],
    after: [1, []],
  },
  pollHasBit7: {
    kernels: ["linux-6.4", "linux-6.5"],
    observe(compat) {
      const h = new ChipHarness({ compat }).initialisePics();
      h.line(4, 1);
      h.out(0x20, 0x0c);
      return h.in(0x20);
    },
    before: 0x04,
    after: 0x84,
  },
  mergesPirForRoutes: { kernels: ["linux-6.10", "linux-6.11"], observe: postedInSplitMode, before: false, after: true },
  refusesReservedIcrBits: {
    kernels: ["linux-6.10", "linux-6.11"],
    observe: (compat) => new LapicHarness({ compat, x2apic: true }).x2apic().wrmsr(0, 0x830, 0x2041),
    before: "ok",
    after: "#GP",
  },
  keepsX2apicId: { kernels: ["linux-6.10", "linux-6.11"], observe: restoredId, before: ["33", "30008"], after: ["5", "20"] },
  rescansStaleRouting: { kernels: ["linux-6.14", "linux-6.15"], observe: staleRescans, before: 0, after: 1 },
  wakesOnlyWhenRaised: {
    kernels: ["linux-6.14", "linux-6.15"],
    observe(compat) {
      const h = new ChipHarness({ compat }).initialisePics();
      const { events } = h.vm.vcpus[0];
      h.line(4, 0);
      return h.vm.vcpus[0].events - events;
    },
    before: 1,
    after: 0,
  },
  hasEoiBroadcastFlags: {
    kernels: ["linux-6.17", "linux-6.18"],
    observe: (compat) => [...enabled(compat, K.KVM_CAP_X2APIC_API, 8), new LapicHarness({ compat }).set.enableX2apicApi(8)],
    before: [3, -22, -22],
    after: [0xb, 0, 0],
  },
  remoteIrrOnlyWhenAccepted: {
    kernels: ["linux-6.19", "linux-2026"],
    observe(compat) {
      const h = realApics(compat, false);
      h.entry(PIN, 0x8077, 5);
      return [h.pin(PIN, 1), h.rte(PIN).toString(16)];
    },
    before: [-1, "c077"],
    after: [-1, "8077"],
  },
  levelWriteClearsDelivered: {
    kernels: ["linux-6.19", "linux-2026"],
    observe(compat) {
      const h = new ChipHarness({ compat });
      h.entry(PIN, 0x76);
      h.pin(PIN, 1);
      h.entry(PIN, 0x18076);
      return kvm_ioapic_state.irr.get(h.ioapicState());
    },
    before: 0,
    after: 1 << PIN,
  },
};

describe("x86-irqchip.md 15, versions of Linux", () => {
  it.each(Object.entries(CHANGES))("%s: before and after", (_rule, { kernels, observe, before, after }) => {
    expect([observe(kernels[0]), observe(kernels[1])]).toEqual([before, after]);
  });

  it.each(Object.entries(CHIP_RULE_ROWS))("%s: the kernels around it are neighbours in the table", (rule, { since }) => {
    const { kernels } = CHANGES[rule as ChipRule];
    const others = Object.keys(CHIP_RULE_ROWS).filter((name) => CHIP_RULE_ROWS[name as ChipRule].since !== since) as ChipRule[];
    const [old, young] = kernels.map(chipRules);
    expect([old[rule as ChipRule], young[rule as ChipRule]]).toEqual([false, true]);
    expect(others.filter((name) => old[name] !== young[name])).toEqual([]);
  });

  it("the newest is 6.18, whose stable releases have the EOI broadcast flags; what 2026 brings else, it has not", () => {
    expect(chipRules("newest")).toBe(chipRules("linux-6.18"));
    expect(Object.entries(chipRules("newest")).filter(([, isOn]) => !isOn).map(([rule]) => rule)).toEqual(["remoteIrrOnlyWhenAccepted", "levelWriteClearsDelivered"]);
  });

  it("what names no kernel is refused by name", () => {
    expect(() => chipRules("linux-six" as X86Compat)).toThrow('"linux-six" names no kernel');
  });
});
