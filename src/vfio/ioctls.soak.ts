import { eventfd2 } from "../host/eventfd.js";
import { IommuDma } from "../host/iommu/dma.js";
import type { Process } from "../host/process.js";
import { Random } from "../sim/random.js";
import { run } from "../sim/step.js";
import { EBADF, errnoName } from "../uapi/errno.js";
import { EFD_NONBLOCK } from "../uapi/eventfd.js";
import { pipe2 } from "../host/pipe.js";
import { KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR } from "../uapi/kvm.js";
import { VFIO_IOMMU_TAKE_FAULT as TAKE_FAULT } from "../uapi/vfio-fault.js";
import { ARGUMENTS, MEMORY } from "../explore/stages/vfio-stage.js";
import { type PciStage, REGION } from "../explore/stages/pci-stage.js";
import { Fitting, keepApart } from "./ioctl-arguments.soak.js";
import { errnosOfIoctl, errnosOfTransfer, OPEN_ERRNOS } from "./ioctl-errnos.soak.js";
import { kvmVfioOf, SOAK_WORLDS, type SoakWorld, soakWorld } from "./ioctl-worlds.soak.js";

/** Calls in one world; the next one is fresh. */
const LIFE = 250;
const ARGUMENT_WORDS = 24;
const VICTIM = 0x100_0000;
const SECRET = 0x5ec2_e700;
const NONE: ReadonlySet<number> = new Set();
const NOT_OPEN: ReadonlySet<number> = new Set([EBADF]);
const NODES = ["/dev/vfio/vfio", "/dev/vfio/12", "/dev/vfio/13", "/dev/iommu", "/dev/vfio/devices/vfio0", "/dev/vfio/devices/vfio2", "/dev/vfio/devices/vfio3", "/dev/vfio/noiommu-100"];
const REQUESTS = [...Array.from({ length: 22 }, (_, n) => 0x3b64 + n), ...Array.from({ length: 13 }, (_, n) => 0x3b80 + n), TAKE_FAULT, 0x3bff, 0xae80];
const REQUESTS_OF: Readonly<Record<string, readonly number[]>> = {
  "vfio-container": [0x3b64, 0x3b65, 0x3b66, 0x3b70, 0x3b71, 0x3b71, 0x3b71, 0x3b72, 0x3b73, 0x3b74, 0x3b75, 0x3b76, 0x3b77, 0x3b78, TAKE_FAULT],
  "vfio-group": [0x3b67, 0x3b68, 0x3b68, 0x3b69, 0x3b6a, 0x3b6a],
  "vfio-device": [0x3b6b, 0x3b6c, 0x3b6d, 0x3b6e, 0x3b6e, 0x3b6e, 0x3b6e, 0x3b6f, 0x3b70, 0x3b71, 0x3b74, 0x3b75, 0x3b75, 0x3b75, 0x3b76, 0x3b77, 0x3b78, 0x3b8c, 0x3b8c],
  iommufd: [0x3b64, 0x3b65, 0x3b70, 0x3b71, 0x3b72, 0x3b66, 0x3b80, 0x3b81, 0x3b82, 0x3b83, 0x3b83, 0x3b84, 0x3b85, 0x3b85, 0x3b85, 0x3b86, 0x3b87, 0x3b88, 0x3b89, 0x3b8a, 0x3b8b, 0x3b8b, 0x3b8c, 0x3b8c, 0x3b8c, TAKE_FAULT],
  "kvm-device": [KVM_SET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR],
  "vfio-migration": [0x3b79],
  "vfio-draft-group": [0x3b64, 0x3b65, 0x3b65, 0x3b65, 0x3b66, 0x3b66, 0x3b66, 0x3b67, 0x3b68, 0x3b68],
  "vfio-draft-iommu": [0x3b69, 0x3b6a, 0x3b6a, 0x3b6b, TAKE_FAULT],
  "vfio-draft-device": [0x3b6c, 0x3b6d, 0x3b6e, 0x3b6f, 0x3b6f, 0x3b70, 0x3b71, 0x3b72],
};
const KINDS = Object.keys(REQUESTS_OF);
const EXTENSIONS = [1, 2, 3, 3, 6, 7, 7, 8, 9, 10, 99, 0x58454e];
/** What one process hands to another: what is not an eventfd, see {@link keepApart}. */
const SHARED = ["vfio-container", "vfio-group", "vfio-device", "iommufd", "vfio-migration", "vfio-draft-group", "vfio-draft-iommu", "vfio-draft-device"];
/** Words that mean something somewhere: sizes, flags, indexes, addresses, halves of them. */
const WORDS = [0, 0, 1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 20, 24, 28, 32, 40, 48, 64, 0x21, 0x22, 0x24, 0x11, 0x14, 0x0c, 0x1000, 0x2000, 0x3000, 0xfee0_0000, MEMORY, MEMORY + 0x1000, ARGUMENTS, 0x7f, 0x80, 0x1_0000, 0x1_0002, 0x2_0002, 0x2_0006, 0x4_0003, 0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_ffff];

