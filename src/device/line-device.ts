import type { EdgeSink, LevelSink } from "../arch/level.js";
import { block, writes } from "../sim/access.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { DmaPort } from "./dma-port.js";

/** What a device writes to memory before it says so by its interrupt, as a network card does its descriptors. */
export interface WriteBack {
  readonly port: DmaPort;
  readonly iova: number;
  readonly bytes: Uint8Array;
}

export interface LineDeviceOptions {
  /** Its place among the device's interrupts: VFIO's index. Default 0. */
  index?: number;
  /** Register accesses that a handler needs to service what it finds. Default 1; 0 when its run alone is enough. */
  accessesToService?: number;
  /** Default: nothing. */
  writeBack?: WriteBack | null;
}

/** What became of the conditions that a device raised: always delivered + coalesced + lost = raised. */
export interface ConditionCounts {
  raised: number;
  /** A handler ran and found it. */
  delivered: number;
  /** Serviced in the run of another condition's handler. */
  coalesced: number;
  /** Not serviced so far: lost, once everything is quiet. */
  lost: number;
  /** Services that found nothing. */
  spurious: number;
}

/**
 * One interrupt output of a device. Conditions set in it are its driver's units of work: a handler's accesses service all
 * that are there. One access, and one condition set, is atomic.
 */
export abstract class LineDevice {
  readonly index: number;
  readonly accessesToService: number;
  private readonly writeBack: WriteBack | null;
  protected raised = 0;
  protected delivered = 0;
  protected coalesced = 0;
  protected outstanding = 0;
  /** Conditions that a reset took away. */
  protected dropped = 0;
  private spurious = 0;
  /** Accesses of the service that is under way. */
  private accesses = 0;

  constructor(
    protected readonly sim: Sim,
    readonly name: string,
    options: LineDeviceOptions = {},
  ) {
    this.index = options.index ?? 0;
    this.accessesToService = options.accessesToService ?? 1;
    this.writeBack = options.writeBack ?? null;
  }

  abstract readonly trigger: "level" | "edge";

  /** Sets one condition: the line says so, in the way of its trigger. */
  *raise(): Step<void> {
    const { writeBack } = this;
    if (writeBack !== null) yield* writeBack.port.write(writeBack.iova, writeBack.bytes);
    yield writes(this, "device");
    this.raised++;
    this.outstanding++;
    this.sim.emit(Ev.device_raise, this.name, this.index, 1);
    yield* this.announce();
  }

  /**
   * One register access by a handler, from the host or from a guest; the last that a service needs services everything
   * outstanding. How many conditions that found, or -1 when more accesses are needed.
   */
  *access(): Step<number> {
    this.sim.charge(Cost.deviceAccess);
    yield writes(this, "device");
    if (++this.accesses < this.accessesToService) return -1;
    this.accesses = 0;
    return yield* this.service();
  }

  /** What a handler's run does to the device. How many conditions it found. */
  *service(): Step<number> {
    yield writes(this, "device");
    const found = this.outstanding;
    this.outstanding = 0;
    if (found === 0) this.spurious++;
    else {
      this.delivered++;
      this.coalesced += found - 1;
    }
    this.sim.emit(Ev.device_service, this.name, this.index, found);
    yield* this.settled();
    return found;
  }

  /** How many conditions are set, as a status register tells. */
  *status(): Step<number> {
    yield writes(this, "device");
    return this.outstanding;
  }

  /** A reset takes away what is outstanding: those conditions are lost. */
  *reset(): Step<void> {
    yield writes(this, "device");
    this.dropped += this.outstanding;
    this.outstanding = 0;
    this.accesses = 0;
    yield* this.settled();
  }

  get counts(): ConditionCounts {
    const { raised, delivered, coalesced, spurious } = this;
    const lost = this.outstanding + this.dropped;
    if (delivered + coalesced + lost !== raised) throw new Error(`${this.name} raised ${raised}, but ${delivered} + ${coalesced} + ${lost} came of it`);
    return { raised, delivered, coalesced, lost, spurious };
  }

  /** A condition has been set. */
  protected abstract announce(): Step<void>;
  /** All conditions have been serviced. */
  protected abstract settled(): Step<void>;
}

/** A device whose line is high while conditions are outstanding. */
export class LevelDevice extends LineDevice {
  readonly trigger = "level";
  private wire = false;
  /** Changes of the wire that are on their way to the sink. */
  private changes = 0;

  constructor(
    sim: Sim,
    name: string,
    private readonly sink: LevelSink,
    options: LineDeviceOptions = {},
  ) {
    super(sim, name, options);
  }

  protected override *announce(): Step<void> {
    yield* this.drive();
  }

  protected override *settled(): Step<void> {
    yield* this.drive();
  }

  /**
   * The wire follows the conditions. Two accesses at once may reach the sink in the other order, so each looks again
   * after its change, and puts right what it has overtaken.
   */
  private *drive(): Step<void> {
    yield writes(this, "device");
    let isCertain = this.changes === 0;
    for (;;) {
      const level = this.outstanding > 0;
      if (isCertain && level === this.wire) return;
      if (this.wire && !level) this.sim.emit(Ev.device_lower, this.name, this.index);
      this.wire = level;
      this.changes++;
      yield* this.sink.setLevel(level);
      yield writes(this, "device");
      this.changes--;
      if (level === this.outstanding > 0) return;
      isCertain = false;
    }
  }
}

/** A device that sends one rising edge for each condition. */
export class EdgeDevice extends LineDevice {
  readonly trigger = "edge";

  constructor(
    sim: Sim,
    name: string,
    private readonly sink: EdgeSink,
    options: LineDeviceOptions = {},
  ) {
    super(sim, name, options);
  }

  protected override *announce(): Step<void> {
    yield* this.sink.pulse();
  }

  protected override *settled(): Step<void> {}
}
block(LineDevice, "raised", "delivered", "coalesced", "outstanding", "dropped", "spurious", "accesses");
block(LevelDevice, "wire", "changes");
