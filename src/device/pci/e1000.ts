import { block, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { BarRegisters } from "./bar.js";
import { expressCapability, msiCapability, pmCapability } from "./capabilities.js";
import { type FunctionCore, PciFunction } from "./function.js";

/** Registers that interrupts are about (82574 GbE Controller Family Datasheet, 10.2); the others hold what is written. */
export const E1000 = { CTRL: 0x0000, STATUS: 0x0008, ICR: 0x00c0, ICS: 0x00c8, IMS: 0x00d0, IMC: 0x00d8 } as const;
/** Causes in ICR: a descriptor was written back, the link changed, the receive timer ran out. */
export const E1000_CAUSE = { TXDW: 1 << 0, LSC: 1 << 2, RXT0: 1 << 7 } as const;

const CTRL_RST = 1 << 26;
const STATUS_LINK_UP = 1 << 1;
const INT_ASSERTED = 1 << 31;
const BAR_SIZE = 0x2_0000;
const IO_SIZE = 32;
const IOADDR = 0;
const IODATA = 4;

/**
 * An e1000-class network function: one interrupt for all causes, by pin or by MSI. Causes stay in ICR until it is read;
 * the interrupt is asserted while one of them is unmasked in IMS.
 */
export class E1000Nic implements BarRegisters, FunctionCore {
  readonly fn: PciFunction;
  private causes = 0;
  private mask = 0;
  private isAsserted = false;
  private ioAddress = 0;
  private readonly others = new Map<number, number>();

  /** @param name "0000:03:00.0" */
  constructor(name: string, requesterId: number) {
    this.fn = new PciFunction({
      name,
      requesterId,
      vendor: 0x8086,
      device: 0x10d3,
      classCode: 0x02_0000,
      intxPin: 1,
      bars: [
        { index: 0, size: BAR_SIZE, kind: "mem32", registers: this },
        { index: 2, size: IO_SIZE, kind: "io", registers: new IoWindow(this) },
      ],
      capabilities: [pmCapability({ noSoftReset: true }), msiCapability({ vectors: 1 }), expressCapability()],
    });
    this.fn.core = this;
  }

  /** Something happened on the wire: sets causes. */
  *raise(causes: number): Step<void> {
    yield writes(this, "E1000");
    this.causes |= causes;
    yield* this.update();
  }

  *read(offset: number): Step<number> {
    yield writes(this, "E1000");
    switch (offset) {
      case E1000.ICR:
        return yield* this.takeCauses();
      case E1000.IMS:
        return this.mask;
      case E1000.STATUS:
        return STATUS_LINK_UP;
      default:
        return this.others.get(offset) ?? 0;
    }
  }

  *write(offset: number, _size: number, value: number): Step<void> {
    yield writes(this, "E1000");
    if (offset === E1000.CTRL && value & CTRL_RST) {
      yield* this.reset();
      return;
    }
    if (offset === E1000.ICR) this.causes &= ~value;
    else if (offset === E1000.ICS) this.causes |= value;
    else if (offset === E1000.IMS) this.mask |= value;
    else if (offset === E1000.IMC) this.mask &= ~value;
    else this.others.set(offset, value);
    yield* this.update();
  }

  /** Reading ICR takes all causes away. */
  private *takeCauses(): Step<number> {
    const value = this.isAsserted ? this.causes | INT_ASSERTED : this.causes;
    this.causes = 0;
    yield* this.update();
    return value;
  }

  /** A message goes out when the interrupt becomes asserted; the pin is as long as it is. */
  private *update(): Step<void> {
    const isAsserted = (this.causes & this.mask) !== 0;
    if (isAsserted === this.isAsserted) return;
    this.isAsserted = isAsserted;
    if (isAsserted) yield* this.fn.messages.send(0);
    yield* this.fn.intx.setLevel(isAsserted);
  }

  *reset(): Step<void> {
    yield writes(this, "E1000");
    this.causes = 0;
    this.mask = 0;
    this.ioAddress = 0;
    this.others.clear();
    yield* this.update();
  }

  // --- the port window: an address, then the register there ---

  *ioRead(offset: number): Step<number> {
    yield writes(this, "E1000");
    return offset === IOADDR ? this.ioAddress : offset === IODATA ? yield* this.read(this.ioAddress) : 0;
  }

  *ioWrite(offset: number, value: number): Step<void> {
    yield writes(this, "E1000");
    if (offset === IOADDR) this.ioAddress = value;
    else if (offset === IODATA) yield* this.write(this.ioAddress, 4, value);
  }
}
block(E1000Nic, "causes", "mask", "isAsserted", "ioAddress");

class IoWindow implements BarRegisters {
  constructor(private readonly nic: E1000Nic) {}
  *read(offset: number): Step<number> {
    return yield* this.nic.ioRead(offset);
  }
  *write(offset: number, _size: number, value: number): Step<void> {
    yield* this.nic.ioWrite(offset, value);
  }
}
