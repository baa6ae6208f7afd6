import { ItsOp } from "../../../arch/gic/its-command.js";
import { Random } from "../../../sim/random.js";
import { run, type Step } from "../../../sim/step.js";
import { PlainRam } from "../../plain-ram.js";
import { COLLECTIONS, DEVICES, ITS, ItsStage, ITT, PENDING, PROPERTIES, QUEUE, type Register } from "../../../explore/stages/its-stage.js";

const RAM = 0x4000_0000;
const RAM_SIZE = 0x1000_0000;
const VALID = 1n << 63n;
const BATCH = 127;
/** Commands of one VM; the next has new memory. */
const LIFE = 20_000;
const OPCODES = [ItsOp.MOVI, ItsOp.INT, ItsOp.CLEAR, ItsOp.SYNC, ItsOp.MAPD, ItsOp.MAPC, ItsOp.MAPTI, ItsOp.MAPI, ItsOp.INV, ItsOp.INVALL, ItsOp.MOVALL, ItsOp.DISCARD, 0x20, 0x77];
/** Guest addresses worth pointing at: its own tables, each other, the ITS, the ends of memory and of the address space. */
const ADDRESSES = [0, DEVICES, COLLECTIONS, QUEUE, PROPERTIES, PENDING, ITT, ITS, RAM, RAM + RAM_SIZE - 0x10000, RAM + RAM_SIZE, 2 ** 40 - 0x10000, 2 ** 48, 2 ** 52 - 0x10000].map(BigInt);
const REGISTERS: readonly Register[] = ["CTLR", "CBASER", "CWRITER", "CREADR", "BASER0", "BASER1"];
/** A command looks at a table or two; INVALL and MAPC at each LPI once, and at no other memory. */
const ACCESSES_BESIDES_LPIS = 8;

/** What {@link soakIts} found. */
export interface ItsSoak {
  readonly commands: number;
  /** Of them without an error. */
  readonly done: number;
  /** Most accesses to guest memory for one command, and the LPIs that were mapped then. */
  readonly mostAccesses: number;
  readonly faults: readonly string[];
}

/** The guest's memory, and a look at every access that it allows. */
class WatchedRam extends PlainRam {
  accesses = 0;
  outside = 0;

  constructor() {
    super(RAM, RAM_SIZE);
  }

  override *readWords(address: number, into: Int32Array, words: number): Step<boolean> {
    return this.note(address, 4 * words, yield* super.readWords(address, into, words));
  }

  override *writeWords(address: number, from: Int32Array, words: number): Step<boolean> {
    return this.note(address, 4 * words, yield* super.writeWords(address, from, words));
  }

  override *readByte(address: number): Step<number> {
    const byte = yield* super.readByte(address);
    this.note(address, 1, byte >= 0);
    return byte;
  }

  override *writeByte(address: number, value: number): Step<boolean> {
    return this.note(address, 1, yield* super.writeByte(address, value));
  }

  private note(address: number, length: number, isDone: boolean): boolean {
    this.accesses++;
    if (isDone && !(address >= RAM && address + length <= RAM + RAM_SIZE)) this.outside++;
    return isDone;
  }
}

/** One hostile guest: random commands, in a queue and with tables that change under them. */
class HostileGuest {
  readonly ram = new WatchedRam();
  readonly h = new ItsStage({ ram: this.ram });
  commands = 0;
  done = 0;
  mostAccesses = 0;
  readonly faults: string[] = [];

  constructor(private readonly random: Random) {}

  step(): void {
    const { random, h } = this;
    const kind = random.below(40);
    if (kind < 28) this.batch(1 + random.below(BATCH));
    else if (kind < 29) h.write(REGISTERS[random.below(REGISTERS.length)], this.word());
    else if (kind < 33) this.repair();
    else if (kind < 35) h.poke([DEVICES, COLLECTIONS, ITT, PENDING, PROPERTIES][random.below(5)] + 8 * random.below(64), this.word());
    else if (kind < 37) h.msi(random.below(12), random.below(40));
    else if (kind === 37) h.enableLpis(random.below(4), random.below(3) > 0);
    else if (kind === 38) this.saveOrRestore();
    else h.cycle(random.below(4));
    this.check();
  }

