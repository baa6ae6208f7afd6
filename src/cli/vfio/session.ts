import type { BoardMachine } from "../../delivery/machine.js";
import { XEN_GUEST, XenMachine } from "../../delivery/xen-machine.js";
import { type HostDriver, OrdinaryDriver } from "../../host/driver-binding.js";
import { eventfd2 } from "../../host/eventfd.js";
import { Process } from "../../host/process.js";
import { Context } from "../../sim/context.js";
import { PersonError } from "../../sim/person-error.js";
import { Deadlock } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EFD_NONBLOCK } from "../../uapi/eventfd.js";
import { ENOENT, errnoName } from "../../uapi/errno.js";
import { RequestCall, type Told } from "./ioctl.js";
import { type Line, VERBS } from "./script.js";
import { numberText, putNumber, UserMemory } from "./user-memory.js";

/** Lines begin so far apart that what one starts is over when the next begins. */
const BETWEEN_NS = 1_000_000;
/** Where the process has the arguments of its system calls. */
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

/** What all lines answered, and the one that nobody could perform, with its place. */
export interface Played {
  readonly answers: readonly Answer[];
  readonly refusal: PersonError | null;
}

/** One line, as a thread of the VMM or of an administrator's shell. */
class LineThread extends Context {
  hasBegun = false;
  isRefused = false;
  result: number | string | null = null;
  readonly told: Told = { fields: {}, values: new Map() };
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
    this.hasBegun = true;
    const result = yield* this.perform();
    if (line.name !== null && typeof result === "number" && result >= 0) this.session.called(line.name, result, this.told);
    this.result = typeof result === "number" && result < 0 ? `-${errnoName(result)}` : result;
    this.passedBy = this.session.begun - before;
  }

  private *perform(): Step<number | string> {
    try {
      return yield* this.session.perform(this.line, this.told);
    } catch (error) {
      this.isRefused = error instanceof PersonError;
      throw error instanceof PersonError ? new PersonError(`${this.line.place}: ${error.message}`) : error;
    }
  }
}

/** A machine with one device, and the others of its group, that their host drivers have, and a process that speaks VFIO to it. */
export class Session {
  readonly process: Process;
  /** What lines have named: descriptors, addresses. */
  readonly names = new Map<string, number>();
  /** Drivers by module, to be loaded again. */
  private readonly unloaded = new Map<string, HostDriver>();
  /** Lines that have. */
  begun = 0;
  private readonly calls: RequestCall;
  private readonly memory: UserMemory;

  private constructor(
    private readonly machine: BoardMachine,
    lockedMemoryLimit: number,
    /** Names of the other endpoints of the device's group. */
    readonly neighbours: readonly string[],
  ) {
    this.process = new Process(machine.sim, "vmm", { lockedMemoryLimit });
    this.process.memory.map(ARGUMENT, ARGUMENT_BYTES);
    this.calls = new RequestCall(this, ARGUMENT);
    this.memory = new UserMemory(this.process);
  }

  /** @param lockedMemoryLimit RLIMIT_MEMLOCK of the VMM, bytes */
  static start(machine: BoardMachine, lockedMemoryLimit: number): Session {
    const device = run(machine.load());
    // No driver but VFIO's may hold an endpoint; a bridge's is nobody's concern (vfio.md 2.5).
    const others = run(machine.loadNeighbours()).filter(({ isBridge }) => !isBridge);
    const endpoints = [device, ...others];
    machine.bus.addDriver(new OrdinaryDriver(NATIVE, endpoints.flatMap(({ compatible }) => compatible)));
    for (const { name } of endpoints) run(machine.sysfs.write(`/sys/bus/${machine.bus.name}/drivers_probe`, name));
    return new Session(
      machine,
      lockedMemoryLimit,
      others.map(({ name }) => name),
    );
  }

  /** Runs all lines, one after the other; one that has to wait does so while the others go on. What nobody can perform is the end. */
  play(lines: readonly Line[]): Played {
    const { sim } = this.machine;
    const threads = lines.map((line) => new LineThread(this, line));
    threads.forEach((thread, place) => sim.wake(thread, BETWEEN_NS * place));
    let refusal: PersonError | null = null;
    try {
      run(sim.settle());
    } catch (error) {
      if (error instanceof PersonError) refusal = error;
      else if (!(error instanceof Deadlock)) throw error;
    }
    const performed = threads.filter(({ hasBegun, isRefused }) => hasBegun && !isRefused);
    return { answers: performed.map(({ line, result, told, passedBy }) => ({ line: line.text, result, fields: told.fields, passedBy })), refusal };
  }

  /** From now on, `name` is the answer, and `name.field` what a field of its structure says. */
  called(name: string, result: number, { values }: Told): void {
    this.names.set(name, result);
    for (const [field, value] of values) this.names.set(`${name}.${field}`, value);
  }

  /** A number, or what a line before has named. @throws PersonError */
  number(word: string): number {
    const value = this.names.get(word) ?? Number(word);
    if (!Number.isSafeInteger(value)) throw new PersonError(`"${word}" is no number, and no line before it that succeeded has that name`);
    return value;
  }