/** A call that was made: what it was, its answer, and the errnos that it may have. */
type Made = readonly [what: string, result: number, allowed: ReadonlySet<number>];

/** What {@link soakIoctls} found. */
export interface IoctlSoak {
  readonly calls: number;
  /** Of them without an error, and how often each errno was the answer. */
  readonly done: number;
  readonly errnos: ReadonlyMap<string, number>;
  /** Of each request on each kind of file, "vfio-device 3b6e" say: how often it was done. */
  readonly doneOf: ReadonlyMap<string, number>;
  /** And how often it was refused, by errno: "vfio-device 3b6e EBUSY". */
  readonly refusedOf: ReadonlyMap<string, number>;
  /** Pages that devices reached for, and got. */
  readonly transfers: number;
  readonly faults: readonly string[];
}

/** A process that calls anything with anything, devices that reach for any address, and somebody else's memory beside them. */
class HostileUser {
  readonly faults: string[] = [];
  readonly errnos = new Map<string, number>();
  readonly doneOf = new Map<string, number>();
  readonly refusedOf = new Map<string, number>();
  calls = 0;
  done = 0;
  transfers = 0;
  private kind: SoakWorld = "modern";
  private world!: PciStage;
  private victim!: Process;
  /** The monitor, and a process that it gives descriptors to. */
  private users: { readonly process: Process; readonly fitting: Fitting }[] = [];
  /** Whose turn it is. */
  private process!: Process;
  private fitting!: Fitting;
  private lives = 0;
  /** The call under way, for whoever has to report it. */
  private asked = "";
  private dmas: IommuDma[] = [];

  constructor(private readonly random: Random) {
    this.begin();
  }

  private begin(): void {
    this.kind = SOAK_WORLDS[this.lives++ % SOAK_WORLDS.length];
    const world = soakWorld(this.kind, this.random);
    this.world = world;
    const partner = world.newProcess("partner", { lockedMemoryLimit: world.process.lockedMemoryLimit });
    this.users = [world.process, partner].map((process) => ({ process, fitting: new Fitting(this.random, process) }));
    this.turnTo(0);
    this.dmas = [world.A, world.B].map(({ group, fn }) => new IommuDma(world.smmu, group ?? world.pciGroup, fn.requesterId));
    this.victim = world.newProcess("victim");
    for (let i = 0; i < 16; i++) this.victim.memory.setU32(VICTIM + 0x1000 * i, SECRET + i);
    this.assemble();
  }

  private turnTo(user: number): void {
    this.process = this.users[user].process;
    this.fitting = this.users[user].fitting;
  }

