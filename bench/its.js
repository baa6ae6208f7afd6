// Messages of a guest with an ITS: the whole way by an eventfd, and how the ITS bears every LPI that there is, 224 events on
// each of 256 devices.
import { milliseconds, path, perCall, tenth, WHOLE_GUEST } from "./measure.js";

const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const [{ GicV3 }, { GicHost }, { KvmModule }, { KvmNode }, { Arm64 }, { DeviceNodes }, { Vmm, GUEST }, { GuestSoftware }, lpis, { Sim }, { run }, { ArmMachine }, A, K, { BusKind }] = await Promise.all(
  ["host/gic/gicv3", "host/gic/gic-host", "kvm/arm64/module", "kvm/system", "kvm/arm64/arm64", "host/device-nodes", "vmm/vmm", "guest/software", "guest/lpi-setup", "sim/sim", "sim/step", "explore/stages/arm-machine", "uapi/arm", "uapi/kvm", "kvm/io-bus"].map(from),
);
const DEVICE = 8;
const GSI = 1000;

/** A VMM with a guest of one vCPU that spins; a signal of the eventfd runs until the guest has ended its LPI. */
function lpiCycle({ isCached }) {
  const sim = new Sim({ cpus: 4 });
  const gic = new GicV3({ cpus: 3, listRegisters: 4 });
  gic.boot();
  const host = new GicHost(sim, gic);
  const nodes = new DeviceNodes();
  const kvm = new KvmModule(host);
  run(kvm.start());
  nodes.register("/dev/kvm", new KvmNode(kvm, new Arm64({ cpus: 3, gicVersion: 3 })));
  const software = new GuestSoftware({
    gic: { version: 3, distributor: GUEST.distributor, redistributors: GUEST.redistributors },
    base: GUEST.ram,
    lpis: { its: GUEST.its, tables: GUEST.ram + 0x10_0000, deviceId: DEVICE, events: 1 },
    handlerNs: 0,
  });
  const vmm = run(Vmm.start(host, nodes, { mainCpu: 1, vcpuCpus: [2], vcpus: 1, interrupts: 64, hasIts: true, software }));
  const message = { address: lpis.doorbellOf(GUEST.its), data: 0, deviceId: DEVICE };
  run(vmm.routeMessages([{ line: GSI + 32, message }]));
  const fd = vmm.eventfd();
  if (run(vmm.vm.assignIrqfd(fd, GSI, -1)) < 0) throw new Error("KVM_IRQFD");
  vmm.run();
  run(sim.settle());
  const { context } = vmm.process.file(fd);
  const { dist } = vmm.threads[0].vcpu.vm.armIrqchip;
  const [{ cache }] = dist.itses;
  const { stats } = software.guest;
  const cycle = () => {
    if (!isCached) run(cache.invalidate());
    run(context.signal());
    run(sim.settle());
  };
  const before = stats.acknowledged;
  for (let i = 0; i < 3; i++) cycle();
  if (stats.acknowledged !== before + 3) throw new Error(`${stats.acknowledged - before} of 3 messages were taken`);
  return cycle;
}

const ITS = 0x0808_0000;
const RAM = 0x4000_0000;
const HVA = 0x1000_0000;
const SIZE = 0x800_0000;
const TABLES = { devices: 0, collections: 0x1_0000, queue: 0x2_0000, properties: 0x4_0000, pending: 0x10_0000, events: 0x400_0000 };
const FIRST_LPI = 8192;
const VALID = 0x8000_0000 | 0;
const QUEUE_BYTES = 0x1_0000;
const [MOVI, INT, CLEAR, MAPD, MAPC, MAPTI, INV, DISCARD] = [1, 3, 4, 8, 9, 10, 12, 15];

