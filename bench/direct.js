// Direct injection (GICv4) of a device's message into a resident vPE, from the write to GITS_TRANSLATER to the guest's EOI:
// ITS tables in host memory, pending and configuration tables, virtual CPU interface. Every cycle looks that its vLPI came.
import { path, perCall, WHOLE_GUEST } from "./measure.js";

const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const [{ Sim }, { run }, { DirectMachine }, { ItsHost }, { ItsVm, ItsVpe, vlpiProperties }, { allocateVcpuIrqs }, { VlpiCommand }, { schedule }, { irqActivate }, { moveIrq }, { Thread }] = await Promise.all(
  ["sim/sim", "sim/step", "explore/stages/direct-machine", "host/its/its-host", "host/its/its-vm", "host/its/vpes", "host/its/vlpis", "host/its/residency", "host/irq/state", "host/irq/affinity", "explore/stages/threads"].map(from),
);

/** The function's device id. */
const DEVICE = 0x100;
const FIRST_LPI = 8192;
const ENABLE = 1;
const GROUP1_OPEN = 0xf0000002 | 0;

/** A function of the host; where its vectors' messages go. */
class Card {
  name = "vf";
  messages = [];
  constructor(deviceId, maxVectors) {
    this.deviceId = deviceId;
    this.maxVectors = maxVectors;
  }
  writeMessage(index, address, data) {
    this.messages[index] = { address, data };
  }
  setMasked() {}
}

/**
 * A VM of one vPE per CPU, each resident on its own, and `events` vLPIs, `perDevice` of each device, for the vPEs in turn.
 *
 * @returns the cycle: one message of each event in turn, taken and ended
 */
function directCycle({ cpus = 1, events = 1, perDevice = events } = {}) {
  const its = ItsHost.create(new Sim({ cpus: cpus + 1 }), cpus, { hw: "v4.0" });
  const { driver, gic, host, msi } = its;
  const vm = new ItsVm(host.sim, driver.nodes.length);
  vm.vpes = Array.from({ length: cpus }, () => new ItsVpe(host.sim));
  if (allocateVcpuIrqs(driver, vm) !== 0) throw new Error("no vPEs");
  const messages = [];
  for (let n = 0; n < events; n++) {
    const index = n % perDevice;
    if (index === 0) messages.card = new Card(DEVICE + n / perDevice, perDevice);
    const irq = msi.alloc(messages.card, index, 1, []);
    const desc = host.desc(irq);
    desc.lock.lock();
    irqActivate(desc);
    desc.lock.unlock();
    const map = { vm, vpe: vm.vpes[n % cpus], vintid: FIRST_LPI + n, properties: vlpiProperties(0xa0, true), isDoorbellOn: true };
    if (host.setIrqVcpuAffinity(irq, new VlpiCommand("map", map)) !== 0) throw new Error("the event was not forwarded");
    messages.push({ deviceId: messages.card.deviceId, ...messages.card.messages[index] });
  }
  const enter = (vpe) => {
    if (moveIrq(host.irqs, vpe.irq, vm.vpes.indexOf(vpe)) !== 0) throw new Error("VMOVP");
    schedule(driver, vpe, true, true);
  };
  const interfaces = vm.vpes.map((vpe, cpu) => {
    host.sim.wake(new Thread(`vCPU ${cpu}`, "vcpu", () => enter(vpe), cpu), 0);
    host.sim.settle();
    const vif = gic.ich(cpu);
    vif.hcr = ENABLE;
    vif.vmcr = GROUP1_OPEN;
    return vif;
  });
  let next = 0;
  return () => {
    const vif = interfaces[next % cpus];
    const { deviceId, address, data } = messages[next];
    msi.write(deviceId, 0, address, data);
    const intid = vif.acknowledge(1);
    if (intid !== FIRST_LPI + next) throw new Error(`${intid} came in the place of ${FIRST_LPI + next}`);
    vif.endOfInterrupt(1, intid);
    next = next + 1 === messages.length ? 0 : next + 1;
  };
}

/** A machine whose guest spins beside its resident vPE: the message interrupts it, and its program takes and ends the vLPI. */
function guestCycle() {
  const m = new DirectMachine({ trace: false });
  m.sim.traceTo(null);
  m.boot();
  m.direct(7);
  const [{ address, data }] = m.card.messages;
  const cycle = () => {
    run(m.itsHost.msi.write(DEVICE, 0, address, data));
    m.settle();
  };
  const before = m.guest.acknowledged;
  for (let i = 0; i < 3; i++) cycle();
  if (m.guest.acknowledged !== before + 3) throw new Error(`${m.guest.acknowledged - before} of 3 messages were taken`);
  return cycle;
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  direct: (note) => path(note, "message injected directly into a resident vPE, to the EOI", directCycle(), { budget: 120, remark: "the virtual CPU interface's acknowledge and end; no guest program" }),
  guest: (note) => path(note, "  to the guest's EOI", guestCycle(), { remark: WHOLE_GUEST }),
  many(note) {
    const cycle = directCycle({ cpus: 256, events: 222 * 256, perDevice: 256 });
    note("  to 256 vPEs, each in turn, of 56,832 events in turn, 256 on each of 222 devices", perCall(cycle), "ns", { remark: "every LPI but those of the doorbells" });
  },
};
