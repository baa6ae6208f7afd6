import { SourceWord } from "../../irqchip/sources.js";
import { BLOCK_SHIFT, INDEX_MASK, MASKED } from "../../irqchip/xics/constants.js";
import type { XicsVcpu, XicsVm } from "../../irqchip/xics/contract.js";
import { readIcpWord, writeIcpWord, XicsDevice } from "../../irqchip/xics/device.js";
import { IcpState } from "../../irqchip/xics/icp.js";
import { writeSource } from "../../irqchip/xics/source-word.js";
import { inspectSource, inspectXics, type IcpInspection, type SourceInspection } from "../../irqchip/xics/inspection.js";
import { Xics } from "../../irqchip/xics/xics.js";
import { intOff, intOn, setXive } from "../../irqchip/xics/xive-entries.js";
import { shared, writes } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import { Mutex } from "../../sim/lock.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import type { Program } from "../trial.js";
import type { Thread } from "./threads.js";
import { XicsGuest } from "./xics-guest.js";

const SEEN = new IcpState();

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
  /** By server. */
  readonly guests: XicsGuest[] = [];

  constructor(hazards: Partial<Hazards>) {
    this.sim = new Sim({ cpus: 2, hazards });
    this.xics = new Xics(new StageVm(this.sim));
    this.device = new XicsDevice(this.xics, { *detach() {} });
    for (const vcpu of this.vcpus) {
      const icp = run(this.xics.connect(vcpu, vcpu.id));
      if (typeof icp !== "number") this.guests.push(new XicsGuest(this.xics, icp));
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
    yield* writeSource(this.xics, yield* this.xics.findOrCreateBlock(irq), irq, word);
  }

  *setXive(irq: number, server: number, priority: number): Step<void> {
    yield* setXive(this.xics, irq, server, priority);
  }

  *intOff(irq: number): Step<void> {
    yield* intOff(this.xics, irq);
  }

  *intOn(irq: number): Step<void> {
    yield* intOn(this.xics, irq);
  }

  /** KVM_REG_PPC_ICP_STATE of a server whose vCPU is not running. */
  *save(server: number): Step<SourceWord> {
    const word = new SourceWord();
    yield* readIcpWord(this.guests[server].icp, word);
    return word;
  }

  /** 0, or -EINVAL. */
  *restore(server: number, { hi, lo }: Readonly<Pick<SourceWord, "hi" | "lo">>): Step<number> {
    return yield* writeIcpWord(this.xics, this.guests[server].icp, lo, hi);
  }

  /** Its vCPU loses it, as at the release of the device. */
  *disconnect(server: number): Step<void> {
    yield* this.xics.disconnect(this.guests[server].icp);
  }

  // What is seen at the end.

  icp(server: number): IcpInspection {
    return inspectXics(this.xics).icps[server];
  }

  /** Also of one that is not connected any more. */
  icpOf(server: number): IcpState {
    const state = new IcpState();
    this.guests[server].icp.look(state);
    return state;
  }

  at(irq: number): SourceInspection | undefined {
    const block = this.xics.createdBlocks.find(({ id }) => id === irq >> BLOCK_SHIFT);
    return block === undefined ? undefined : inspectSource(block, irq & INDEX_MASK);
  }

  /** N1, N4: what holds of each server after every access. */
  private broken(): string | null {
    for (const { icp } of this.guests) {
      icp.look(SEEN);
      const { xisr, pendingPriority, cppr, out } = SEEN;
      if ((xisr === 0) !== (pendingPriority === MASKED)) return `N1: server ${icp.server} has source ${xisr} with priority ${pendingPriority}`;
      if (out !== (xisr !== 0 && pendingPriority < cppr)) return `N4: server ${icp.server} asks for an external interrupt that is not due, or does not`;
    }
    return null;
  }

  /** @param end what must hold when all are done */
  program(contexts: readonly Thread[], end: () => string | null): Program {
    return { sim: this.sim, contexts, check: () => this.broken(), end };
  }
}