  /** What a monitor does to get a device: as far as it goes. */
  private assemble(): Made {
    const { world, random } = this;
    const { memory } = world.process;
    const words = (...all: number[]): void => all.forEach((word, i) => memory.setU32(ARGUMENTS + 4 * i, word >>> 0));
    if (this.kind === "draft2011") return this.assembleDraft();
    const isIommufd = random.below(3) === 0;
    const c = world.open(isIommufd ? "/dev/iommu" : "/dev/vfio/vfio");
    let d: number;
    if (isIommufd && random.below(2) === 0) {
      d = world.open(this.pick(NODES.slice(4)));
      words(16, 0, c, 0);
      world.ioctl(d, 0x3b76, ARGUMENTS);
      words(12, 0, 0);
      world.ioctl(c, 0x3b81, ARGUMENTS);
      const ioas = memory.getU32(ARGUMENTS + 8);
      words(12, 0, ioas);
      world.ioctl(d, 0x3b77, ARGUMENTS);
      // A page table of its own, whose dirty pages are asked for.
      words(48, 2, 1, ioas, 0, 0, 0, 0, 0, 0, 0, 0);
      if (random.below(4) > 0 && world.ioctl(c, 0x3b89, ARGUMENTS) === 0) {
        const hwpt = memory.getU32(ARGUMENTS + 16);
        words(12, 0, hwpt);
        world.ioctl(d, 0x3b77, ARGUMENTS);
        words(40, 7, ioas, 0, MEMORY, 0, 0x1_0000, 0, 0, 0);
        world.ioctl(c, 0x3b85, ARGUMENTS);
        words(16, 1, hwpt, 0);
        world.ioctl(c, 0x3b8b, ARGUMENTS);
      }
    } else {
      const isUnguarded = this.kind === "noiommu" && random.below(2) === 0;
      const g = world.open(isUnguarded ? "/dev/vfio/noiommu-100" : "/dev/vfio/12");
      world.setContainer(g, c);
      const type = isUnguarded ? 8 : this.pick(EXTENSIONS);
      world.ioctl(c, 0x3b66, type);
      if (type === 2) world.ioctl(c, 0x3b73, 0);
      words(24, 0, MEMORY, 0, 0x1_0000, 0);
      if (type === 7) world.ioctl(c, 0x3b75, ARGUMENTS);
      d = world.deviceFd(g, isUnguarded ? "0000:07:00.0" : world.A.name);
    }
    world.configWrite(d, 4, 2, 6);
    for (let i = 0; i < 2; i++) world.eventfd();
    if (random.below(2) === 0) kvmVfioOf(world);
    return ["assemble", 0, NONE];
  }

