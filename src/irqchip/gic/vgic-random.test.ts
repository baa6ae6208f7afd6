import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EOI_COUNT_SHIFT, IchVmcr } from "../../arch/gic/gich.js";
import { Icc } from "../../arch/gic/icc.js";
import { run } from "../../sim/step.js";
import { VgicStage } from "../../explore/stages/vgic-stage.js";
import type { VgicCompat } from "./vgic-dist.js";
import { checkInvariants, everyIrq, isEligible } from "./vgic-invariants.fixture.js";
import { VgicConfig, type VgicIrq } from "./vgic-irq.js";
import * as state from "./vgic-state.js";

const SPURIOUS = 1023;
/** 40 to 47 are edge, 48 to 55 level. */
const FIRST_SPI = 40;
const SPIS = 16;
const FIRST_LEVEL = 48;
const SGIS = 4;
const PRIORITIES = [0x20, 0x60, 0xa0, 0xe0];

interface Setup {
  nrLr: number;
  vcpus: number;
  isSplit: boolean;
  compat: VgicCompat;
}

type Operation = readonly [kind: number, a: number, b: number];

/** A guest that ends what it takes in the right order, on every vCPU, and somebody who moves everything else. */
class World {
  readonly h: VgicStage;
  /** Taken and not ended, by vCPU, innermost last. */
  readonly taken: number[][];
  /** EOImode 1: priority dropped, not yet deactivated. */
  private readonly dropped: { intid: number; vcpu: number }[] = [];
  /** Raised and not taken since, by interrupt. */
  private readonly owed = new Set<VgicIrq>();
  private readonly excused = new Set<VgicIrq>();
  private seenOwed = 0;

  constructor(private readonly setup: Setup) {
    this.h = new VgicStage({ ids: [3, 1, 2].slice(0, setup.vcpus), nrLr: setup.nrLr, compat: setup.compat, nrIrqs: 64 });
    this.taken = this.h.vm.vcpus.map(() => []);
    for (let i = 0; i < SPIS; i++) {
      const irq = this.h.enable(FIRST_SPI + i, PRIORITIES[i & 3], FIRST_SPI + i < FIRST_LEVEL ? VgicConfig.EDGE : VgicConfig.LEVEL);
      run(state.writeRouter(this.h.dist, irq, this.h.cpu(i % setup.vcpus).affinity));
    }
    for (let vcpu = 0; vcpu < setup.vcpus; vcpu++) {
      for (let sgi = 0; sgi < SGIS; sgi++) run(state.writePriority(this.h.dist, this.h.irq(sgi, vcpu), PRIORITIES[sgi]));
      if (setup.isSplit) this.h.vmcr(IchVmcr.EOIM, 0, vcpu);
    }
  }

  apply([kind, a, b]: Operation): void {
    const vcpu = b % this.setup.vcpus;
    const irq = this.h.irq(FIRST_SPI + (a % SPIS));
    switch (kind) {
      case 0:
      case 1:
        this.raise(irq);
        break;
      case 2:
        if (irq.config === VgicConfig.LEVEL) this.lower(irq);
        break;
      case 3:
        this.h.trapped(vcpu, () => run((a & 16) === 0 ? state.clearEnabled(this.h.dist, irq) : state.setEnabled(this.h.dist, irq, false)));
        break;
      case 4:
        this.route(irq, b);
        break;
      case 5:
        this.sgi(vcpu, a);
        break;
      case 6:
      case 7:
      case 8:
        this.take(vcpu);
        break;
      case 9:
      case 10:
        this.end(vcpu);
        break;
      case 11:
        this.deactivate(a, vcpu);
        break;
      case 12:
        this.h.exit(vcpu);
        break;
      case 13:
        this.h.cycle(vcpu);
        break;
      case 14:
        this.pend(irq, vcpu, (a & 16) !== 0);
        break;
      default:
        this.switchDistributor(vcpu, (a & 3) !== 0);
    }
    this.check();
  }

