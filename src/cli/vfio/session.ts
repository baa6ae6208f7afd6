import type { BoardMachine } from "../../delivery/machine.js";
import { OrdinaryDriver } from "../../host/driver-binding.js";
import { eventfd2 } from "../../host/eventfd.js";
import { Process } from "../../host/process.js";
import { Context } from "../../sim/context.js";
import { PersonError } from "../../sim/person-error.js";
import { Deadlock } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EFD_NONBLOCK } from "../../uapi/eventfd.js";
import { EFAULT, ENOENT, errnoName } from "../../uapi/errno.js";
import { RequestCall } from "./ioctl.js";
import type { Line } from "./script.js";

/** Lines begin so far apart that what one starts is over when the next begins. */
const BETWEEN_NS = 1_000_000;
/** Where the process's memory is, and the arguments of its system calls. */
const MEMORY = 0x1000_0000;
const MOST_MEMORY = 2 ** 40;
const ARGUMENT = 0x1_0000;
const ARGUMENT_BYTES = 0x1_0000;
/** The driver that the host has for the device itself. */
const NATIVE = "native";

/** What a line answered. */
export interface Answer {
  readonly line: string;
  /** A number, an errno's name, or text; null: it waits for ever. */
  readonly result: number | string | null;
  /** Fields that came back, or that were given another value. */
  readonly fields: Readonly<Record<string, string>>;
  /** Lines that began while it waited. */
  readonly passedBy: number;
}

/** One line, as a thread of the VMM or of an administrator's shell. */
class LineThread extends Context {
  result: number | string | null = null;
  fields: Record<string, string> = {};
  passedBy = 0;

  constructor(
    private readonly session: Session,
    readonly line: Line,
  ) {
    super(line.verb, "user", 0);
  }

  override *body(): Step<void> {
    const before = ++this.session.begun;
    const { line } = this;
    const result = yield* this.perform();
    if (line.name !== null && typeof result === "number" && result >= 0) this.session.names.set(line.name, result);
    this.result = typeof result === "number" && result < 0 ? `-${errnoName(result)}` : result;
    this.passedBy = this.session.begun - before;
  }

  private *perform(): Step<number | string> {
    try {
      return yield* this.session.perform(this.line, this.fields);
    } catch (error) {
      throw error instanceof PersonError ? new PersonError(`${this.line.place}: ${error.message}`) : error;
    }
  }
}

/** A machine with one device that its host driver has, and a process that speaks VFIO to it. */
export class Session {
  readonly process: Process;
  /** What lines have named: descriptors, addresses. */
  readonly names = new Map<string, number>();
  /** Lines that have. */
  begun = 0;
  private readonly calls: RequestCall;
  private memoryEnd = MEMORY;

  private constructor(
    private readonly machine: BoardMachine,
    lockedMemoryLimit: number,
  ) {
    this.process = new Process(machine.sim, "vmm", { lockedMemoryLimit });
    this.process.memory.map(ARGUMENT, ARGUMENT_BYTES);
    this.calls = new RequestCall(this, ARGUMENT);
  }

  /** @param lockedMemoryLimit RLIMIT_MEMLOCK of the VMM, bytes */
  static start(machine: BoardMachine, lockedMemoryLimit: number): Session {
    const device = run(machine.load());
    machine.bus.addDriver(new OrdinaryDriver(NATIVE, device.compatible));
    run(machine.sysfs.write(`/sys/bus/${machine.bus.name}/drivers_probe`, device.name));
    return new Session(machine, lockedMemoryLimit);
  }

  /** Runs all lines, one after the other; one that has to wait does so while the others go on. @throws PersonError */
  play(lines: readonly Line[]): Answer[] {
    const { sim } = this.machine;
    const threads = lines.map((line) => new LineThread(this, line));
    threads.forEach((thread, place) => sim.wake(thread, BETWEEN_NS * place));
    try {
      run(sim.settle());
    } catch (error) {
      if (!(error instanceof Deadlock)) throw error;
    }
    return threads.map(({ line, result, fields, passedBy }) => ({ line: line.text, result, fields, passedBy }));
  }