  /** The same by the interface of December 2011: no container, and what the group's file gives. */
  private assembleDraft(): Made {
    const { world } = this;
    const g = world.open("/dev/vfio/12");
    world.open("/dev/vfio/13");
    world.ioctl(g, 0x3b67, 0);
    world.process.memory.setText(ARGUMENTS, world.A.name);
    world.configWrite(world.ioctl(g, 0x3b68, ARGUMENTS), 4, 2, 6);
    for (let i = 0; i < 2; i++) world.eventfd();
    return ["assemble", 0, NONE];
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)];
  }

  step(): void {
    if (this.calls % LIFE === LIFE - 1) this.end();
    this.calls++;
    const kind = this.random.below(32);
    // The monitor opens and assembles; the other process has what it is given.
    this.turnTo(kind < 22 && this.random.below(5) === 0 ? 1 : 0);
    let made: Made;
    try {
      if (kind < 22) made = this.ioctl();
      else if (kind < 24) made = this.open();
      else if (kind < 25) made = this.pick([() => this.close(), () => this.share(), () => this.ioctl(), () => (this.random.below(2) === 0 ? this.assemble() : this.share())])();
      else if (kind < 28) made = this.transfer();
      else made = this.device();
      this.world.settle();
    } catch (error) {
      this.fault(`${this.asked} throws ${String(error)}`);
      this.begin();
      return;
    }
    this.judge(made);
  }

  private judge([what, result, allowed]: Made): void {
    if (result >= 0) this.done++;
    else {
      const name = errnoName(result);
      this.errnos.set(name, (this.errnos.get(name) ?? 0) + 1);
      if (!allowed.has(-result)) this.fault(`${what} answers ${name}`);
    }
    if (!Number.isInteger(result)) this.fault(`${what} answers ${result}`);
    for (const { process } of this.users) {
      const { lockedMemory, lockedMemoryLimit } = process;
      if (lockedMemory < 0 || lockedMemory > lockedMemoryLimit) this.fault(`${what} leaves ${lockedMemory} bytes locked`);
    }
  }

  private fault(text: string): void {
    if (this.faults.length < 100) this.faults.push(`call ${this.calls}: ${text}`);
  }

  private fd(): number {
    return this.random.below(this.random.below(2) === 0 ? 6 : 24) - (this.random.below(20) === 0 ? 1 : 0);
  }

  private fill(): void {
    const { memory } = this.process;
    if (this.random.below(8) === 0) {
      for (let i = 0; i < ARGUMENT_WORDS; i++) memory.setU32(ARGUMENTS + 4 * i, this.random.next32() >>> 0);
      return;
    }
    for (let i = 0; i < ARGUMENT_WORDS; i++) {
      const word = this.random.below(12) === 0 ? this.random.next32() : this.random.below(5) === 0 ? this.random.below(16) : this.pick(WORDS);
      memory.setU32(ARGUMENTS + 4 * i, word);
    }
    // As often as not as a caller would begin: with room enough.
    if (this.random.below(3) > 0) memory.setU32(ARGUMENTS, this.pick([16, 24, 32, 40, 64, 96]));
  }

  /** Mostly words that fit the request; of those one may be anything. */
  private fillFor(kind: string, request: number): void {
    this.fill();
    const words = this.random.below(4) > 0 ? this.fitting.words(kind, request) : null;
    if (words === null) return;
    const { memory } = this.process;
    words.forEach((word, i) => memory.setU32(ARGUMENTS + 4 * i, word >>> 0));
    if (this.random.below(4) === 0) memory.setU32(ARGUMENTS + 4 * this.random.below(words.length), this.pick(WORDS));
  }

  /** As often as not a request that the file knows, and sometimes one that it can do. */
  private ioctl(): Made {
    const { world, random, process } = this;
    // Whatever there is most of: each kind of file has its turn.
    const fd = random.below(4) === 0 ? this.fd() : this.fitting.fdOfAny(KINDS);
    const file = process.file(fd);
    const known = random.below(4) > 0 ? REQUESTS_OF[file?.kind ?? ""] : undefined;
    const request = this.pick(known ?? REQUESTS);
    const kind = file?.kind ?? "closed";
    this.fillFor(kind, request);
    keepApart(process, kind, request);
    let argument = ARGUMENTS;
    if ((request === 0x3b65 || request === 0x3b66) && kind !== "vfio-draft-group") argument = this.pick(EXTENSIONS);
    else if (random.below(40) === 0) argument = this.pick([0, 0xdead_0000, ARGUMENTS + 0x3ff8, -1]);
    const words = Array.from({ length: 8 }, (_, i) => process.memory.getU32(ARGUMENTS + 4 * i));
    const allowed = file === null ? NOT_OPEN : errnosOfIoctl(file, request, words);
    this.asked = `${process.name}: ioctl ${fd} (${kind}) ${request.toString(16)} ${words.map((word) => word.toString(16)).join(" ")}`;
    const isNamed = random.below(8) > 0 && (kind === "vfio-draft-group" ? request === 0x3b68 : request === 0x3b6a && kind === "vfio-group");
    if (isNamed) process.memory.setText(ARGUMENTS, this.pick([world.A.name, world.B.name, "0000:07:00.0", "x", `${world.A.name} vf_token=x`]));
    const result = world.ioctl(fd, request, argument, process);
    const name = `${kind} ${request.toString(16)}`;
    if (result >= 0) count(this.doneOf, name);
    else count(this.refusedOf, `${name} ${errnoName(result)}`);
    return [this.asked, result, allowed];
  }

  /** A descriptor goes to the other process. */
  private share(): Made {
    const fd = this.fitting.fdOfAny(SHARED);
    if (!SHARED.includes(this.process.file(fd)?.kind ?? "")) return ["share", 0, NONE];
    return ["share", this.process.sendFile(fd, this.users[1].process), OPEN_ERRNOS];
  }

  private open(): Made {
    const { world } = this;
    if (this.random.below(6) === 0) {
      const ends = pipe2(world.process, 0x800);
      return ["pipe", typeof ends === "number" ? ends : ends[0], OPEN_ERRNOS];
    }
    if (this.random.below(3) === 0) return ["eventfd", eventfd2(world.process, 0, EFD_NONBLOCK), OPEN_ERRNOS];
    this.asked = `open ${this.pick(NODES)}`;
    return [this.asked, world.open(this.asked.slice(5)), OPEN_ERRNOS];
  }

  private close(): Made {
    const fd = this.fd();
    this.asked = `close ${fd}`;
    return [this.asked, fd < 0 ? -EBADF : this.world.close(fd), NOT_OPEN];
  }

  private transfer(): Made {
    const { world, random } = this;
    const { process } = world;
    const fd = this.fd();
    const offset = random.below(8) === 0 ? random.next32() : random.below(10) * REGION + this.pick([0, 4, 0x10, 0x44, 0x4a, 0x60, 0x100, 0xffe, 0x2000, 0xffff]);
    const length = this.pick([0, 1, 2, 4, 8, 64]);
    const address = random.below(10) === 0 ? 0xdead_0000 : ARGUMENTS + 0x800;
    // A pipe would wait for somebody else's write.
    const kind = process.file(fd)?.kind;
    if (kind === "pipe") return ["pipe", 0, NONE];
    const allowed = kind === undefined ? NOT_OPEN : errnosOfTransfer(kind);
    this.asked = `transfer on ${fd} (${kind ?? "closed"}) of ${length} at ${offset}`;
    switch (random.below(3)) {
      case 0:
        return [this.asked, run(process.read(fd, address, length, offset)), allowed];
      case 1:
        process.memory.setU32(ARGUMENTS + 0x800, this.pick(WORDS));
        return [this.asked, run(process.write(fd, address, length, offset)), allowed];
      default:
        return [this.asked, run(process.mmap(fd, this.pick([0, 0x1000, 0x4000, 0x1_0000]), offset, random.below(4) > 0)), allowed];
    }
  }

  /** What hardware does: interrupts, and DMA wherever it likes. */
  private device(): Made {
    const { world, random } = this;
    const what = random.below(4);
    this.asked = "a device";
    if (what === 0) world.intx(random.below(2) === 0);
    else if (what === 1) world.event(random.below(4));
    else this.dma();
    return ["device", 0, NONE];
  }

  private dma(): void {
    const { random } = this;
    const iova = random.below(4) === 0 ? random.next32() : 0x1000 * random.below(20) + random.below(4096);
    const bytes = new Uint8Array(this.pick([1, 4, 64, 4096]));
    const isWrite = random.below(2) === 0;
    if (isWrite) bytes.fill(0xee);
    const dma = this.pick(this.dmas);
    if (!(isWrite ? run(dma.write(iova, bytes)) : run(dma.read(iova, bytes)))) return;
    this.transfers++;
    const view = new DataView(bytes.buffer);
    for (let i = 0; i + 4 <= bytes.length && !isWrite; i += 4) if (view.getUint32(i, true) >>> 8 === SECRET >>> 8) this.fault(`DMA at ${iova.toString(16)} reads another's memory`);
  }

  /** The process ends: nothing of it is left, and nobody else has noticed it. */
  end(): void {
    const { world } = this;
    for (const { process } of this.users) run(process.exit());
    world.settle();
    for (const { process } of this.users) if (process.lockedMemory !== 0) this.fault(`${process.lockedMemory} bytes stay locked behind ${process.name}`);
    for (const { group } of [world.A, world.B]) if (group?.describeOwnership() !== "kernel 0 default") this.fault(`group ${group?.id} stays ${group?.describeOwnership()}`);
    for (const dma of this.dmas) if (run(dma.read(0x1000, new Uint8Array(4)))) this.fault("DMA goes on behind the process");
    for (let i = 0; i < 16; i++) if (this.victim.memory.getU32(VICTIM + 0x1000 * i) !== SECRET + i) this.fault("another's memory has changed");
    this.begin();
  }
}

function count(of: Map<string, number>, what: string): void {
  of.set(what, (of.get(what) ?? 0) + 1);
}

/** Calls VFIO with random requests and arguments, `calls` times in worlds of {@link LIFE} calls. */
export function soakIoctls(calls: number, seed: number, progress: (calls: number) => void = () => undefined): IoctlSoak {
  const user = new HostileUser(new Random(seed));
  while (user.calls < calls) {
    user.step();
    if (user.calls % 10_000 === 0) progress(user.calls);
  }
  user.end();
  const { calls: made, done, doneOf, refusedOf, errnos, transfers, faults } = user;
  return { calls: made, done, doneOf, refusedOf, errnos, transfers, faults };
}
