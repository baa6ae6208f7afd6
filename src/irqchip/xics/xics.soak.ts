import { PaprMachine, RunError } from "../../conform/papr-machine.js";
import { Random } from "../../sim/random.js";
import { run } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOENT, ENXIO } from "../../uapi/errno.js";
import { KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR } from "../../uapi/kvm.js";
import { KVM_IRQCHIP_GET_SOURCES, KVM_IRQCHIP_SET_SOURCES, kvm_irq_sources } from "../../uapi/powerpc.js";
import { BLOCKS, H_EOI, H_IPI, H_IPOLL, H_PARAMETER, SOURCES_PER_BLOCK } from "./constants.js";
import { IcpState } from "./icp.js";

/** Calls of one machine; the next begins with nothing. */
const LIFE = 5_000;
const SERVERS = [0, 1, 0x8000_0000];
const HYPERCALLS = [0x64, 0x68, 0x6c, 0x70, 0x74, 0x2fc];
const TWO32 = 0x1_0000_0000;
/** Of three blocks and no block, below 16, and at and beyond the end of what there can be. */
const IRQS = [0, 1, 2, 15, 16, 0x21, 0x3ff, 0x400, 0x401, 0x7ff, 0x1001, 0x9000, 0xf_fffe, 0xf_ffff, 0x10_0000, 0xff_ffff, TWO32 - 1];
const RTAS: readonly { readonly name: string; readonly nargs: number; readonly nret: number }[] = [
  { name: "ibm,set-xive", nargs: 3, nret: 1 },
  { name: "ibm,get-xive", nargs: 1, nret: 3 },
  { name: "ibm,int-off", nargs: 1, nret: 1 },
  { name: "ibm,int-on", nargs: 1, nret: 1 },
];
const PARAMETER_ERROR = -3;
const BAD_POINTER = 0x10;
const MOST_FAULTS = 20;
const SEEN = new IcpState();

/** What {@link soakXics} found. */
export interface XicsSoak {
  readonly calls: number;
  /** Of them refused, by what they answered. */
  readonly refusals: ReadonlyMap<string, number>;
  readonly faults: readonly string[];
}

/** A hostile guest and a hostile VMM of one VM: what each call must answer is worked out here, from xics.md 5, 6, 9 and 12. */
class Hostile {
  readonly m = new PaprMachine({ servers: SERVERS });
  private readonly blocks = new Set<number>();
  /** Servers by source, of those that exist. */
  private readonly sources = new Map<number, number>();
  /** And of the slots that RTAS alone has changed. */
  private readonly slots = new Map<number, number>();

  constructor(
    private readonly random: Random,
    private readonly refusals: Map<string, number>,
    private readonly faults: string[],
  ) {
    run(this.m.start());
  }

  private pick<T>(of: readonly T[]): T {
    return of[this.random.below(of.length)];
  }

  private irq(): number {
    return this.random.below(8) === 0 ? this.random.next32() : this.pick(IRQS);
  }

  private server(): number {
    return this.random.below(4) === 0 ? this.pick([2, 7, TWO32 - 1, this.random.next32()]) : this.pick(SERVERS);
  }

  private value(): number {
    const { random } = this;
    return this.pick([random.below(256), this.pick([0, 4, 5, 0xff, 0x100, 0x1ff]), random.next32(), random.below(1 << 20) * TWO32 + random.next32(), this.irq()]);
  }

  /** Everything that a call could have changed. */
  private state(): readonly Int32Array[] {
    const { xics, cpus } = this.m;
    const parts: Int32Array[] = [];
    const rest: number[] = [];
    for (const { id, server, priority, savedPriority, pq, kind, resend, maskedPending } of xics.createdBlocks) {
      for (const array of [server, priority, savedPriority, pq, kind]) parts.push(new Int32Array(array.buffer.slice(0)));
      for (const marks of [resend, maskedPending]) for (let i = marks.next(0, SOURCES_PER_BLOCK); i < SOURCES_PER_BLOCK; i = marks.next(i + 1, SOURCES_PER_BLOCK)) rest.push(i);
      rest.push(-1 - id);
    }
    for (const { resendMap } of xics.connected) {
      for (let id = resendMap.next(0, BLOCKS); id < BLOCKS; id = resendMap.next(id + 1, BLOCKS)) rest.push(id);
    }
    for (const { vcpu } of cpus) {
      vcpu.icp?.look(SEEN);
      rest.push(vcpu.external ? 1 : 0, SEEN.xirr, SEEN.mfrr, SEEN.pendingPriority, SEEN.needResend ? 1 : 0);
    }
    return [...parts, Int32Array.from(rest)];
  }

