import type { Step } from "../../sim/step.js";
import type { IrqchipVcpu } from "../contract.js";
import type { PioDevice } from "./contract.js";
import { CASCADE, LINES, Pic, type PicChip } from "./pic-chip.js";
import type { PicPair } from "./pic.js";

/** The ports of the pair (x86-irqchip.md 4.1), two bytes each: A0 = 0 command, A0 = 1 data; ELCR master, slave. */
export const PIC_PORTS = [
  { base: 0x20, size: 2, meaning: "master" },
  { base: 0xa0, size: 2, meaning: "slave" },
  { base: 0x4d0, size: 2, meaning: "edge/level control registers" },
] as const;

const ELCR_PORTS = 0x4d0;

/** First command word: which kind it is. */
const ICW1 = 0x10;
const ICW1_ICW4_FOLLOWS = 0x01;
const OCW3 = 0x08;
const OCW3_POLL = 0x04;
const OCW3_READ = 0x02;
const OCW3_SPECIAL_MASK = 0x40;

/** Bits 7:5 of an OCW2. */
const enum Ocw2 {
  ROTATE_IN_AUTO_EOI_CLEAR,
  NON_SPECIFIC_EOI,
  NOTHING,
  SPECIFIC_EOI,
  ROTATE_IN_AUTO_EOI_SET,
  ROTATE_ON_NON_SPECIFIC_EOI,
  SET_PRIORITY,
  ROTATE_ON_SPECIFIC_EOI,
}

const ICW4_SPECIAL_FULLY_NESTED = 0x10;
const ICW4_AUTO_EOI = 0x02;

/** What a poll reads when no line is wanted, and what it adds to the line otherwise. */
const POLL_NOTHING = 0x07;
const POLL_BIT7 = 0x80;

/** The guest's side of the pair: its command and data ports, polls, ELCR (x86-irqchip.md 4.6 to 4.8). */
export class PicPorts implements PioDevice {
  constructor(private readonly pair: PicPair) {}

  /** 0 or the bus's errno; then nothing is registered. */
  *register(): Step<number> {
    const { vm } = this.pair;
    let error = 0;
    yield* vm.slotsLock.lock();
    for (let i = 0; i < PIC_PORTS.length && error === 0; i++) {
      error = yield* vm.pioBus.register(PIC_PORTS[i].base, PIC_PORTS[i].size, this);
      if (error !== 0) yield* this.unregisterFirst(i);
    }
    yield* vm.slotsLock.unlock();
    return error;
  }

  *unregister(): Step<void> {
    const { vm } = this.pair;
    yield* vm.slotsLock.lock();
    yield* this.unregisterFirst(PIC_PORTS.length);
    yield* vm.slotsLock.unlock();
  }

  private *unregisterFirst(count: number): Step<void> {
    for (let i = 0; i < count; i++) yield* this.pair.vm.pioBus.unregister(PIC_PORTS[i].base, this);
  }

  /** A wider read gives zeros. */
  *pioRead(_vcpu: IrqchipVcpu, port: number, size: number): Step<number> {
    if (size !== 1) return 0;
    const { pair } = this;
    yield* pair.lock.lock();
    const value = yield* this.read(port);
    yield* pair.unlock();
    return value;
  }

  /** A wider write is ignored. */
  *pioWrite(_vcpu: IrqchipVcpu, port: number, size: number, value: number): Step<void> {
    if (size !== 1) return;
    const { pair } = this;
    yield* pair.lock.lock();
    const chip = this.chipAt(port);
    if (port >= ELCR_PORTS) chip.writeElcr(value);
    else if ((port & 1) === 0) yield* this.writeCommand(chip, value & 0xff);
    else yield* this.writeData(chip, value & 0xff);
    yield* pair.unlock();
  }

  private chipAt(port: number): PicChip {
    const isSlave = port >= ELCR_PORTS ? (port & 1) !== 0 : port >= 0xa0;
    return isSlave ? this.pair.slave : this.pair.master;
  }

  private *read(port: number): Step<number> {
    const chip = this.chipAt(port);
    if (port >= ELCR_PORTS) return chip.regs[Pic.ELCR];
    if (chip.regs[Pic.POLL] === 0) return chip.read(port);
    const value = yield* this.poll(chip);
    chip.regs[Pic.POLL] = 0;
    return value;
  }

  /** 4.8: serves the wanted line at once; it is not in service afterwards, unlike on an 8259A. */
  private *poll(chip: PicChip): Step<number> {
    const { pair } = this;
    const line = chip.wanted();
    if (line < 0) {
      yield* pair.update();
      return POLL_NOTHING;
    }
    if (chip === pair.slave) {
      pair.master.regs[Pic.ISR] &= ~(1 << CASCADE);
      pair.master.regs[Pic.IRR] &= ~(1 << CASCADE);
    }
    chip.regs[Pic.IRR] &= ~(1 << line);
    yield* pair.clearIsr(chip, line);
    if (chip === pair.slave || line !== CASCADE) yield* pair.update();
    return pair.rules.pollHasBit7 ? POLL_BIT7 | line : line;
  }

