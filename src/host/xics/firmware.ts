import { guarded } from "../../sim/access.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { PhysicalXics } from "./physical-xics.js";

/** Status of a call (xics.md 1). */
export const RTAS_SUCCESS = 0;
export const RTAS_PARAMETER_ERROR = -3;

const MASKED = 0xff;

/** Sources in a row that firmware gives to functions as messages. */
export interface MessageSources {
  readonly first: number;
  readonly count: number;
}

interface SourceEntry {
  readonly server: number;
  readonly priority: number;
  /** What int-on brings back. */
  readonly saved: number;
}
const UNSET: SourceEntry = { server: 0, priority: MASKED, saved: MASKED };

/**
 * The firmware of a Power machine as far as its host needs it for interrupts: RTAS calls, one at a time. A source's entry
 * is the controller's; what int-on brings back is remembered here.
 */
export class InterruptFirmware {
  /** rtas.lock */
  readonly lock: Spinlock;
  private readonly entries = new Map<number, SourceEntry>();
  /** Which function each message source belongs to, by its place; -1: nobody's. */
  private readonly owners: Int32Array;

  /** @param messages the sources of ibm,change-msi; a count of 0 where the machine has none */
  constructor(
    sim: Sim,
    private readonly xics: PhysicalXics,
    private readonly messages: MessageSources,
  ) {
    this.lock = new Spinlock(sim, "rtas.lock");
    this.owners = new Int32Array(messages.count).fill(-1);
  }

  /** ibm,set-xive: where a source goes, and how urgently; priority 0xff masks it. */
  *setXive(irq: number, server: number, priority: number): Step<number> {
    yield* this.lock.lock();
    const result = yield* this.write(irq, server, priority, priority);
    yield* this.lock.unlock();
    return result;
  }

  /** ibm,get-xive, and ibm,set-xive with another server. */
  *move(irq: number, server: number): Step<number> {
    yield* this.lock.lock();
    const { priority, saved } = this.entryOf(irq);
    const result = yield* this.write(irq, server, priority, saved);
    yield* this.lock.unlock();
    return result;
  }

  /** ibm,int-off: masked, and its priority kept for {@link intOn}. */
  *intOff(irq: number): Step<number> {
    yield* this.lock.lock();
    const { server, priority } = this.entryOf(irq);
    const result = yield* this.write(irq, server, MASKED, priority);
    yield* this.lock.unlock();
    return result;
  }

  /** ibm,int-on */
  *intOn(irq: number): Step<number> {
    yield* this.lock.lock();
    const { server, saved } = this.entryOf(irq);
    const result = yield* this.write(irq, server, saved, saved);
    yield* this.lock.unlock();
    return result;
  }

  private entryOf(irq: number): SourceEntry {
    return this.entries.get(irq) ?? UNSET;
  }

  private *write(irq: number, server: number, priority: number, saved: number): Step<number> {
    const isThere = yield* this.xics.hasSource(irq);
    if (!isThere || server >= this.xics.cpus) return RTAS_PARAMETER_ERROR;
    this.entries.set(irq, { server, priority, saved });
    yield* this.xics.setEntry(irq, server, priority);
    return RTAS_SUCCESS;
  }

  /**
   * ibm,change-msi: a function has `count` messages from now on; those that it had stay. From none to several their sources
   * are in a row from a multiple of the power of two that holds them, as one MSI's data need. How many it has then.
   */
  *changeMsi(requester: number, count: number): Step<number> {
    yield* this.lock.lock();
    let has = this.countOf(requester);
    for (; has > count; has--) this.owners[this.owners.lastIndexOf(requester)] = -1;
    const step = has === 0 ? count : 1;
    while (has < count && this.take(requester, step)) has += step;
    yield* this.lock.unlock();
    return has;
  }

  private countOf(requester: number): number {
    let count = 0;
    for (let i = 0; i < this.owners.length; i++) if (this.owners[i] === requester) count++;
    return count;
  }

  private take(requester: number, count: number): boolean {
    let size = 1;
    while (size < count) size *= 2;
    const { owners } = this;
    for (let at = 0; at + count <= owners.length; at += size) {
      if (owners.subarray(at, at + count).some((owner) => owner >= 0)) continue;
      owners.fill(requester, at, at + count);
      return true;
    }
    return false;
  }

  /** ibm,query-interrupt-source-number: the source of a function's message, or {@link RTAS_PARAMETER_ERROR}. */
  *querySource(requester: number, index: number): Step<number> {
    yield* this.lock.lock();
    let left = index;
    let found = RTAS_PARAMETER_ERROR;
    for (let i = 0; i < this.owners.length && found < 0; i++) if (this.owners[i] === requester && left-- === 0) found = this.messages.first + i;
    yield* this.lock.unlock();
    return found;
  }

  /** The host bridge checks who sends: is the source one of the function's? */
  *isOwned(requester: number, irq: number): Step<boolean> {
    yield* this.lock.lock();
    const index = irq - this.messages.first;
    const isMine = index >= 0 && index < this.owners.length && this.owners[index] === requester;
    yield* this.lock.unlock();
    return isMine;
  }
}
guarded(InterruptFirmware, (firmware) => firmware.lock, "entries", "owners");
