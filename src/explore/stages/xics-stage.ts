import { SourceWord } from "../../irqchip/sources.js";
import { H_CPPR, H_EOI, H_IPI, H_XIRR } from "../../irqchip/xics/constants.js";
import type { HypercallRegisters, XicsVcpu, XicsVm } from "../../irqchip/xics/contract.js";
import { XicsDevice } from "../../irqchip/xics/device.js";
import { virtualHypercall } from "../../irqchip/xics/hypercalls.js";
import type { Icp } from "../../irqchip/xics/icp.js";
import { inspectXics, type IcpInspection, type SourceInspection } from "../../irqchip/xics/inspection.js";
import { Xics } from "../../irqchip/xics/xics.js";
import { setXive } from "../../irqchip/xics/xive-entries.js";
import { shared, writes } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import { Mutex } from "../../sim/lock.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import type { Program } from "../trial.js";
import type { Thread } from "./threads.js";

const XISR = 0xff_ffff;
/** Interrupts that one guest takes in a row: more would be one without end. */
const MOST_TAKEN = 6;

class StageVcpu implements XicsVcpu {
  external = false;
  readonly isOnCore = true;

  constructor(readonly id: number) {}

  *raiseExternal(): Step<void> {
    yield writes(this, "external");
    this.external = true;
  }

  *lowerExternal(): Step<void> {
    yield writes(this, "external");
    this.external = false;
  }

  *kickExternal(): Step<void> {}
  showExternal(): void {}
}
shared(StageVcpu, "external");

class StageVm implements XicsVm {
  readonly lock: Mutex;
  readonly acks = this;

  constructor(readonly sim: Sim) {
    this.lock = new Mutex(sim, "kvm.lock");
  }

  timebase(): number {
    return 0;
  }
  *hasAckListeners(): Step<boolean> {
    return false;
  }
  *notifyAcked(): Step<void> {}
}

/** A XICS with two servers whose guests make hypercalls, and nothing around it. */
export class XicsStage {
  readonly sim: Sim;
  readonly xics: Xics;
  readonly device: XicsDevice;
  readonly vcpus = [new StageVcpu(0), new StageVcpu(1)];
  private readonly icps: Icp[] = [];
  private readonly registers: readonly HypercallRegisters[] = this.vcpus.map(() => ({ lo: new Int32Array(6), hi: new Int32Array(6) }));
  /** Sources that the guest of each server took, in order. */
  readonly taken: number[][] = [[], []];

  constructor(hazards: Partial<Hazards>) {
    this.sim = new Sim({ cpus: 2, hazards });
    this.xics = new Xics(new StageVm(this.sim));
    this.device = new XicsDevice(this.xics, { *detach() {} });
    for (const vcpu of this.vcpus) {
      const icp = run(this.xics.connect(vcpu, vcpu.id));
      if (typeof icp !== "number") this.icps.push(icp);
    }
  }

  // What contexts do.

  *line(irq: number, isHigh = true): Step<void> {
    yield* this.xics.input(irq, isHigh);
  }

  *source(irq: number, hi: number, server: number): Step<void> {
    const word = new SourceWord();
    word.hi = hi;
    word.lo = server;
    yield* this.device.setSource(irq, word);
  }

  *setXive(irq: number, server: number, priority: number): Step<void> {
    yield* setXive(this.xics, irq, server, priority);
  }

  private *call(server: number, number: number, r4: number, r5 = 0): Step<number> {
    const regs = this.registers[server];
    regs.lo[4] = r4;
    regs.lo[5] = r5;
    yield* virtualHypercall(this.xics, this.icps[server], number, regs);
    return regs.lo[4];
  }

  *cppr(server: number, value: number): Step<void> {
    yield* this.call(server, H_CPPR, value);
  }

  *ipi(from: number, to: number, mfrr: number): Step<void> {
    yield* this.call(from, H_IPI, to, mfrr);
  }

  *accept(server: number): Step<number> {
    const xirr = yield* this.call(server, H_XIRR, 0);
    if ((xirr & XISR) !== 0) this.taken[server].push(xirr & XISR);
    return xirr;
  }

  *eoi(server: number, xirr: number): Step<void> {
    yield* this.call(server, H_EOI, xirr);
  }

  /** The guest takes and ends until nothing is presented. */
  *drain(server: number): Step<void> {
    for (let i = 0; i < MOST_TAKEN; i++) {
      const xirr = yield* this.accept(server);
      if ((xirr & XISR) === 0) return;
      yield* this.eoi(server, xirr);
    }
  }

  // What is seen at the end.

  icp(server: number): IcpInspection {
    return inspectXics(this.xics).icps[server];
  }

  at(irq: number): SourceInspection | undefined {
    return inspectXics(this.xics, true).sources.find((each) => each.irq === irq);
  }

  /** @param end what must hold when all are done */
  program(contexts: readonly Thread[], end: () => string | null): Program {
    return { sim: this.sim, contexts, check: () => null, end };
  }
}