  private *writeCommand(chip: PicChip, value: number): Step<void> {
    if ((value & ICW1) !== 0) yield* this.initialise(chip, value);
    else if ((value & OCW3) !== 0) this.writeOcw3(chip, value);
    else yield* this.writeOcw2(chip, value >> 5, value & (LINES - 1));
  }

  /**
   * ICW1. A line whose edge request is dropped counts as ended, if anybody takes PIC interrupts; lines in service stay
   * so, and nothing decides anew on the output. Single mode and level-triggered mode are not implemented.
   */
  private *initialise(chip: PicChip, value: number): Step<void> {
    const { pair } = this;
    chip.regs[Pic.INIT4] = value & ICW1_ICW4_FOLLOWS;
    const dropped = chip.reset();
    const vcpu = yield* pair.firstAccepting();
    if (vcpu < 0) return;
    for (let line = 0; line < LINES; line++) if ((dropped & (1 << line)) !== 0) yield* pair.clearIsr(chip, line);
  }

  private writeOcw3(chip: PicChip, value: number): void {
    const { regs } = chip;
    if ((value & OCW3_POLL) !== 0) regs[Pic.POLL] = 1;
    if ((value & OCW3_READ) !== 0) regs[Pic.READ_REG_SELECT] = value & 1;
    if ((value & OCW3_SPECIAL_MASK) !== 0) regs[Pic.SPECIAL_MASK] = (value >> 5) & 1;
  }

  private *writeOcw2(chip: PicChip, command: Ocw2, level: number): Step<void> {
    const { pair } = this;
    const { regs } = chip;
    switch (command) {
      case Ocw2.ROTATE_IN_AUTO_EOI_CLEAR:
      case Ocw2.ROTATE_IN_AUTO_EOI_SET:
        regs[Pic.ROTATE_ON_AUTO_EOI] = command >> 2;
        return;
      case Ocw2.NON_SPECIFIC_EOI:
      case Ocw2.ROTATE_ON_NON_SPECIFIC_EOI: {
        const line = chip.inService();
        if (line >= 0) yield* this.endOf(chip, line, command === Ocw2.ROTATE_ON_NON_SPECIFIC_EOI);
        return;
      }
      case Ocw2.SPECIFIC_EOI:
      case Ocw2.ROTATE_ON_SPECIFIC_EOI:
        yield* this.endOf(chip, level, command === Ocw2.ROTATE_ON_SPECIFIC_EOI);
        return;
      case Ocw2.SET_PRIORITY:
        regs[Pic.PRIORITY_ADD] = (level + 1) & (LINES - 1);
        yield* pair.update();
        return;
      case Ocw2.NOTHING:
    }
  }

  private *endOf(chip: PicChip, line: number, rotates: boolean): Step<void> {
    if (rotates) chip.regs[Pic.PRIORITY_ADD] = (line + 1) & (LINES - 1);
    yield* this.pair.end(chip, line);
  }

  /** OCW1, or the initialisation word that is due; one that a corrupt record asks for is nobody's. */
  private *writeData(chip: PicChip, value: number): Step<void> {
    const { regs } = chip;
    switch (regs[Pic.INIT_STATE]) {
      case 0:
        yield* this.writeImr(chip, value);
        return;
      case 1:
        regs[Pic.IRQ_BASE] = value & 0xf8;
        regs[Pic.INIT_STATE] = 2;
        return;
      case 2:
        regs[Pic.INIT_STATE] = regs[Pic.INIT4] === 0 ? 0 : 3;
        return;
      case 3:
        regs[Pic.SPECIAL_FULLY_NESTED_MODE] = (value & ICW4_SPECIAL_FULLY_NESTED) >> 4;
        regs[Pic.AUTO_EOI] = (value & ICW4_AUTO_EOI) >> 1;
        regs[Pic.INIT_STATE] = 0;
        return;
      default:
    }
  }

  private *writeImr(chip: PicChip, value: number): Step<void> {
    const changed = chip.regs[Pic.IMR] ^ value;
    chip.regs[Pic.IMR] = value;
    for (let line = 0; line < LINES; line++) {
      if ((changed & (1 << line)) === 0) continue;
      yield* this.pair.vm.notifyMasked(chip.index, chip.index * LINES + line, (value & (1 << line)) !== 0);
    }
    yield* this.pair.update();
  }
}
