// The XICS by itself: what arrives by irqfd and ends by H_EOI, IPIs, and all sources there can be.
import { median, milliseconds, path, perCall, tenth } from "./measure.js";

const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const { PaprMachine } = await from("conform/papr-machine");
const { virtualHypercall } = await from("irqchip/xics/hypercalls");
const uapi = await from("uapi/powerpc");

const H_EOI = 0x64;
const H_CPPR = 0x68;
const H_IPI = 0x6c;
const H_XIRR = 0x74;
const LEVEL = 0x100;
const FIRST = 16;
const LAST = 0xfffff;
const SOURCES = LAST - FIRST + 1;
const PER_CALL = 64;
/** The type of KVM_CREATE_IRQCHIP_ARGS. */
const XICS = 1;

/** A VM of `servers` vCPUs, all of which admit everything; hypercalls of a vCPU as its exit handler makes them. */
function machine(servers) {
  const m = new PaprMachine({ servers: Array.from({ length: servers }, (_, id) => id) });
  m.start();
  const { xics } = m;
  const hypercall = ({ icp, regs }, number, r4, r5) => {
    regs.lo[4] = r4;
    regs.hi[4] = 0;
    regs.lo[5] = r5;
    regs.hi[5] = 0;
    virtualHypercall(xics, icp, number, regs);
    return regs.lo[4];
  };
  for (const { vcpu } of m.cpus) hypercall(vcpu, H_CPPR, 0xff, 0);
  return { m, xics, hypercall };
}

const contextOf = (m, fd) => m.process.file(fd).context;

function expected(what, found, wanted) {
  if (found !== wanted) throw new Error(`${what}: ${found}, not ${wanted}`);
}

/** A message by irqfd, its H_XIRR and H_EOI, at each of the servers in turn. */
function messageCycle(servers = 1) {
  const { m, hypercall } = machine(servers);
  const events = m.cpus.map((_, server) => {
    m.setSource(0x1000 + server, 5, server);
    const fd = m.eventfd();
    expected("KVM_IRQFD", m.irqfd(fd, 0x1000 + server), 0);
    return contextOf(m, fd);
  });
  let next = 0;
  return () => {
    const { vcpu } = m.cpus[next];
    events[next].signal();
    const xirr = hypercall(vcpu, H_XIRR, 0, 0);
    if ((xirr & 0xffffff) !== 0x1000 + next) throw new Error(`no interrupt: ${xirr}`);
    hypercall(vcpu, H_EOI, xirr, 0);
    next = next + 1 === servers ? 0 : next + 1;
  };
}

/** A level by a resampling irqfd: two presentations and two resample signals, as the kernel has it (xics.md 13.2). */
function levelCycle() {
  const { m, hypercall } = machine(1);
  m.setSource(0x1010, 5 | LEVEL, 0);
  const [trigger, resample] = [m.eventfd(), m.eventfd()];
  expected("KVM_IRQFD", m.irqfd(trigger, 0x1010, 2, resample), 0);
  const event = contextOf(m, trigger);
  const { vcpu } = m.cpus[0];
  return () => {
    event.signal();
    for (let i = 0; i < 2; i++) {
      const xirr = hypercall(vcpu, H_XIRR, 0, 0);
      if ((xirr & 0xffffff) !== 0x1010) throw new Error(`no interrupt: ${xirr}`);
      hypercall(vcpu, H_EOI, xirr, 0);
    }
  };
}

/** H_IPI to another vCPU; there H_XIRR, H_IPI(0xff) and H_EOI, as Linux does. */
function ipiCycle() {
  const { m, hypercall } = machine(2);
  const [from, to] = m.cpus.map(({ vcpu }) => vcpu);
  return () => {
    hypercall(from, H_IPI, 1, 4);
    const xirr = hypercall(to, H_XIRR, 0, 0);
    if ((xirr & 0xffffff) !== 2) throw new Error(`no IPI: ${xirr}`);
    hypercall(to, H_IPI, 1, 0xff);
    hypercall(to, H_EOI, xirr, 0);
  };
}