/** A VM with `devices` of `events` mapped events each, LPIs one after the other, `spread` over the vCPUs in turn or all on vCPU 0; its memory by slots. */
export function itsScene({ vcpus = 1, devices = 1, events = 1, spread = false }) {
  const m = new ArmMachine(3, {}, Math.max(2, vcpus));
  m.sim.traceTo(null);
  const fd = m.createVm();
  for (let id = 0; id < vcpus; id++) m.ioctl(fd, K.KVM_CREATE_VCPU, id);
  const gicFd = m.createDevice(fd, K.KVM_DEV_TYPE_ARM_VGIC_V3);
  const itsFd = m.createDevice(fd, K.KVM_DEV_TYPE_ARM_VGIC_ITS);
  const { process } = m;
  process.memory.map(HVA, SIZE);
  const slot = K.kvm_userspace_memory_region;
  m.ioctlOn(fd, K.KVM_SET_USER_MEMORY_REGION, slot, (view) => {
    slot.guest_phys_addr.setNumber(view, RAM);
    slot.memory_size.setNumber(view, SIZE);
    slot.userspace_addr.setNumber(view, HVA);
  });
  m.setAttr(itsFd, A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE, [ITS, 0]);
  if (m.setAttr(gicFd, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_CTRL_INIT) !== 0) throw new Error("CTRL_INIT");
  const vm = m.vm(fd);
  const { dist } = vm.armIrqchip;
  const store = (offset, size, low, high = 0) => run(vm.buses.guestWrite(BusKind.MMIO, vm.vcpus[0], ITS + offset, size, low, high));
  const redist = (cpu, offset, size, low) => run(dist.frames.redist(dist.cpus[cpu]).mmioWrite(vm.vcpus[cpu], offset, size, low, 0));
  redist(0, 0x70, 8, (RAM + TABLES.properties) | 0xf);
  for (let cpu = 0; cpu < vcpus; cpu++) {
    redist(cpu, 0x78, 8, RAM + TABLES.pending + 0x1_0000 * cpu);
    redist(cpu, 0, 4, 1);
  }
  for (let lpi = 0; lpi < devices * events; lpi++) process.memory.setU8(HVA + TABLES.properties + lpi, 0xa1);
  store(0x100, 8, RAM + TABLES.devices, VALID);
  store(0x108, 8, RAM + TABLES.collections, VALID);
  store(0x80, 8, (RAM + TABLES.queue) | (QUEUE_BYTES / 4096 - 1), VALID);
  store(0, 4, 1);
  let at = 0;
  /** Commands of six words, executed in as few writes of CWRITER as there is room for. */
  const commands = (all) => {
    let queued = 0;
    for (const words of all) {
      for (let i = 0; i < 6; i++) process.memory.setU32(HVA + TABLES.queue + at + 4 * i, (words[i] ?? 0) >>> 0);
      at = (at + 32) % QUEUE_BYTES;
      if (++queued < QUEUE_BYTES / 32 - 1) continue;
      store(0x88, 8, at);
      queued = 0;
    }
    store(0x88, 8, at);
  };
  commands(Array.from({ length: Math.max(2, vcpus) }, (_, icid) => [MAPC, 0, 0, 0, icid | ((icid % vcpus) << 16), VALID]));
  const collection = (lpi) => (spread ? lpi % vcpus : 0);
  for (let device = 0; device < devices; device++) commands([[MAPD, device, 7, 0, RAM + TABLES.events + 0x1000 * device, VALID]]);
  const mapAll = function* () {
    for (let device = 0; device < devices; device++) for (let event = 0; event < events; event++) yield [MAPTI, device, event, FIRST_LPI + device * events + event, collection(device * events + event)];
  };
  commands(mapAll());
  const control = (attr) => m.setAttr(itsFd, A.KVM_DEV_ARM_VGIC_GRP_CTRL, attr);
  return { m, fd, vm, dist, process, commands, store, control, savePending: () => m.setAttr(gicFd, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES), queue: HVA + TABLES.queue, devices, events };
}

/**
 * A message, from KVM's callback on, to the end of the LPI, of each event in turn, and so to each vCPU in turn: it enters its guest
 * and leaves it for it. Every vCPU has a physical CPU that it is loaded on.
 */
function messageCycle(size) {
  const { vm, dist, devices, events } = itsScene({ ...size, spread: true });
  const { armIrqchip } = vm;
  dist.enabled = true;
  const vcpus = dist.cpus.length;
  for (let cpu = 0; cpu < vcpus; cpu++) {
    run(armIrqchip.load(cpu, cpu));
    dist.cpus[cpu].vif.vmcr = (0xf8 << 24) | 2;
  }
  const message = { addressHi: 0, addressLo: ITS + 0x1_0040, data: 0, flags: 1, devid: 0 };
  let next = 0;
  return () => {
    // Events of one device are not neighbours: each interrupt is another one's.
    next = next + 1 === devices * events ? 0 : next + 1;
    const devid = next % devices;
    const event = (next / devices) | 0;
    const lpi = devid * events + event;
    message.devid = devid;
    message.data = event;
    if (run(armIrqchip.injectMsi(message)) !== 1) throw new Error("a message is not delivered");
    const cpu = lpi % vcpus;
    const { vif } = dist.cpus[cpu];
    run(armIrqchip.flush(cpu));
    const intid = run(vif.acknowledge(1));
    if (intid !== FIRST_LPI + lpi) throw new Error(`vCPU ${cpu} takes ${intid}, not ${FIRST_LPI + lpi}`);
    run(vif.endOfInterrupt(1, intid));
    run(armIrqchip.sync(cpu));
  };
}