  /** A count, a descriptor, an address, a negative errno, or text. */
  *perform({ verb, words, request }: Line, told: Told): Step<number | string> {
    const { process, machine } = this;
    const { sysfs, nodes } = machine;
    if (request !== null) return yield* this.calls.make(request, this.number(words[0]), words.slice(2), told);
    switch (verb) {
      case "echo":
        return yield* sysfs.write(words[words.length - 1], written(words.slice(0, -2)));
      case "cat": {
        const text = yield* sysfs.read(words[0]);
        return typeof text === "string" ? text.trimEnd() : text;
      }
      case "readlink":
        return (yield* sysfs.readlink(words[0])) ?? -ENOENT;
      case "ls":
        return this.list(words[0]);
      case "rmmod":
        return yield* this.unload(words[0]);
      case "modprobe":
        return yield* this.load(words[0]);
      case "open":
        return yield* nodes.open(process, words[0]);
      case "eventfd":
        return eventfd2(process, 0, EFD_NONBLOCK);
      case "memory":
        return this.memory.map(this.number(words[0]));
      case "mmap":
        return yield* process.mmap(this.number(words[0]), this.number(words[2]), this.number(words[1]));
      case "close":
        return yield* process.close(this.number(words[0]));
      case "take":
        return yield* this.take(this.number(words[0]));
      case "raise":
        return yield* this.raise(this.number(words[0]));
      case "dma":
        return yield* this.dma(words);
      default:
        return yield* this.access(verb, words);
    }
  }

  private *unload(module: string): Step<number> {
    const { bus } = this.machine;
    const driver = bus.driverIn(module);
    if (driver === null) return -ENOENT;
    const result = yield* bus.unload(driver);
    if (result === 0) this.unloaded.set(module, driver);
    return result;
  }

  private *load(module: string): Step<number> {
    const driver = this.unloaded.get(module);
    if (driver === undefined) return this.machine.bus.driverIn(module) === null ? -ENOENT : 0;
    this.unloaded.delete(module);
    return yield* this.machine.bus.load(driver);
  }

  /** Device nodes below a path, or the members of an IOMMU group. */
  private list(path: string): string | number {
    const below = `${path.replace(/\/$/, "")}/`;
    const nodes = this.machine.nodes.paths().filter((node) => node.startsWith(below));
    if (nodes.length > 0) return [...new Set(nodes.map((node) => node.slice(below.length).split("/")[0]))].join(" ");
    const names = this.machine.sysfs.list(path);
    return typeof names === "number" ? names : names.join(" ");
  }

  /** Accesses to registers, to memory and to an eventfd's count: little-endian numbers. */
  private *access(verb: Line["verb"], words: readonly string[]): Step<number | string> {
    const { process } = this;
    const [first, second, third, value] = words.map((word) => this.number(word));
    const length = verb === "peek" || verb === "poke" ? second : third;
    if (length < 1 || length > ARGUMENT_BYTES) throw new PersonError(`${verb}: from 1 to ${ARGUMENT_BYTES} bytes`);
    switch (verb) {
      case "count": {
        const result = yield* process.read(first, ARGUMENT, 8);
        return result < 0 ? result : process.memory.getU64(ARGUMENT);
      }
      case "read": {
        const result = yield* process.read(first, ARGUMENT, third, second);
        return result < 0 ? result : this.memory.bytesAt(ARGUMENT, result);
      }
      case "write":
        this.memory.put(ARGUMENT, third, value);
        return yield* process.write(first, ARGUMENT, third, second);
      case "peek":
        return yield* this.memory.load(first, second);
      default:
        return yield* this.memory.store(first, second, third);
    }
  }

  /** The guest of Xen takes the event of a port: was there one? */
  private *take(port: number): Step<number> {
    const { machine } = this;
    if (!(machine instanceof XenMachine)) throw new PersonError("there are event channels with --backend xen only");
    return (yield* machine.xen.channels.take(XEN_GUEST, port)) ? 1 : 0;
  }

  /** What the device reads, or the count of bytes that it wrote; "terminated": an IOMMU ended it, or the function may not master its bus. */
  private *dma([how, ...words]: readonly string[]): Step<number | string> {
    const isWrite = how === "write";
    if (words.length !== (isWrite ? 3 : 2) || (!isWrite && how !== "read")) throw new PersonError(`dma is written "${VERBS.dma.usage}"`);
    const [iova, length, value] = words.map((word) => this.number(word));
    if (iova < 0 || length < 1 || length > ARGUMENT_BYTES) throw new PersonError(`dma: an address from 0 on, and from 1 to ${ARGUMENT_BYTES} bytes`);
    const bytes = new Uint8Array(length);
    if (isWrite) putNumber(bytes, value);
    const { dma } = this.machine;
    const isDone = isWrite ? yield* dma.write(iova, bytes) : yield* dma.read(iova, bytes);
    if (!isDone) return "terminated";
    return isWrite ? length : numberText(bytes);
  }

  private *raise(index: number): Step<number> {
    const source = this.machine.sourceOf(index);
    if (source === undefined) throw new PersonError(`the device has no interrupt ${index} to raise`);
    yield* source.raise();
    return 0;
  }
}

const written = (words: readonly string[]): string => (words[0] === "-n" ? words.slice(1).join(" ") : `${words.join(" ")}\n`);