/** Where the process has the buffer of its requests. */
const BUFFER = 0x10_0000;

/** All sources there can be, by the requests of 2013: milliseconds of CPU time to set and to get them all, bytes that one takes. */
function everySource() {
  const sets = [];
  const gets = [];
  let bytes = 0;
  for (let run = 0; run < 5; run++) {
    const m = new PaprMachine({ servers: [0], hasXics: false });
    m.start();
    const { memory } = m.process;
    expected("KVM_CREATE_IRQCHIP_ARGS", m.ioctlOn(m.vmFd, uapi.KVM_CREATE_IRQCHIP_ARGS, uapi.kvm_irqchip_args, (view) => uapi.kvm_irqchip_args.type.set(view, XICS)), 0);
    const all = (request) =>
      milliseconds(() => {
        for (let irq = FIRST; irq <= LAST; irq += PER_CALL) {
          memory.setU32(BUFFER, irq);
          memory.setU32(BUFFER + 4, Math.min(PER_CALL, LAST + 1 - irq));
          if (m.process.ioctl(m.vmFd, request, BUFFER) !== 0) throw new Error(`sources from ${irq} on`);
        }
      });
    for (let i = 0; i < PER_CALL; i++) {
      memory.setU32(BUFFER + 8 + 8 * i, 0);
      memory.setU32(BUFFER + 12 + 8 * i, 5);
    }
    const before = used();
    sets.push(all(uapi.KVM_IRQCHIP_SET_SOURCES));
    // What an earlier run left is given back at some later time, and would count against this one.
    if (run === 0) bytes = (used() - before) / SOURCES;
    memory.setU32(BUFFER + 12, 0);
    gets.push(all(uapi.KVM_IRQCHIP_GET_SOURCES));
    expected("a word", memory.getU32(BUFFER + 12), 5);
  }
  return { set: median(sets), get: median(gets), bytes, first: { set: sets[0], get: gets[0] } };
}

function used() {
  globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** A lowered priority with one source waiting in one block, all others existing. */
function scanCycle() {
  const { m, xics, hypercall } = machine(1);
  for (let irq = 0x400; irq < 0x100000; irq += 0x400) m.setSource(irq, 0xff, 0);
  m.setSource(0x80001, 5, 0);
  const { vcpu } = m.cpus[0];
  return () => {
    hypercall(vcpu, H_CPPR, 0, 0);
    xics.input(0x80001, true);
    hypercall(vcpu, H_CPPR, 0xff, 0);
    const xirr = hypercall(vcpu, H_XIRR, 0, 0);
    if ((xirr & 0xffffff) !== 0x80001) throw new Error(`no interrupt: ${xirr}`);
    hypercall(vcpu, H_EOI, xirr, 0);
  };
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  message: (note) => path(note, "message by irqfd, to H_EOI, XICS", messageCycle(), { budget: 200 }),
  level: (note) => path(note, "level cycle with resample, two presentations, XICS", levelCycle(), { budget: 350 }),
  ipi: (note) => path(note, "IPI round, XICS", ipiCycle(), { budget: 150 }),
  servers(note) {
    const few = perCall(messageCycle(1));
    note("message by irqfd, 1 server", few, "ns");
    for (const servers of [256, 1024]) note(`message by irqfd, ${servers} servers in turn`, perCall(messageCycle(servers)), "ns", { budget: Math.round(1.5 * few) });
  },
  scan: (note) => note("scan of 1,023 blocks, one of them flagged, and its interrupt", perCall(scanCycle()), "ns"),
  sources(note) {
    const { set, get, bytes, first } = everySource();
    const remark = (ms) => `by the request; the first in a process ${Math.round(ms)} ms`;
    note(`SET_SOURCES of all ${SOURCES.toLocaleString("en")}`, Math.round(set), "ms", { budget: 120, remark: remark(first.set) });
    note(`GET_SOURCES of all ${SOURCES.toLocaleString("en")}`, Math.round(get), "ms", { budget: 80, remark: remark(first.get) });
    note("  of each source, memory", tenth(bytes), "B", { budget: 24 });
  },
};