  /** A number, or what a line before has named. @throws PersonError */
  number(word: string): number {
    const value = this.names.get(word) ?? Number(word);
    if (!Number.isSafeInteger(value)) throw new PersonError(`"${word}" is no number, and no line before it that succeeded has that name`);
    return value;
  }

  /** A count, a descriptor, an address, a negative errno, or text. */
  *perform({ verb, words, request }: Line, fields: Record<string, string>): Step<number | string> {
    const { process, machine } = this;
    const { sysfs, nodes } = machine;
    if (request !== null) return yield* this.calls.make(request, this.number(words[0]), words.slice(2), fields);
    switch (verb) {
      case "echo":
        return yield* sysfs.write(words[words.length - 1], `${words.slice(0, -2).join(" ")}\n`);
      case "cat": {
        const text = sysfs.read(words[0]);
        return typeof text === "string" ? text.trimEnd() : text;
      }
      case "readlink":
        return (yield* sysfs.readlink(words[0])) ?? -ENOENT;
      case "ls": {
        const names = sysfs.listGroup(Number(/iommu_groups\/(\d+)/.exec(words[0])?.[1] ?? -1));
        return typeof names === "number" ? names : names.join(" ");
      }
      case "open":
        return yield* nodes.open(process, words[0]);
      case "eventfd":
        return eventfd2(process, 0, EFD_NONBLOCK);
      case "memory":
        return this.mapMemory(this.number(words[0]));
      case "mmap":
        return yield* process.mmap(this.number(words[0]), this.number(words[2]), this.number(words[1]));
      case "close":
        return yield* process.close(this.number(words[0]));
      case "raise":
        return yield* this.raise(this.number(words[0]));
      default:
        return yield* this.access(verb, words);
    }
  }

  private mapMemory(bytes: number): number {
    if (bytes < 1 || bytes > MOST_MEMORY) throw new PersonError(`memory ${bytes}: from 1 to ${MOST_MEMORY} bytes`);
    const at = this.memoryEnd;
    this.process.memory.map(at, bytes);
    this.memoryEnd += Math.ceil(bytes / 4096) * 4096;
    return at;
  }

  /** Accesses to registers, to memory and to an eventfd's count: little-endian numbers. */
  private *access(verb: Line["verb"], words: readonly string[]): Step<number | string> {
    const { process } = this;
    const [first, second, third, value] = words.map((word) => this.number(word));
    const { memory } = process;
    const length = verb === "peek" || verb === "poke" ? second : third;
    if (length < 1 || length > ARGUMENT_BYTES) throw new PersonError(`${verb}: from 1 to ${ARGUMENT_BYTES} bytes`);
    switch (verb) {
      case "count": {
        const result = yield* process.read(first, ARGUMENT, 8);
        return result < 0 ? result : memory.getU64(ARGUMENT);
      }
      case "read": {
        const result = yield* process.read(first, ARGUMENT, third, second);
        return result < 0 ? result : this.bytesAt(ARGUMENT, result);
      }
      case "write":
        this.store(ARGUMENT, third, value);
        return yield* process.write(first, ARGUMENT, third, second);
      case "peek":
        return memory.isReadable(first, second) ? this.bytesAt(first, second) : -EFAULT;
      default:
        if (!memory.isWritable(first, second)) return -EFAULT;
        this.store(first, second, third);
        return second;
    }
  }

  private bytesAt(address: number, length: number): string {
    let text = "";
    for (let i = length - 1; i >= 0; i--) text += this.process.memory.getU8(address + i).toString(16).padStart(2, "0");
    return `0x${text}`;
  }

  private store(address: number, length: number, value: number): void {
    let rest = value;
    for (let i = 0; i < length; i++, rest = Math.floor(rest / 256)) this.process.memory.setU8(address + i, rest % 256);
  }

  private *raise(index: number): Step<number> {
    const source = this.machine.sourceOf(index);
    if (source === undefined) throw new PersonError(`the device has no interrupt ${index} to raise`);
    yield* source.raise();
    return 0;
  }
}
