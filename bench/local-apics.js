// Local APICs by themselves: messages, posted interrupts, and how delivery grows with the number of targets.
import { path, perCall, tenth } from "./measure.js";

const VECTOR = 0x41;
/** KVM_X2APIC_API_USE_32BIT_IDS */
const USE_32BIT_IDS = 1;
const EOI = 0xb0;
/** Where the posted-interrupt descriptor lies in host memory. */
const DESCRIPTOR = 0x1_2345_6780;
const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const { LapicHarness } = await from("irqchip/x86/lapic/lapic.fixture");
const { FakePort, post } = await from("irqchip/x86/posted.fixture");
const { encodeIrte, Irte } = await from("arch/x86/irte");
const { POSTED_INTR_VECTOR } = await from("arch/x86/posted-descriptor");

/** Enabled local APICs that nobody traces. */
function apics(options) {
  const h = new LapicHarness(options);
  h.sim.traceTo(null);
  if (options.x2apic) h.x2apic();
  return h.enable();
}

/** Nobody but the cycle looks. */
class Hardware {
  notified = 0;
  constructor(descriptor) {
    this.descriptor = descriptor;
  }
  descriptorAt(address) {
    return address === DESCRIPTOR ? this.descriptor : null;
  }
  coalesced() {}
  notify(_ndst, vector) {
    this.notified = vector;
  }
  remapped() {}
  fault() {}
}

/** A device's message meets a posted remapping entry: PIR, ON, notification; the vCPU syncs, takes and ends. */
function postedCycle() {
  const h = apics({ cpus: 4 });
  const { descriptor } = post(h, new FakePort()).all[0].posted;
  const lapic = h.at(0);
  const hardware = new Hardware(descriptor);
  const entry = new Irte();
  const source = { id: 0x0100, qualifier: 0, validation: 1 };
  entry.write(encodeIrte({ kind: "posted", vector: VECTOR, isUrgent: false, descriptor: DESCRIPTOR, isFaultDisabled: false, source }));
  return () => {
    hardware.notified = 0;
    entry.deliver(hardware);
    const vector = lapic.nextInterrupt();
    if (vector !== VECTOR || hardware.notified !== POSTED_INTR_VECTOR) throw new Error(`vector ${vector}, notification ${hardware.notified}`);
    lapic.take(vector);
    lapic.mmioWrite(EOI, 4, 0);
  };
}

/**
 * Among `cpus` local APICs: a message to the first `targets` of them by their logical ids, and a broadcast. xAPICs in the
 * flat model, at most 7 targets, as 8 are a broadcast; x2APICs in one cluster, at most 16.
 */
function multicast({ cpus, x2apic, targets }) {
  const h = apics({ cpus, x2apic });
  if (!x2apic) for (let cpu = 0; cpu < targets; cpu++) h.write(cpu, 0xd0, 1 << (24 + cpu));
  const { set } = h;
  const ids = (1 << targets) - 1;
  // An x2APIC's cluster goes in the high half of the address; cluster 0 is there without.
  const hi = x2apic ? ids & ~0xff : 0;
  if (x2apic) set.enableX2apicApi(USE_32BIT_IDS);
  const lo = (0xfee00004 | ((ids & 0xff) << 12)) | 0;
  const multicast = { some: () => set.signalMsi(hi, lo, VECTOR), all: () => set.signalMsi(0, 0xfeeff000 | 0, VECTOR) };
  if (multicast.some() !== targets || multicast.all() !== cpus) throw new Error(`not ${targets} and all of ${cpus} accepted`);
  return multicast;
}

/** Targets that stay as the machine grows, and that grow in a machine that stays: the cost goes with the targets alone. */
const MULTICASTS = [
  ...[2, 8, 64, 255].map((cpus) => ({ cpus, x2apic: false, targets: 2 })),
  ...[2, 64, 1024].map((cpus) => ({ cpus, x2apic: true, targets: 2 })),
  ...[1, 4, 7].map((targets) => ({ cpus: 255, x2apic: false, targets })),
  ...[1, 4, 16].map((targets) => ({ cpus: 1024, x2apic: true, targets })),
];
const BROADCASTS = [...[8, 64, 255].map((cpus) => ({ cpus, x2apic: false, targets: 1 })), { cpus: 1024, x2apic: true, targets: 1 }];

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  posted: (note) => path(note, "message posted by its remapping entry, to the EOI", postedCycle(), { budget: 100 }),
  multicast(note) {
    for (const scale of MULTICASTS) {
      const { cpus, x2apic, targets } = scale;
      const ns = perCall(multicast(scale).some);
      note(`message to ${targets} of ${cpus} ${x2apic ? "x2APICs" : "xAPICs"} by logical id`, ns, "ns", { remark: `${tenth(ns / targets)} ns each` });
    }
    for (const scale of BROADCASTS)
      note(`broadcast to ${scale.cpus} ${scale.x2apic ? "x2APICs" : "xAPICs"}, for each`, tenth(perCall(multicast(scale).all, 4000) / scale.cpus), "ns");
  },
};
