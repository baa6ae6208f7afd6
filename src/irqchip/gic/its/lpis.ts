import { block, writes } from "../../../sim/access.js";
import { freeWhole, Lifetime, touchWhole } from "../../../sim/lifetime.js";
import type { Sim } from "../../../sim/sim.js";
import { type Step, STRAIGHT } from "../../../sim/step.js";
import type { VgicCpu } from "../vgic-cpu.js";
import { VGIC_MIN_LPI, VgicIrq } from "../vgic-irq.js";

const FIRST_CAPACITY = 1024;
/** INTIDs end at 65535: 16 bits of them. */
const MAX_LPIS = 0x10000 - VGIC_MIN_LPI;

const ENABLED = 1;
const LATCHED = 2;

/**
 * The LPIs of a VM, by INTID (gic-its.md B1, B6.5). One that nothing is happening to is 16 bytes of typed arrays; whoever
 * works with it holds a {@link VgicIrq} that stands for it while it is used or listed. References from mappings and caches
 * are counted here, those of users and lists in the object; without any the LPI is gone with its state, and a lookup never
 * finds it again (hazard R28).
 */
export class Lpis {
  private refs = new Int32Array(0);
  private target = new Int16Array(0);
  private priority = new Uint8Array(0);
  private flags = new Uint8Array(0);
  private live: (VgicIrq | null)[] = [];
  /** Objects to use again: in the stepped build a dead one stays dead. */
  private readonly spare: VgicIrq[] = [];
  private readonly state = { isEnabled: false, isLatched: false, priority: 0 };

  constructor(
    private readonly sim: Sim,
    private readonly cpus: readonly VgicCpu[],
  ) {}

  /** A reference to an LPI, null where there is none. {@link put} gives it back. */
  *get(intid: number): Step<VgicIrq | null> {
    yield writes(this, "table");
    const index = intid - VGIC_MIN_LPI;
    if (index < 0 || index >= this.refs.length) return null;
    const irq = this.live[index];
    if (irq !== null) {
      irq.pins++;
      return irq;
    }
    return this.refs[index] === 0 ? null : this.wake(index);
  }

  /** A mapping of an LPI, made if it was not there: true if it is new, with nothing but a target. {@link release} ends it. */
  *map(intid: number, target: VgicCpu | null): Step<boolean> {
    yield writes(this, "table");
    const index = intid - VGIC_MIN_LPI;
    if (index >= this.refs.length) this.grow(index);
    const isNew = this.refs[index]++ === 0 && this.live[index] === null;
    if (isNew) {
      this.target[index] = target === null ? -1 : target.index;
      this.priority[index] = 0;
      this.flags[index] = 0;
    }
    return isNew;
  }

  /** One more reference of a mapping or a cache to an LPI that has one. */
  *hold(intid: number): Step<void> {
    yield writes(this, "table");
    this.refs[intid - VGIC_MIN_LPI]++;
  }

  *release(intid: number): Step<void> {
    yield writes(this, "table");
    this.refs[intid - VGIC_MIN_LPI]--;
  }

  /** A list holds it from now on; the caller has a reference. */
  *pin(irq: VgicIrq): Step<void> {
    yield writes(this, "table");
    touchWhole(irq);
    irq.pins++;
  }

  /** Drops a reference of {@link get}. */
  *put(irq: VgicIrq): Step<void> {
    yield writes(this, "table");
    touchWhole(irq);
    if (irq.pins > 1) {
      irq.pins--;
      return;
    }
    yield* irq.lock.lock();
    yield* this.unpin(irq);
    yield* irq.lock.unlock();
  }

  /** {@link put}, its lock held: nothing may be asked of it afterwards. */
  *unpin(irq: VgicIrq): Step<void> {
    yield writes(this, "table");
    touchWhole(irq);
    if (--irq.pins > 0) return;
    const index = irq.intid - VGIC_MIN_LPI;
    this.live[index] = null;
    this.target[index] = irq.targetVcpu === null ? -1 : irq.targetVcpu.index;
    this.priority[index] = irq.priority;
    this.flags[index] = (irq.enabled ? ENABLED : 0) | (irq.pendingLatch ? LATCHED : 0);
    if (STRAIGHT) this.spare.push(irq);
    else freeWhole(irq);
  }

  /** The first LPI from `intid` on, -1 when there is none: a walk over all of them. */
  *next(intid: number): Step<number> {
    yield writes(this, "table");
    for (let index = intid - VGIC_MIN_LPI; index < this.refs.length; index++)
      if (this.refs[index] > 0 || this.live[index] !== null) return index + VGIC_MIN_LPI;
    return -1;
  }

  /** Bytes of what it keeps of every LPI, a reference to an object included. */
  get bytes(): number {
    return this.refs.byteLength + this.target.byteLength + this.priority.byteLength + this.flags.byteLength + 8 * this.live.length;
  }

  private wake(index: number): VgicIrq {
    const { state } = this;
    state.isEnabled = (this.flags[index] & ENABLED) !== 0;
    state.isLatched = (this.flags[index] & LATCHED) !== 0;
    state.priority = this.priority[index];
    const intid = index + VGIC_MIN_LPI;
    const target = this.target[index] < 0 ? null : this.cpus[this.target[index]];
    const spare = this.spare.pop();
    if (spare !== undefined) spare.become(intid, target, state);
    const irq = spare ?? new VgicIrq(this.sim, intid, target, 3, state);
    if (!STRAIGHT) new Lifetime("LPI", intid).spans(irq);
    this.live[index] = irq;
    return irq;
  }

  private grow(index: number): void {
    let capacity = Math.max(FIRST_CAPACITY, this.refs.length);
    while (capacity <= index) capacity *= 2;
    capacity = Math.min(capacity, MAX_LPIS);
    const { refs, target, priority, flags, live } = this;
    this.refs = new Int32Array(capacity);
    this.refs.set(refs);
    this.target = new Int16Array(capacity);
    this.target.set(target);
    this.priority = new Uint8Array(capacity);
    this.priority.set(priority);
    this.flags = new Uint8Array(capacity);
    this.flags.set(flags);
    this.live = live.concat(new Array<null>(capacity - live.length).fill(null));
  }
}
block(Lpis, "refs", "target", "priority", "flags", "live");
