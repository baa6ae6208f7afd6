import { type DeviceRegion, SigBus } from "../../host/memory.js";
import { shared, type Waitable, writes } from "../../sim/access.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";

/** Whether the pages of registers may be mapped now. */
export interface MappingGate {
  isMappable(): Step<boolean>;
  /** The memory lock, for a fault or an access. */
  lockMemory(): Step<void>;
  unlockMemory(): Step<void>;
}

/** The registers themselves, on the bus. */
export interface BusRegisters extends DeviceRegion {
  /** Does anything decode there? Without it, always. */
  decodes?(): Step<boolean>;
}

/** Accesses at once that only a device which reaches itself comes to: the rest end unanswered. */
const NESTED = 64;

/**
 * The pages of a device's registers in address spaces and in IOMMUs: put there by a fault where the gate lets them (without
 * one, always), taken out by a zap (vfio.md 14, 23.21). What a user has mapped is his until the device's last close: an
 * IOMMU's mapping of it, which holds no file, reaches nothing afterwards. (Linux's type 1 leaves it to the next user; that
 * is why iommufd takes no registers, and what dma-buf's revocation is for.)
 */
export class RegisterMapping implements Waitable {
  private isPresent = false;
  /** Last closes so far. */
  private revocations = 0;
  /** Accesses that found the pages: a zap ends when their processors have answered. */
  private underWay = 0;

  constructor(
    private readonly sim: Sim,
    private readonly registers: BusRegisters,
    private readonly name: string,
    private readonly gate: MappingGate | null,
  ) {}

  get watches(): object {
    return this;
  }

  isOpen(): boolean {
    return this.underWay === 0;
  }

  /** What an mmap of now reaches. */
  window(): DeviceRegion {
    const since = this.revocations;
    return new MappedWindow(this, { since, isBus: false }, new MappedWindow(this, { since, isBus: true }));
  }

  *read(offset: number, size: number, opened: Opening): Step<number> {
    yield* this.enter(opened);
    const value = yield* this.registers.read(offset, size);
    yield* this.leave();
    return value;
  }

  *write(offset: number, size: number, value: number, opened: Opening): Step<void> {
    yield* this.enter(opened);
    yield* this.registers.write(offset, size, value);
    yield* this.leave();
  }

  /** A processor faults pages in; a device has the decoder alone before it, and no lock: who programmed it may hold that. */
  private *enter({ since, isBus }: Opening): Step<void> {
    if (isBus && this.registers.decodes && !(yield* this.registers.decodes())) throw new SigBus(`${this.name} does not decode`);
    yield writes(this, "isPresent");
    while (!isBus && !this.isPresent && since === this.revocations) {
      yield* this.fault();
      yield writes(this, "isPresent");
    }
    if (since !== this.revocations) throw new SigBus(`${this.name}: its user has closed the device`);
    if (this.underWay === NESTED) throw new SigBus(`${this.name}: a device reaches itself without end`);
    this.underWay++;
  }

  private *leave(): Step<void> {
    yield writes(this, "underWay");
    this.underWay--;
  }

  private *fault(): Step<void> {
    if (this.gate !== null) yield* this.gate.lockMemory();
    const isMappable = this.gate === null || (yield* this.gate.isMappable());
    if (isMappable) {
      yield writes(this, "isPresent");
      this.isPresent = true;
    }
    if (this.gate !== null) yield* this.gate.unlockMemory();
    if (!isMappable) throw new SigBus(`${this.name} does not decode`);
  }

  /** On return no access that began before is under way. */
  *zap(): Step<void> {
    yield writes(this, "isPresent");
    this.isPresent = false;
    if (!this.sim.hazards.zapWithoutWait) yield* this.sim.wait(this);
  }

  /** The last close: nothing that was mapped until now reaches the registers any more. */
  *revoke(): Step<void> {
    yield writes(this, "isPresent");
    this.revocations++;
    yield* this.zap();
  }
}
shared(RegisterMapping, "isPresent");

/** What was mapped after how many last closes, and who reaches it. */
interface Opening {
  readonly since: number;
  readonly isBus: boolean;
}

class MappedWindow implements DeviceRegion {
  constructor(
    private readonly mapping: RegisterMapping,
    private readonly opened: Opening,
    readonly byBus?: DeviceRegion | undefined,
  ) {}

  *read(offset: number, size: number): Step<number> {
    return yield* this.mapping.read(offset, size, this.opened);
  }

  *write(offset: number, size: number, value: number): Step<void> {
    yield* this.mapping.write(offset, size, value, this.opened);
  }
}
