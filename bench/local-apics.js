// Local APICs by themselves: messages, posted interrupts, and how delivery grows with the number of targets.
const VECTOR = 0x41;
const from = (name) => import(new URL(`../dist/straight/irqchip/x86/${name}.js`, import.meta.url).href);
const { LapicHarness } = await from("lapic.fixture");
const { FakePort, post } = await from("posted.fixture");

/** Enabled local APICs that nobody traces. */
function apics(options) {
  const h = new LapicHarness(options);
  h.sim.traceTo(null);
  if (options.x2apic) h.x2apic();
  return h.enable();
}

const end = (lapic) => {
  lapic.take(lapic.nextInterrupt());
  lapic.eoi();
};

/** A message to one vCPU, its take and EOI. */
export function messageCycle() {
  const { set } = apics({ cpus: 4 });
  const lapic = set.lapics[0];
  return () => {
    set.signalMsi(0, 0xfee00000 | 0, VECTOR);
    end(lapic);
  };
}

/** A device posts past KVM; the vCPU syncs, takes and ends. */
export function postedCycle() {
  const h = apics({ cpus: 4 });
  const { descriptor } = post(h, new FakePort()).all[0].posted;
  const lapic = h.at(0);
  return () => {
    descriptor.postByDevice(VECTOR, false);
    end(lapic);
  };
}

/** A message to two APICs by their logical ids, and to all of them, among `cpus`. */
export function multicast(cpus, x2apic) {
  const h = apics({ cpus, x2apic });
  if (!x2apic) for (const cpu of [0, 1]) h.write(cpu, 0xd0, 1 << (24 + cpu));
  const { set } = h;
  return { two: () => set.signalMsi(0, 0xfee03004 | 0, VECTOR), all: () => set.signalMsi(0, 0xfeeff000 | 0, VECTOR) };
}
