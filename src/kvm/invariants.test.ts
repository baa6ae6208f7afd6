import { describe, expect, it } from "vitest";
import { Random } from "../sim/random.js";
import { run, STRAIGHT } from "../sim/step.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC as IOAPIC } from "../uapi/x86.js";
import type { Irqfd } from "./irqfd.js";
import { type RouteSpec, KvmMachine } from "../explore/stages/kvm-machine.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";
import { ROUTE_NONE } from "./route.js";

const { KVM_IRQFD_FLAG_DEASSIGN: DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE: RESAMPLE } = K;
const GSIS = 4;
const EVENTFDS = 5;

/** What the rules of kvm-irq-core.md 2 and 3 say about a VM, beside the VM: random calls must leave both alike. */
class Model {
  readonly m = new KvmMachine({ arch: new LineChip() });
  readonly fd = this.m.createVm();
  readonly vm = this.m.vm(this.fd);
  readonly random: Random;
  readonly fds = Array.from({ length: EVENTFDS }, () => this.m.eventfd());
  readonly resamplefd = this.m.eventfd();
  /** By eventfd: the GSI it raises and whether it resamples. */
  readonly attached = new Map<number, { gsi: number; isResampling: boolean }>();
  /** GSIs whose source 1 was raised through their pin since it was last cleared. */
  private readonly raised = new Set<number>();
  private signals = 0;
  private routes: RouteSpec[] = [];

  constructor(seed: number) {
    this.random = new Random(seed);
    this.reroute();
  }

  private below(n: number): number {
    return this.random.below(n);
  }

  step(): void {
    const e = this.fds[this.below(EVENTFDS)];
    const gsi = this.below(GSIS);
    switch (this.below(6)) {
      case 0:
        return this.assign(e, gsi, this.below(2) === 1);
      case 1:
        return this.deassign(e, gsi);
      case 2:
      case 3:
        return this.write(e);
      case 4:
        return this.acknowledge(gsi);
      default:
        return this.reroute();
    }
  }

  private assign(e: number, gsi: number, isResampling: boolean): void {
    const result = this.m.irqfd(this.fd, e, gsi, isResampling ? RESAMPLE : 0, this.resamplefd);
    expect(result === 0).toBe(!this.attached.has(e));
    if (result === 0) this.attached.set(e, { gsi, isResampling });
    this.lowerIfAlone(gsi, isResampling);
  }

  private deassign(e: number, gsi: number): void {
    expect(this.m.irqfd(this.fd, e, gsi, DEASSIGN)).toBe(0);
    const mine = this.attached.get(e);
    if (mine?.gsi !== gsi) return;
    this.attached.delete(e);
    this.lowerIfAlone(gsi, mine.isResampling);
    // I8: nothing more is done in its name.
    this.m.trace.clear();
    this.m.write(e, 1);
    expect(this.m.trace.lines("kvm_set_irq", "irqfd_deactivate", "irqfd_free")).toEqual([]);
    expect(this.m.read(e)).toBe(1);
  }

  /** The last leaver, one that was refused included, lowers the line. */
  private lowerIfAlone(gsi: number, isResampling: boolean): void {
    if (isResampling && this.members(gsi) === 0) this.raised.delete(gsi);
  }

  private write(e: number): void {
    this.m.write(e, 1);
    const mine = this.attached.get(e);
    if (mine === undefined) this.m.read(e);
    else if (mine.isResampling && this.isRouted(mine.gsi)) this.raised.add(mine.gsi);
  }

  private acknowledge(gsi: number): void {
    run(this.vm.notifyAcked(IOAPIC, gsi));
    this.m.settle();
    if (!this.isRouted(gsi)) return;
    this.signals += this.members(gsi);
    if (this.members(gsi) > 0) this.raised.delete(gsi);
  }

  /** Each GSI keeps its pin, or has no route; lines that are up keep theirs, so that nothing is stuck (3.8). */
  private reroute(): void {
    this.routes = [];
    for (let gsi = 0; gsi < GSIS; gsi++)
      if (this.raised.has(gsi) || this.below(4) > 0) this.routes.push({ gsi, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [IOAPIC, gsi] });
    expect(this.m.route(this.fd, this.routes)).toBe(0);
  }

  private isRouted(gsi: number): boolean {
    return this.routes.some((route) => route.gsi === gsi);
  }

  private members(gsi: number): number {
    return [...this.attached.values()].filter((one) => one.gsi === gsi && one.isResampling).length;
  }

  check(): void {
    const { active, resamplers } = this.vm.irqfds;
    const irqfds = active.toArray();
    expect(irqfds.length).toBe(this.attached.size); // I1
    for (const irqfd of irqfds) this.checkRoute(irqfd);
    for (const e of this.fds) // I2
      expect(this.m.context(e).waiters.entries().filter((entry) => entry.isPriority).length).toBe(this.attached.has(e) ? 1 : 0);
    const gsis = resamplers.toArray().map((resampler) => resampler.gsi);
    expect(new Set(gsis).size).toBe(gsis.length); // I5
    for (const resampler of resamplers.toArray()) expect(resampler.members.toArray().length).toBe(this.members(resampler.gsi)); // I4
    const { arch } = this.vm;
    if (!(arch instanceof LineChipVm)) throw new Error("not the line chip");
    for (let gsi = 0; gsi < GSIS; gsi++) expect(arch.pin(IOAPIC, gsi) & 2).toBe(this.raised.has(gsi) ? 2 : 0); // I6
    expect(this.m.context(this.resamplefd).signals).toBe(this.signals); // I7
  }

  /** I11 */
  private checkRoute(irqfd: Irqfd): void {
    const route = this.vm.routing.singleRouteOf(irqfd.gsi);
    expect(irqfd.route.type).toBe(route?.type ?? ROUTE_NONE);
    if (route !== null) expect(irqfd.route.pin).toBe(route.pin);
  }
}

describe("the invariants of kvm-irq-core.md 10.1", () => {
  it("I1, I2, I4 to I8 and I11 hold after every one of random calls", () => {
    for (let seed = 1; seed <= 12; seed++) {
      const model = new Model(seed);
      for (let i = 0; i < 120; i++) {
        model.step();
        model.check();
      }
    }
  });

  it("I3: a freed irqfd, resampler or table reports any use", () => {
    const model = new Model(1);
    const { m, fd, vm } = model;
    const [e, r] = model.fds;
    m.irqfd(fd, e, 1, RESAMPLE, r);
    const [irqfd] = vm.irqfds.active.toArray();
    const [resampler] = vm.irqfds.resamplers.toArray();
    const table = vm.routing;
    m.irqfd(fd, e, 1, DEASSIGN);
    m.route(fd, []);
    expect(() => run(irqfd.notifyOwner())).toThrow("freed irqfd");
    expect(() => run(irqfd.inject.work())).toThrow("freed irqfd");
    expect(() => run(resampler.acked())).toThrow("freed resampler");
    expect(() => table.gsiOf(IOAPIC, 1)).toThrow("freed routing table");
  });

  it("I9: an acknowledge that deassigns an irqfd would wait for itself, and is reported (H33)", () => {
    const { m, fd, vm } = new Model(1);
    const section = run(vm.irqSrcu.readLock());
    expect(() => m.route(fd, [])).toThrow(STRAIGHT ? "waits for GracePeriod and nothing else can run" : "inside its own reader section");
    run(vm.irqSrcu.readUnlock(section));
  });
});