  /** One call of one of the two. `mayChange`: a refusal that the specification lets leave something behind. */
  private asked(what: string, expected: number | string, call: () => number | string, mayChange = false): void {
    const isRefusal = typeof expected === "string" || expected < 0;
    const before = isRefusal && !mayChange ? this.state() : [];
    const answer = call();
    if (answer !== expected) this.fault(`${what} answers ${answer} instead of ${expected}`);
    if (!isRefusal) return;
    const name = `${what.split("(")[0].trim()} ${expected}`;
    this.refusals.set(name, (this.refusals.get(name) ?? 0) + 1);
    if (!mayChange && !areSame(before, this.state())) this.fault(`${what} answers ${answer} and changes something`);
  }

  private fault(sentence: string): void {
    if (this.faults.length < MOST_FAULTS) this.faults.push(sentence);
  }

  step(): void {
    const kind = this.random.below(10);
    if (kind < 3) this.hypercall();
    else if (kind < 5) this.rtas();
    else if (kind < 6) this.write();
    else if (kind < 7) this.range();
    else if (kind < 8) this.restore();
    else if (kind < 9) this.line();
    else this.attribute();
    for (const icp of this.m.xics.connected) {
      icp.look(SEEN);
      const { xisr, pendingPriority, cppr, out } = SEEN;
      if ((xisr === 0) !== (pendingPriority === 0xff)) this.fault(`N1 is broken of server ${icp.server}`);
      if (out !== (xisr !== 0 && pendingPriority < cppr)) this.fault(`N4 is broken of server ${icp.server}`);
    }
  }

  private knows(server: number): boolean {
    return SERVERS.includes(server % TWO32);
  }

  private hypercall(): void {
    const [cpu, number, r4, r5] = [this.random.below(SERVERS.length), this.pick(HYPERCALLS), this.value(), this.value()];
    const irq = (r4 % TWO32) & 0xff_ffff;
    const isMissing = number === H_EOI ? irq !== 2 && !this.blocks.has(irq >> 10) : (number === H_IPI || number === H_IPOLL) && !this.knows(r4);
    this.asked(`H_0x${number.toString(16)} (${r4}, ${r5})`, isMissing ? H_PARAMETER : 0, () => run(this.m.hypercall(cpu, number, [r4, r5])).status, number === H_EOI);
  }

  private rtas(): void {
    const { random } = this;
    const of = this.pick(RTAS);
    const isCounted = random.below(3) > 0;
    const [nargs, nret] = isCounted ? [of.nargs, of.nret] : [random.below(18), random.below(5)];
    const args = Array.from({ length: nargs }, (_, i) => (i === 0 ? this.irq() : i === 1 ? this.server() : this.value() % TWO32));
    const isDefined = random.below(8) > 0;
    const token = 0x2000 + RTAS.indexOf(of);
    const call = (): number | string => {
      try {
        const outputs = run(this.m.rtas(of.name, args, Math.max(nret, 1), isDefined ? token : random.next32() | 0x8000_0000));
        return outputs === null ? "user space" : outputs[0];
      } catch (error) {
        if (error instanceof RunError) return error.result ?? "nothing";
        throw error;
      }
    };
    const expected = nargs >= 16 ? -EINVAL : !isDefined ? "user space" : nargs !== of.nargs || Math.max(nret, 1) !== of.nret ? PARAMETER_ERROR : this.entryCall(of.name, args);
    this.asked(`${of.name} (${args.join()}), ${Math.max(nret, 1)} outputs`, expected, call);
  }

  /** 9.2 with the right counts. */
  private entryCall(name: string, [irq, server]: readonly number[]): number {
    if (!this.blocks.has(Math.floor(irq / 1024))) return PARAMETER_ERROR;
    if (name === "ibm,set-xive" && !this.knows(server)) return PARAMETER_ERROR;
    if (name === "ibm,int-on" && !this.knows(this.serverOf(irq))) return PARAMETER_ERROR;
    if (name === "ibm,set-xive") (this.sources.has(irq) ? this.sources : this.slots).set(irq, server);
    return 0;
  }

  private serverOf(irq: number): number {
    return this.sources.get(irq) ?? this.slots.get(irq) ?? 0;
  }

  /** 5.3: what a word must answer; the block comes into being on the way. */
  private written(irq: number, hi: number, lo: number): number {
    if (irq < 16 || irq > 0xf_ffff) return -ENOENT;
    this.blocks.add(irq >> 10);
    if ((hi & 0xff) !== 0xff && !this.knows(lo)) return -EINVAL;
    this.sources.set(irq, lo);
    return 0;
  }

  private write(): void {
    const [irq, hi, lo] = [this.irq(), this.random.next32() | (this.random.below(4) === 0 ? 0xff : 0), this.server()];
    const isNew = !this.blocks.has(Math.floor(irq / 1024));
    if (this.random.below(8) === 0) {
      const expected = irq < 16 || irq > 0xf_ffff ? -ENOENT : -EFAULT;
      if (expected === -EFAULT) this.blocks.add(irq >> 10);
      this.asked(`SET(${irq}) from nowhere`, expected, () => run(this.m.setSource(irq, hi, lo, BAD_POINTER)), isNew);
      return;
    }
    const expected = this.written(irq, hi, lo);
    this.asked(`SET(${irq}) ${hi} ${lo}`, expected, () => run(this.m.setSource(irq, hi, lo)), isNew);
    const word = run(this.m.getSource(irq));
    if (expected === 0 && typeof word === "string" && (Number.parseInt(word.slice(2, 10), 16) & ~0x1fff) !== 0) this.fault(`bits 63:45 of ${irq} read as ${word}`);
  }