  private raise(irq: VgicIrq): void {
    if (irq.config === VgicConfig.EDGE) this.owed.add(irq);
    else if (!irq.lineLevel) this.owed.add(irq);
    this.h.inject(irq.intid);
  }

  private lower(irq: VgicIrq): void {
    this.h.inject(irq.intid, false);
    this.owed.delete(irq);
  }

  private route(irq: VgicIrq, to: number): void {
    run(state.writeRouter(this.h.dist, irq, to % 4 === 3 ? 0x99 : this.h.cpu(to % this.setup.vcpus).affinity));
    if (irq.vcpu === null && isEligible(this.h, irq)) this.excused.add(irq);
  }

  private sgi(from: number, a: number): void {
    const to = a % this.setup.vcpus;
    const id = (a >> 2) % SGIS;
    this.owed.add(this.h.irq(id, to));
    const target = this.h.cpu(to).affinity;
    this.h.sysreg(Icc.SGI1R, (id << 24) | (1 << target), 0, from);
  }

  private take(vcpu: number): void {
    const before = this.h.rpr(vcpu);
    const intid = this.h.iar(vcpu);
    if (intid === SPURIOUS) return;
    if (this.h.rpr(vcpu) >= before) throw new Error(`I17: taking ${intid} does not raise the running priority ${before}`);
    this.taken[vcpu].push(intid);
    const irq = this.h.irq(intid, vcpu);
    if (this.owed.delete(irq)) this.seenOwed++;
  }

  private end(vcpu: number): void {
    const intid = this.taken[vcpu].pop();
    if (intid === undefined) return;
    this.h.enter(vcpu);
    const active = everyIrq(this.h).filter((irq) => irq.active && !irq.onLr);
    const counted = this.h.vif(vcpu).hcr >>> EOI_COUNT_SHIFT;
    this.h.eoi(intid, vcpu);
    if (this.setup.isSplit) this.dropped.push({ intid, vcpu });
    const ended = active.filter((irq) => !irq.active);
    if (ended.some((irq) => irq !== this.h.irq(intid, vcpu))) throw new Error(`I18: the end of ${intid} ended ${ended.map((irq) => irq.intid).join()}`);
    if (ended.length > counted + 1) throw new Error("I18: more ended than counted");
  }

  /** An SPI is deactivated from anywhere, a private interrupt where it was taken. */
  private deactivate(a: number, vcpu: number): void {
    const [one] = this.dropped.splice(a % Math.max(1, this.dropped.length), 1);
    if (one === undefined) return;
    const by = one.intid < 32 ? one.vcpu : vcpu;
    this.h.dir(one.intid, by);
    const irq = this.h.irq(one.intid, by);
    if (irq.active && !irq.onLr) throw new Error(`R50: ${one.intid} is active after its DIR`);
  }

  private pend(irq: VgicIrq, vcpu: number, isSet: boolean): void {
    if (isSet) {
      this.h.trapped(vcpu, () => run(state.setPending(this.h.dist, irq, false)));
      if (irq.config === VgicConfig.EDGE) this.owed.add(irq);
      return;
    }
    this.h.trapped(vcpu, () => run(state.clearPending(this.h.dist, irq, false)));
    if (!irq.isPending()) this.owed.delete(irq);
  }

  private switchDistributor(vcpu: number, isOn: boolean): void {
    this.h.trapped(vcpu, () => run(state.writeDistEnable(this.h.dist, isOn, false)));
    if (isOn) for (const irq of everyIrq(this.h)) if (irq.vcpu === null && isEligible(this.h, irq)) this.excused.add(irq);
  }

