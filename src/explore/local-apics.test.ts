import { describe, expect, it } from "vitest";
import { LapicHarness } from "../irqchip/x86/lapic.fixture.js";
import type { Hazards } from "../sim/hazards.js";
import { FakePostedVcpu } from "../irqchip/x86/posted.fixture.js";
import { type NotificationPort, PostedHost, PostedInterrupts } from "../irqchip/x86/posted-interrupts.js";
import { type Waitable, writes } from "../sim/access.js";
import { Context, type ContextKind } from "../sim/context.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { explore } from "./explorer.js";
import type { Program } from "./trial.js";

const CLEAN = { verdict: "ok", exhausted: true };
const [FIRST, SECOND] = [0x41, 0x42];
const WAKEUP = 0xf1;

class Work extends Context {
  constructor(
    name: string,
    kind: ContextKind,
    private readonly work: () => Step<void>,
  ) {
    super(name, kind, 0);
  }
  override *body(): Step<void> {
    yield* this.work();
  }
}

/** A vCPU that can be woken, and waits for that. */
class Sleeper extends FakePostedVcpu implements Waitable {
  awake = false;
  isOpen(): boolean {
    return this.awake;
  }
  override *wakeUp(): Step<void> {
    yield writes(this, "awake");
    this.awake = true;
  }
}

/** One vCPU with posted interrupts; what its processor and its host do with notifications are contexts of their own. */
class Stage implements NotificationPort {
  readonly isX2apic = true;
  readonly h: LapicHarness;
  readonly host: PostedHost;
  readonly vcpu = new Sleeper(0);
  readonly posted: PostedInterrupts;
  readonly contexts: Context[] = [];
  private readonly hardware: Context;
  private readonly handler: Context;

  constructor(hazards: Partial<Hazards>) {
    this.h = new LapicHarness({ hazards }).enable();
    this.h.sim.traceTo(null);
    this.host = new PostedHost(this.h.sim, 2, this);
    this.posted = new PostedInterrupts(this.host, this.vcpu);
    run(this.h.at(0).accelerate(this.posted));
    run(this.posted.load(0));
    this.vcpu.inGuest = true;
    // Outside the guest 0xf2 means nothing.
    this.hardware = new Work("processor", "hardware", () => (this.vcpu.inGuest ? this.posted.sync(this.h.at(0)) : this.nothing()));
    this.handler = new Work("0xf1", "hardirq", () => this.host.wakeupHandler(0));
  }
  private *nothing(): Step<void> {}
  apicId(cpu: number): number {
    return cpu;
  }
  *send(_apicId: number, vector: number): Step<void> {
    this.h.sim.wake(vector === WAKEUP ? this.handler : this.hardware, 0);
  }
  device(vector: number): this {
    this.contexts.push(new Work(`device ${vector.toString(16)}`, "hardware", () => this.postByDevice(vector)));
    return this;
  }
  private *postByDevice(vector: number): Step<void> {
    const nv = yield* this.posted.descriptor.postByDevice(vector, false);
    if (nv >= 0) yield* this.send(0, nv);
  }
  software(vector: number): this {
    const lapic = this.h.at(0);
    this.contexts.push(
      new Work(`software ${vector.toString(16)}`, "user", function* () {
        yield* lapic.acceptIrq(0, vector, false, true, null);
      }),
    );
    return this;
  }
  program(end: () => string | null): Program {
    return { sim: this.h.sim, contexts: this.contexts, check: () => null, end };
  }
  missing(): string | null {
    const there = this.h.bits(0, 0x200);
    return there.includes(FIRST) && there.includes(SECOND) ? null : `only ${there.map((v) => v.toString(16)).join(", ")} in IRR`;
  }
}

/** X11: a device and software post to a vCPU in the guest. */
const postTwice = (hazards: Partial<Hazards> = {}): Program => {
  const stage = new Stage(hazards).device(FIRST).software(SECOND);
  return stage.program(() => stage.missing());
};

/** X12: a vCPU that was preempted comes back while a device posts; it syncs before it enters. */
const loadAgainstPost = (hazards: Partial<Hazards> = {}): Program => {
  const stage = new Stage(hazards).device(FIRST).device(SECOND);
  run(stage.posted.put("preempted"));
  stage.contexts.push(
    new Work("vcpu", "vcpu", function* () {
      yield* stage.posted.load(1);
      yield* stage.posted.sync(stage.h.at(0));
    }),
  );
  return stage.program(() => stage.missing());
};

/** X13: a vCPU looks and blocks while a device posts: it does not block, or is woken, and finds the vector. */
const blockAgainstPost = (hazards: Partial<Hazards> = {}): Program => {
  const stage = new Stage(hazards).device(FIRST);
  stage.vcpu.inGuest = false;
  stage.contexts.push(
    new Work("vcpu", "vcpu", function* () {
      const hasPending = yield* stage.posted.descriptor.hasPending();
      if (!hasPending) {
        yield* stage.posted.put("blocking");
        yield* stage.h.sim.wait(stage.vcpu);
        yield* stage.posted.load(1);
      }
      yield* stage.posted.sync(stage.h.at(0));
    }),
  );
  return stage.program(() => (stage.h.bits(0, 0x200).includes(FIRST) ? null : "X13: the vector is not seen"));
};

/** X15: two requests from outside while the vCPU takes a third. */
const requestAgainstTake = (hazards: Partial<Hazards> = {}): Program => {
  const h = new LapicHarness({ hazards }).enable();
  h.sim.traceTo(null);
  const lapic = h.at(0);
  run(lapic.setIrr(0x61));
  const request = (vector: number): Context =>
    new Work(`request ${vector.toString(16)}`, "user", function* () {
      yield* lapic.setIrr(vector);
    });
  const take = new Work("vcpu", "vcpu", () => lapic.take(0x61));
  return { sim: h.sim, contexts: [request(FIRST), request(SECOND), take], check: () => null, end: () => (run(lapic.highestRequest()) === SECOND ? null : "X15: a request is invisible") };
};

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("local APICs, explored", () => {
  const cases: [string, (hazards?: Partial<Hazards>) => Program, Partial<Hazards>][] = [
    ["X11: what is posted during a sync is seen, unless ON is cleared last", postTwice, { clearOnLate: true }],
    ["X12: what is posted during a load is seen, unless the load does not look", loadAgainstPost, { loadWithoutCheck: true }],
    ["X13: what is posted while a vCPU blocks wakes it, unless it does not look at ON", blockAgainstPost, { blockWithoutCheck: true }],
    ["X15: a request during a take is seen, unless the hint is cleared last", requestAgainstTake, { hintClearedLast: true }],
    ["X15: a request during a take is seen, unless the hint is set first", requestAgainstTake, { hintBeforeBit: true }],
  ];
  it.each(cases)("%s", (_name, program, hazards) => {
    expect(explore(() => program(hazards), { preemptions: 2 })).toMatchObject({ verdict: "violation" });
    expect(explore(() => program(), { preemptions: 2 })).toMatchObject(CLEAN);
  });
});