  /** Commands one by one, so that the work for each is seen. */
  private batch(count: number): void {
    const { h, ram } = this;
    h.trace.clear();
    for (let i = 0; i < count; i++) {
      const bound = this.mappedLpis() + ACCESSES_BESIDES_LPIS;
      const before = ram.accesses;
      h.commands(this.command());
      const accesses = ram.accesses - before;
      this.mostAccesses = Math.max(this.mostAccesses, accesses);
      if (accesses > bound) this.faults.push(`a command made ${accesses} accesses to memory, with ${bound - ACCESSES_BESIDES_LPIS} LPIs mapped`);
      this.commands++;
      if (h.trace.events.some(({ name, args }) => name === "its_command" && Number(args[3]) === 0)) this.done++;
    }
  }

  private command(): [bigint, bigint, bigint, bigint] {
    const { random } = this;
    const opcode = BigInt(OPCODES[random.below(OPCODES.length)]);
    if (random.below(4) === 0) return [(this.word() & ~0xffn) | opcode, this.word(), this.word(), this.word()];
    const flags = random.below(8) === 0 ? 0n : VALID;
    const icid = BigInt(random.below(12));
    const device = BigInt(random.below(12));
    const dw2 = opcode === BigInt(ItsOp.MAPD) ? BigInt(ITT) + device * 0x1000n | flags : icid | (BigInt(random.below(5)) << 16n) | flags;
    const dw1 = opcode === BigInt(ItsOp.MAPD) ? BigInt(random.below(18)) : BigInt(random.below(40)) | (BigInt(8188 + random.below(2000)) << 32n);
    return [opcode | (device << 32n), dw1, dw2, BigInt(random.below(5)) << 16n];
  }

  private word(): bigint {
    const { random } = this;
    const address = ADDRESSES[random.below(ADDRESSES.length)];
    switch (random.below(4)) {
      case 0:
        return BigInt(random.below(64));
      case 1:
        return address | VALID | BigInt(random.below(4));
      case 2:
        return address | (3n << 62n);
      default:
        return (BigInt(random.below(2 ** 30)) << 34n) ^ BigInt(random.below(2 ** 30)) ^ (BigInt(random.below(32)) << 60n & (2n ** 64n - 1n));
    }
  }

  /** The queue is where commands are poked again, the tables are good, the ITS is on. */
  private repair(): void {
    const { h } = this;
    h.write("CTLR", 0n);
    h.write("BASER0", VALID | BigInt(DEVICES));
    h.write("BASER1", VALID | BigInt(COLLECTIONS));
    h.write("CBASER", VALID | BigInt(QUEUE));
    h.write("CTLR", 1n);
  }

  private saveOrRestore(): void {
    const { h, random } = this;
    const result = random.below(2) === 0 ? h.save() : this.restore();
    if (![0, -14, -17, -22].includes(result)) this.faults.push(`save or restore answers ${result}`);
  }

  private restore(): number {
    const { h } = this;
    h.reset();
    h.write("BASER0", this.word() | VALID);
    h.write("BASER1", VALID | BigInt(COLLECTIONS));
    const result = h.restore();
    this.repair();
    return result;
  }

  private mappedLpis(): number {
    let count = 0;
    for (let intid = run(this.h.dist.lpis.next(8192)); intid >= 0; intid = run(this.h.dist.lpis.next(intid + 1))) count++;
    return count;
  }

  private check(): void {
    const { h, ram, faults } = this;
    if ((h.read("CTLR") & 1n) === 1n && h.read("CREADR") !== h.read("CWRITER")) faults.push("a queue is left half done");
    if (ram.outside > 0) faults.push("memory outside of the guest's was accessed");
  }
}

/** Executes random commands among other hostile acts, as many as asked; same seed, same acts. A throw is a fault. */
export function soakIts(commands: number, seed: number, progress: (done: number) => void = () => {}): ItsSoak {
  const random = new Random(seed);
  const faults: string[] = [];
  const total = { commands: 0, done: 0, mostAccesses: 0 };
  while (total.commands < commands && faults.length < 20) {
    const guest = new HostileGuest(random);
    try {
      while (guest.commands < Math.min(LIFE, commands - total.commands) && guest.faults.length === 0) guest.step();
    } catch (error) {
      guest.faults.push(`after ${total.commands + guest.commands} commands of seed ${seed}: ${error instanceof Error ? error.message : String(error)}`);
    }
    faults.push(...guest.faults);
    total.commands += guest.commands;
    total.done += guest.done;
    total.mostAccesses = Math.max(total.mostAccesses, guest.mostAccesses);
    progress(total.commands);
  }
  return { ...total, faults };
}