  private check(): void {
    for (const irq of this.excused) if (irq.vcpu !== null || !isEligible(this.h, irq)) this.excused.delete(irq);
    const faults = checkInvariants(this.h, this.excused);
    for (let vcpu = 0; vcpu < this.setup.vcpus; vcpu++) {
      const isIdle = this.h.rpr(vcpu) === 0xff;
      if (isIdle !== (this.taken[vcpu].length === 0)) faults.push(`I17: vCPU ${vcpu} has taken ${this.taken[vcpu].join()}, RPR ${this.h.rpr(vcpu)}`);
    }
    if (faults.length > 0) throw new Error(faults.join("; "));
  }

  /** Everything on and routed, everything ended, everything taken: nothing may be left, and nothing owed. */
  quiesce(): void {
    const { h } = this;
    run(state.writeDistEnable(h.dist, true, false));
    for (let i = 0; i < SPIS; i++) {
      const irq = h.irq(FIRST_SPI + i);
      run(state.writeRouter(h.dist, irq, h.cpu(i % this.setup.vcpus).affinity));
    }
    for (const irq of everyIrq(h)) if (irq.isSgi() || irq.isSpi()) run(state.setEnabled(h.dist, irq, false));
    for (let round = 0; round < 200 && !this.isQuiet(); round++) {
      for (let vcpu = 0; vcpu < this.setup.vcpus; vcpu++) {
        h.cycle(vcpu);
        while (this.taken[vcpu].length > 0) this.end(vcpu);
        while (this.dropped.length > 0) this.deactivate(0, vcpu);
        this.take(vcpu);
        const top = this.taken[vcpu].at(-1);
        if (top !== undefined && top >= FIRST_LEVEL) this.lower(h.irq(top));
      }
    }
    for (let vcpu = 0; vcpu < this.setup.vcpus; vcpu++) h.cycle(vcpu);
    for (let vcpu = 0; vcpu < this.setup.vcpus; vcpu++) h.exit(vcpu);
    this.excused.clear();
    this.check();
    expect([...this.owed].map((irq) => irq.intid)).toEqual([]);
    expect(everyIrq(h).filter((irq) => irq.active || irq.isPending() || irq.vcpu !== null)).toEqual([]);
  }

  private isQuiet(): boolean {
    return this.taken.every((one) => one.length === 0) && this.dropped.length === 0 && everyIrq(this.h).every((irq) => !irq.active && !irq.isPending() && !irq.onLr);
  }

  get deliveries(): number {
    return this.seenOwed;
  }
}

const operations = fc.array(fc.tuple(fc.nat(15), fc.nat(255), fc.nat(255)), { minLength: 20, maxLength: 80, size: "max" });

function property(setup: fc.Arbitrary<Setup>, seed: number, numRuns: number): number {
  let deliveries = 0;
  fc.assert(
    fc.property(setup, operations, (chosen, all) => {
      const world = new World(chosen);
      for (const operation of all) world.apply(operation);
      world.quiesce();
      deliveries += world.deliveries;
    }),
    { seed, numRuns },
  );
  return deliveries;
}

const sizes = { nrLr: fc.integer({ min: 1, max: 4 }), vcpus: fc.integer({ min: 1, max: 3 }), compat: fc.constant<VgicCompat>("newest") };

describe("any order of operations", () => {
  it("keeps the invariants and loses nothing, EOImode 0", () => {
    expect(property(fc.record({ ...sizes, isSplit: fc.constant(false) }), 41, 400)).toBeGreaterThan(1000);
  });

  it("keeps the invariants and loses nothing, EOImode 1 with DIR on any vCPU", () => {
    expect(property(fc.record({ ...sizes, isSplit: fc.constant(true) }), 42, 400)).toBeGreaterThan(1000);
  });

  it("keeps the invariants and loses nothing with the rules of Linux 6.1, no more active than list registers", () => {
    const setup = fc.record({ nrLr: fc.constant(4), vcpus: fc.constant(1), isSplit: fc.constant(false), compat: fc.constant<VgicCompat>("linux-6.1") });
    expect(property(setup, 43, 200)).toBeGreaterThan(500);
  });
});