/** INV, MOVI, INT, CLEAR, MOVI, DISCARD, MAPTI, INV, of each event in turn: half a queue of them for each call of `round`. */
function commandRounds() {
  const scene = itsScene({ vcpus: 512, devices: 256, events: 224, spread: true });
  const { process, store, queue } = scene;
  const each = QUEUE_BYTES / 32;
  const kinds = [INV, MOVI, INT, CLEAR, MOVI, DISCARD, MAPTI, INV];
  for (let i = 0; i < each; i++) {
    const group = i >> 3;
    const device = group % 256;
    const event = (group / 256) | 0;
    const words = [kinds[i & 7], device, event, FIRST_LPI + device * 224 + event, (i & 7) === 1 ? 1 : 0, 0, 0, 0];
    words.forEach((word, at) => process.memory.setU32(queue + 32 * i + 4 * at, word));
  }
  store(0x88, 8, 0);
  let at = 0;
  return {
    commands: each / 2,
    round: () => {
      at = at === 0 ? QUEUE_BYTES / 2 : 0;
      store(0x88, 8, at);
    },
  };
}

/** Saves and restores everything that can be mapped: milliseconds of CPU time of each, least of some runs. */
function saveAndRestore() {
  const { control, savePending, store, dist } = itsScene({ vcpus: 512, devices: 256, events: 224, spread: true });
  const least = { save: Infinity, restore: Infinity };
  const timed = (name, act) => {
    least[name] = Math.min(least[name], milliseconds(act));
  };
  const ok = (error) => {
    if (error !== 0) throw new Error(`a save or restore answers ${error}`);
  };
  for (let i = 0; i < 8; i++) {
    timed("save", () => {
      ok(savePending());
      ok(control(A.KVM_DEV_ARM_ITS_SAVE_TABLES));
    });
    ok(control(A.KVM_DEV_ARM_ITS_CTRL_RESET));
    store(0x100, 8, RAM + TABLES.devices, VALID);
    store(0x108, 8, RAM + TABLES.collections, VALID);
    timed("restore", () => ok(control(A.KVM_DEV_ARM_ITS_RESTORE_TABLES)));
    if (dist.itses[0].devices.size !== 256) throw new Error("not everything is restored");
  }
  return least;
}

/** Bytes for each mapped event and for each LPI, with all of them mapped and every translation remembered; counted, not guessed. */
function memoryOfAll() {
  const { vm, dist, devices, events } = itsScene({ devices: 256, events: 224 });
  dist.enabled = false;
  const message = { addressHi: 0, addressLo: ITS + 0x1_0040, data: 0, flags: 1, devid: 0 };
  for (let i = 0; i < devices * events; i++) {
    message.devid = (i / events) | 0;
    message.data = i % events;
    run(vm.armIrqchip.injectMsi(message));
  }
  const [its] = dist.itses;
  let entries = 0;
  for (const device of its.devices.values()) entries += device.bytes;
  const count = devices * events;
  return { perEvent: (entries + its.cache.bytes) / count, perLpi: dist.lpis.bytes / count };
}

/** What the process has more of, for each LPI, while all of them are pending. */
function memoryOfPending() {
  const scene = itsScene({ devices: 256, events: 224 });
  const { vm, dist, devices, events } = scene;
  dist.enabled = true;
  const used = () => {
    for (let i = 0; i < 2; i++) globalThis.gc();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  const message = { addressHi: 0, addressLo: ITS + 0x1_0040, data: 0, flags: 1, devid: 0 };
  for (let i = 0; i < devices * events; i++) {
    message.devid = (i / events) | 0;
    message.data = i % events;
    run(vm.armIrqchip.injectMsi(message));
  }
  const more = (used() - before) / (devices * events);
  scene.store(0, 4, 1); // the machine is there to the end
  return more;
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  lpi: (note) => path(note, "MSI to an LPI by irqfd, to the guest's EOI", lpiCycle({ isCached: true }), { remark: WHOLE_GUEST }),
  uncached: (note) => path(note, "  translation not remembered", lpiCycle({ isCached: false }), { remark: WHOLE_GUEST }),
  scaling(note) {
    const small = perCall(messageCycle({}));
    note("MSI to an LPI, message to EOI, 1 vCPU and 1 event", small, "ns");
    note("  512 vCPUs and 57,344 events, each vCPU and each event in turn", perCall(messageCycle({ vcpus: 512, devices: 256, events: 224 })), "ns", { budget: Math.round(1.5 * small) });
  },
  commands(note) {
    const { round, commands } = commandRounds();
    note("ITS commands, 57,344 events mapped for 512 vCPUs, of each", Math.round(perCall(round, 300) / commands), "ns", { budget: 500 });
  },
  tables(note) {
    const { save, restore } = saveAndRestore();
    note("ITS tables of 57,344 events and 512 pending tables, save", tenth(save), "ms", { budget: 60 });
    note("  restore", tenth(restore), "ms", { budget: 60 });
  },
  memory(note) {
    const { perEvent, perLpi } = memoryOfAll();
    note("memory for each mapped event, its translation remembered", tenth(perEvent), "B", { budget: 64 });
    note("  for each LPI at rest", tenth(perLpi), "B", { budget: 16 });
  },
  pending(note) {
    note("  more for each while all are pending", tenth(memoryOfPending()), "B", { remark: "its object, kept for the next; in a list of its vCPU's; its translation" });
  },
};