  /** 4.2, 4.3 */
  private range(): void {
    const { random, m } = this;
    const [irq, count, isSet] = [this.irq(), random.below(3) === 0 ? random.next32() : random.below(70), random.below(2) === 0];
    const [hi, lo] = [random.next32(), this.server()];
    const isOutside = irq < 16 || irq + count - 1 > 0xf_ffff;
    let expected = count === 0 ? 0 : count > 64 ? -EINVAL : isOutside ? -ENOENT : 0;
    let leavesSome = false;
    for (let i = 0; expected === 0 && i < count; i++) {
      expected = isSet ? this.written(irq + i, hi, lo) : this.sources.has(irq + i) ? 0 : -ENOENT;
      leavesSome ||= isSet;
    }
    const fill = (view: DataView): void => {
      kvm_irq_sources.irq.set(view, irq);
      kvm_irq_sources.nr_irqs.set(view, count);
      for (let i = 0; i < Math.min(count, 64); i++) {
        view.setUint32(8 + 8 * i, lo, true);
        view.setUint32(12 + 8 * i, hi, true);
      }
    };
    this.asked(`${isSet ? "SET" : "GET"}_SOURCES(${irq}, ${count})`, expected, () => run(m.ioctlOn(m.vmFd, isSet ? KVM_IRQCHIP_SET_SOURCES : KVM_IRQCHIP_GET_SOURCES, kvm_irq_sources, fill)), leavesSome);
  }

  /** 12.2 */
  private restore(): void {
    const { random } = this;
    const byte = (): number => (random.below(2) === 0 ? this.pick([0, 4, 5, 0xff]) : random.below(256));
    const [cppr, mfrr, pending] = [byte(), byte(), byte()];
    const xisr = this.pick([0, 2, this.irq() & 0xff_ffff]);
    const isConsistent = xisr === 0 ? pending === 0xff : xisr === 2 ? pending === mfrr && pending < cppr : pending < mfrr && pending < cppr && this.blocks.has(xisr >> 10);
    const cpu = random.below(SERVERS.length);
    this.asked(`ICP(${cppr}, ${xisr}, ${mfrr}, ${pending})`, isConsistent ? 0 : -EINVAL, () => run(this.m.setIcp(cpu, ((cppr << 24) | xisr) >>> 0, ((mfrr << 24) | (pending << 16) | random.below(0x1_0000)) >>> 0)));
  }

  /** 5.6 */
  private line(): void {
    const irq = this.irq();
    this.asked(`LINE(${irq})`, this.sources.has(irq) ? 0 : -EINVAL, () => run(this.m.line(irq, this.pick([0, 1, this.random.next32(), TWO32 - 1, TWO32 - 2, TWO32 - 3]))) | 0);
  }

  /** 5.4: a read looks at the low half of the number alone. */
  private attribute(): void {
    const { random, m } = this;
    const [group, number] = [this.pick([0, 1, 2, 3, random.next32()]), this.irq() + (random.below(4) === 0 ? TWO32 * (1 + random.below(1 << 20)) : 0)];
    const request = this.pick([KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR]);
    if (group === 1 && request === KVM_SET_DEVICE_ATTR) return;
    const isThere = this.sources.has(number % TWO32) ? 0 : -ENOENT;
    const isNumber = number >= 16 && number <= 0xf_ffff ? 0 : -ENXIO;
    const expected = group !== 1 ? -ENXIO : request === KVM_GET_DEVICE_ATTR ? isThere : isNumber;
    this.asked(`ATTR(${group}, ${number})`, expected, () => run(m.attr(request, group, number, 0x10_f000)));
  }
}

function areSame(one: readonly Int32Array[], other: readonly Int32Array[]): boolean {
  return one.length === other.length && one.every((part, i) => part.length === other[i].length && part.every((value, k) => value === other[i][k]));
}

/** Makes random calls of a guest and of user space, as many as asked; same seed, same calls. A throw is a fault. */
export function soakXics(calls: number, seed: number, progress: (done: number) => void = () => {}): XicsSoak {
  const random = new Random(seed);
  const refusals = new Map<string, number>();
  const faults: string[] = [];
  let done = 0;
  while (done < calls && faults.length < MOST_FAULTS) {
    const one = new Hostile(random, refusals, faults);
    try {
      for (let i = 0; i < LIFE && done < calls; i++, done++) one.step();
    } catch (error) {
      faults.push(error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error));
      done++;
    }
    progress(done);
  }
  return { calls: done, refusals, faults };
}
