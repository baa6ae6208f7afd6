// The XICS by itself: what arrives by irqfd and ends by H_EOI, IPIs, and all sources there can be.
const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const { PaprMachine } = await from("conform/papr-machine");
const { virtualHypercall } = await from("irqchip/xics/hypercalls");
const { XicsDevice } = await from("irqchip/xics/device");
const { setSources, getSources } = await from("irqchip/sources");

const H_EOI = 0x64;
const H_CPPR = 0x68;
const H_IPI = 0x6c;
const H_XIRR = 0x74;
const LEVEL = 0x100;
const FIRST = 16;
const LAST = 0xfffff;
export const SOURCES = LAST - FIRST + 1;
const PER_CALL = 64;
const HIGHEST_OF_BATCH = 0x1001;

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
export function messageCycle(servers = 1) {
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
export function levelCycle() {
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
export function ipiCycle() {
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

/** All sources there can be: milliseconds (of `now`) to set and to get them all, bytes that one takes. */
export function everySource(now) {
  const record = new DataView(new ArrayBuffer(520));
  const each = (call, chip) => {
    for (let irq = FIRST; irq <= LAST; irq += PER_CALL) {
      const count = Math.min(PER_CALL, LAST + 1 - irq);
      record.setUint32(0, irq, true);
      record.setUint32(4, count, true);
      expected("sources", call(chip, record), 0);
    }
  };
  const words = (hi) => {
    for (let i = 0; i < PER_CALL; i++) {
      record.setUint32(8 + 8 * i, 0, true);
      record.setUint32(12 + 8 * i, hi, true);
    }
  };
  const timed = (call, chip) => {
    const begin = now();
    each(call, chip);
    return now() - begin;
  };
  const sets = [];
  const gets = [];
  let bytes = 0;
  for (let run = 0; run < 5; run++) {
    const { m, xics } = machine(1);
    const chip = new XicsDevice(xics, { detach() {} });
    words(5);
    globalThis.gc?.();
    const before = process.memoryUsage();
    sets.push(timed(setSources, chip));
    globalThis.gc?.();
    const after = process.memoryUsage();
    // What an earlier run left is given back at some later time, and would count against this one.
    if (run === 0) bytes = (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / SOURCES;
    gets.push(timed(getSources, chip));
    expected("a word", m.getSource(HIGHEST_OF_BATCH), "0x0000000500000000");
  }
  const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
  return { set: median(sets), get: median(gets), bytes };
}

/** A lowered priority with one source waiting in one block, all others existing. */
export function scanCycle() {
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
