import { describe, expect, it } from "vitest";
import { CapId, Command, Exp, Pci, Pm } from "../../arch/pci/config-registers.js";
import { run, type Step } from "../../sim/step.js";
import { E2BIG, EINVAL, EIO, ENODEV, ENOMSG, ENOTTY, EOVERFLOW, ESPIPE } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { ARGUMENTS } from "../../explore/stages/vfio-stage.js";
import { PciStage } from "../../explore/stages/pci-stage.js";
import { DmaLog, LoggedDma } from "./dma-log.js";
import { BROKEN, type MigrationDriver } from "./migration.js";
import { nextState } from "./states.js";

const [ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P] = [0, 1, 2, 3, 4, 5, 6, 7];
const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
const ALL = 7;
const BUFFER = 0x3000;

class Driver implements MigrationDriver {
  readonly visited: number[] = [];
  state = Uint8Array.of(1, 2, 3, 4);
  fails = 0;
  failsAt = -1;
  resets = 0;
  constructor(readonly flags: number) {}
  *step(_from: number, to: number): Step<number> {
    if (to === this.failsAt) return this.fails;
    this.visited.push(to);
    return 0;
  }
  *save(): Step<Uint8Array> {
    return this.state.slice();
  }
  *load(state: Uint8Array): Step<boolean> {
    if (state.length !== 4) return false;
    this.state = state.slice();
    return true;
  }
  *reset(): Step<void> {
    this.resets++;
  }
}

class MigrationStage extends PciStage {
  readonly d: number;
  readonly g: number;
  constructor(
    readonly variant: Driver,
    log: DmaLog | null = null,
  ) {
    super({ vfio: { migration: (pci) => (pci.name === "0000:06:00.0" ? variant : null), dmaLog: () => log } });
    const { d, g } = this.ready();
    this.d = d;
    this.g = g;
  }
  feature(flags: number, ...data: number[]): number {
    return this.call(this.d, uapi.VFIO_DEVICE_FEATURE, 8 + 4 * data.length, flags, ...data);
  }
  /** The result, and data_fd as it was written back. */
  set(state: number): [number, number] {
    return [this.feature(SET | 2, state, 77), this.answer(12) | 0];
  }
  get state(): number {
    expect(this.feature(GET | 2, 0, 0)).toBe(0);
    expect(this.answer(12) | 0).toBe(-1);
    return this.answer(8);
  }
  readFile(fd: number, length = 64): number[] | number {
    const count = run(this.process.read(fd, BUFFER, length));
    return count < 0 ? count : Array.from({ length: count }, (_, i) => this.process.memory.getU8(BUFFER + i));
  }
  writeFile(fd: number, bytes: number[]): number {
    bytes.forEach((byte, i) => this.process.memory.setU8(BUFFER + i, byte));
    return run(this.process.write(fd, BUFFER, bytes.length));
  }
  precopyInfo(fd: number): number[] | number {
    const result = this.call(fd, uapi.VFIO_MIG_GET_PRECOPY_INFO, 24, 0);
    return result < 0 ? result : [this.answer(8), this.answer(16)];
  }
}

const RECORD = [4, 0, 0, 0, 1, 2, 3, 4];

describe("15.2: the states of a migration", () => {
  it("are reached by the steps of the table, whatever of them the device has", () => {
    const walk = (flags: number, from: number, to: number): number[] | number => {
      const path: number[] = [];
      for (let at = from; at !== to; ) {
        at = nextState(flags, at, to);
        if (at < 0) return at;
        path.push(at);
      }
      return path;
    };
    expect(walk(1, RUNNING, STOP)).toEqual([STOP]);
    expect(walk(1, RUNNING, STOP_COPY)).toEqual([STOP, STOP_COPY]);
    expect(walk(ALL, RUNNING, STOP_COPY)).toEqual([RUNNING_P2P, STOP, STOP_COPY]);
    expect(walk(ALL, PRE_COPY, STOP_COPY)).toEqual([PRE_COPY_P2P, STOP_COPY]);
    expect(walk(5, PRE_COPY, STOP_COPY)).toEqual([STOP_COPY]);
    expect(walk(ALL, RESUMING, PRE_COPY)).toEqual([STOP, RUNNING_P2P, RUNNING, PRE_COPY]);
    expect(walk(ALL, STOP_COPY, PRE_COPY)).toBe(-EINVAL);
    expect(walk(1, STOP, RUNNING_P2P)).toBe(-EINVAL);
    expect(walk(ALL, ERROR, RUNNING)).toBe(-EINVAL);
  });

  it("all end, for every device", () => {
    for (let flags = 1; flags <= 7; flags += 2)
      for (let from = STOP; from <= PRE_COPY_P2P; from++)
        for (let to = STOP; to <= PRE_COPY_P2P; to++) {
          let [at, steps] = [from, 0];
          while (at !== to && at > 0 && nextState(flags, from, from) === from && steps++ < 8) at = nextState(flags, at, to);
          expect(steps).toBeLessThan(8);
        }
  });
});

describe("migration of a device", () => {
  it("vector 77: walks to STOP_COPY, and the last arc gives the file", () => {
    const world = new MigrationStage(new Driver(ALL));
    const [result, fd] = world.set(STOP_COPY);
    expect([result, world.variant.visited]).toEqual([0, [RUNNING_P2P, STOP, STOP_COPY]]);
    expect(fd).toBeGreaterThanOrEqual(0);
    expect(world.state).toBe(STOP_COPY);
  });

  it("vector 78: what cannot be reached is refused, and data_fd says that there is none", () => {
    const world = new MigrationStage(new Driver(ALL));
    world.set(STOP_COPY);
    for (const state of [PRE_COPY, ERROR, 8]) expect(world.set(state)).toEqual([-EINVAL, -1]);
    expect(world.state).toBe(STOP_COPY);
  });

  it("vector 79: the file ends with the state, and is of no use afterwards", () => {
    const world = new MigrationStage(new Driver(ALL));
    const [, fd] = world.set(STOP_COPY);
    expect(world.readFile(fd)).toEqual(RECORD);
    expect(world.readFile(fd)).toEqual([]);
    expect(world.set(STOP)).toEqual([0, -1]);
    expect(world.readFile(fd)).toBe(-ENODEV);
  });

  it("vector 80: the file that PRE_COPY gave goes on to the end of STOP_COPY", () => {
    const world = new MigrationStage(new Driver(ALL));
    const [, fd] = world.set(PRE_COPY);
    expect(world.precopyInfo(fd)).toEqual([8, 0]);
    expect(world.readFile(fd, 3)).toEqual([4, 0, 0]);
    expect(world.precopyInfo(fd)).toEqual([5, 0]);
    expect(world.readFile(fd)).toEqual([0, 1, 2, 3, 4]);
    expect(world.readFile(fd)).toBe(-ENOMSG);
    world.variant.state = Uint8Array.of(9, 9, 9, 9);
    expect(world.precopyInfo(fd)).toEqual([0, 8]);
    expect(world.set(STOP_COPY)).toEqual([0, -1]);
    expect(world.variant.visited).toEqual([PRE_COPY, PRE_COPY_P2P, STOP_COPY]);
    expect(world.precopyInfo(fd)).toBe(-EINVAL);
    expect(world.readFile(fd)).toEqual([4, 0, 0, 0, 9, 9, 9, 9]);
    expect(world.readFile(fd)).toEqual([]);
  });

  it("15.3: whatever resets the function has it run, and its files end: FLR, a hot reset, the close of the last file", () => {
    const resets: readonly ((world: MigrationStage) => number)[] = [
      (world) => world.configWrite(world.d, world.A.fn.capability(CapId.EXPRESS) + Exp.DEVCTL, 2, Exp.DEVCTL_FLR),
      (world) => world.call(world.d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, world.g),
      (world) => {
        world.close(world.d);
        return world.deviceFd(world.g, world.A.name) === world.d ? 0 : -1;
      },
    ];
    for (const reset of resets) {
      const world = new MigrationStage(new Driver(ALL));
      const [, fd] = world.set(PRE_COPY);
      expect(reset(world)).toBeGreaterThanOrEqual(0);
      expect([world.state, world.readFile(fd), world.variant.resets]).toEqual([RUNNING, -ENODEV, 1]);
    }
  });

  it("15.3: the files have no position: pread and pwrite are refused, and take nothing", () => {
    const world = new MigrationStage(new Driver(ALL));
    const { process } = world;
    const [, from] = world.set(STOP_COPY);
    expect([run(process.read(from, BUFFER, 4, 0)), world.readFile(from)]).toEqual([-ESPIPE, [4, 0, 0, 0, 1, 2, 3, 4]]);
    const [, to] = world.set(RESUMING);
    expect(run(process.write(to, BUFFER, 4, 0))).toBe(-ESPIPE);
  });

  it("vector 81: a reset runs again, from RESUMING too", () => {
    const world = new MigrationStage(new Driver(ALL));
    const [, fd] = world.set(RESUMING);
    expect(world.ioctl(world.d, uapi.VFIO_DEVICE_RESET, 0)).toBe(0);
    expect([world.state, world.writeFile(fd, [1])]).toEqual([RUNNING, -ENODEV]);
  });

  it("what is read at one side is the state at the other; what is not of the format is refused", () => {
    const source = new MigrationStage(new Driver(ALL));
    source.variant.state = Uint8Array.of(7, 7, 7, 7);
    const [, from] = source.set(STOP_COPY);
    const bytes = source.readFile(from);
    const world = new MigrationStage(new Driver(1));
    const [, to] = world.set(RESUMING);
    expect(world.writeFile(to, bytes as number[])).toBe(8);
    expect(world.set(RUNNING)).toEqual([0, -1]);
    expect([...world.variant.state]).toEqual([7, 7, 7, 7]);
    const [, again] = world.set(RESUMING);
    world.writeFile(again, [9, 0, 0, 0, 1]);
    expect([world.set(RUNNING), world.state]).toEqual([[-EINVAL, -1], RESUMING]);
  });

  it("an arc that fails leaves the device in the last state, one that breaks it in ERROR", () => {
    const world = new MigrationStage(new Driver(ALL));
    Object.assign(world.variant, { failsAt: STOP, fails: -EIO });
    expect([world.set(STOP_COPY), world.state]).toEqual([[-EIO, -1], RUNNING_P2P]);
    world.variant.fails = BROKEN - EIO;
    expect([world.set(STOP_COPY), world.state]).toEqual([[-EIO, -1], ERROR]);
    expect(world.set(RUNNING)).toEqual([-EINVAL, -1]);
    world.ioctl(world.d, uapi.VFIO_DEVICE_RESET, 0);
    expect(world.state).toBe(RUNNING);
  });

  it("15.3: in STOP_COPY the device can be read, not written", () => {
    const world = new MigrationStage(new Driver(ALL));
    world.configWrite(world.d, 4, 2, 2);
    world.set(STOP_COPY);
    expect([world.regionRead(world.d, 0, 4), world.regionWrite(world.d, 0, 4, 1)]).toEqual([0, -EIO]);
  });

  it("tells what it can, how much there is, and checks each feature in the order of 15.1", () => {
    const world = new MigrationStage(new Driver(3));
    expect(world.feature(GET | 1, 0, 0)).toBe(0);
    expect(world.answer(8)).toBe(3);
    expect(world.feature(GET | 9, 0, 0)).toBe(0);
    expect(world.answer(8)).toBe(4);
    expect(world.feature(PROBE | GET | SET | 2)).toBe(0);
    expect(world.feature(PROBE | SET | 1)).toBe(-EINVAL);
    expect(world.feature(2, 0, 0)).toBe(-EINVAL);
    expect(world.feature(SET | 2, 0)).toBe(-EINVAL);
    expect(world.feature(SET | 12)).toBe(-EINVAL);
    expect(world.feature(GET | 11)).toBe(-ENOTTY);
    expect(world.feature(SET | 6)).toBe(-ENOTTY);
  });

  it("a device without it says so for each of its features", () => {
    const world = new PciStage();
    const { d } = world.ready();
    for (const id of [1, 2, 6, 7, 8, 9, 12]) expect(world.call(d, uapi.VFIO_DEVICE_FEATURE, 64, GET | id)).toBe(-ENOTTY);
  });
});

describe("15.4: the log of a device's DMA", () => {
  const words = (value: number): number[] => [value >>> 0, Math.floor(value / 2 ** 32)];
  function logging(): { world: MigrationStage; log: DmaLog; start: (pageSize: number, ranges: [number, number][], count?: number) => number } {
    const world = new MigrationStage(new Driver(1), null);
    const log = new DmaLog(world.sim);
    const logged = new MigrationStage(new Driver(1), log);
    const start = (pageSize: number, ranges: [number, number][], count = ranges.length): number => {
      ranges.forEach(([iova, length], i) => [iova, length].forEach((value, k) => logged.process.memory.setU64(BUFFER + 16 * i + 8 * k, value)));
      return logged.feature(SET | 6, ...words(pageSize), count, 0, ...words(BUFFER));
    };
    return { world: logged, log, start };
  }
  const report = (world: MigrationStage, iova: number, length: number, pageSize = 4096): number[] | number => {
    for (let i = 0; i < 16; i++) world.process.memory.setU8(BUFFER + i, 0);
    const result = world.feature(GET | 8, ...words(iova), ...words(length), ...words(pageSize), ...words(BUFFER));
    return result < 0 ? result : Array.from({ length: 128 }, (_, i) => i).filter((i) => world.process.memory.getU8(BUFFER + (i >> 3)) & (1 << (i & 7)));
  };

  it("refuses ranges in their order", () => {
    const { start } = logging();
    expect(start(4096, [], 0)).toBe(-EINVAL);
    expect(start(4096, [[0, 4096]], 257)).toBe(-E2BIG);
    expect(start(4096, [[0x800, 4096]])).toBe(-EINVAL);
    expect(start(4096, [[0, 4096], [0, 8192]])).toBe(-EINVAL);
    expect(start(4096, [[0, 4096], [8192, 4096]])).toBe(0);
    expect(start(4096, [[0, 4096]])).toBe(-EINVAL);
  });

  it("has a bit for each granule written since the last report, inside of its ranges", () => {
    const { world, log, start } = logging();
    expect(report(world, 0, 0x4000)).toBe(-EINVAL);
    expect(start(65536, [[0x1_0000, 0x1_0000]])).toBe(0);
    expect(world.answer(8)).toBe(4096);
    const written: number[] = [];
    const port = new LoggedDma({ *read(): Step<boolean> { return true; }, *write(iova: number): Step<boolean> { written.push(iova); return iova !== 0x1_4000; } }, log);
    for (const iova of [0x1_0ff0, 0x1_3000, 0x1_4000, 0x2_0000, 0xf000]) run(port.write(iova, new Uint8Array(32)));
    run(port.read(0x1_8000, new Uint8Array(4)));
    expect(written).toEqual([0x1_0ff0, 0x1_1000, 0x1_3000, 0x1_4000, 0x2_0000, 0xf000]);
    expect(report(world, 0x1_0000, 0x1_0000)).toEqual([0, 1, 3]);
    // Before and behind the ranges, nothing was logged.
    expect([report(world, 0, 0x1_0000), report(world, 0x2_0000, 0x1_0000)]).toEqual([[], []]);
    expect(report(world, 0x1_0000, 0x1_0000)).toEqual([]);
    run(port.write(0x1_3000, new Uint8Array(1)));
    expect(report(world, 0x1_0000, 0x1_0000, 8192)).toEqual([1]);
    expect(report(world, 0, 0x1000, 2048)).toBe(-EINVAL);
    expect(report(world, 0, 0x1000, 12288)).toBe(-EINVAL);
    expect([world.feature(SET | 7), world.feature(SET | 7)]).toEqual([0, -EINVAL]);
  });

  it("of a write that faults it has what was written before, and it ends with the last file", () => {
    const { world, log, start } = logging();
    start(4096, [[0x1_0000, 0x1_0000]]);
    const port = new LoggedDma({ *read(): Step<boolean> { return true; }, *write(iova: number): Step<boolean> { return iova < 0x1_1000; } }, log);
    expect(run(port.write(0x1_0ffe, new Uint8Array(4)))).toBe(false);
    expect(report(world, 0x1_0000, 0x1_0000)).toEqual([0]);
    world.close(world.d);
    expect(world.deviceFd(world.g, world.A.name)).toBe(world.d);
    expect(report(world, 0x1_0000, 0x1_0000)).toBe(-EINVAL);
  });

  it("refuses a report past the end of the addresses", () => {
    const { world } = logging();
    expect(world.feature(GET | 8, 0, -1, 0, 2, 4096, 0, ...words(BUFFER))).toBe(-EOVERFLOW);
  });
});

describe("15.1: low power", () => {
  const enter = (world: PciStage, d: number, wakeup: number, reserved = 0): number =>
    world.call(d, uapi.VFIO_DEVICE_FEATURE, 16, SET | uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, wakeup, reserved);

  it("mappings fault while the device may sleep; accesses wake it; leaving twice is fine", () => {
    const world = new PciStage();
    const { d } = world.ready();
    world.configWrite(d, 4, 2, 2);
    const bar = run(world.process.mmap(d, 0x1000, 0));
    const area = world.process.memory.areaAt(bar);
    const load = (): number => run(area?.region?.read(0, 4) ?? noRegion());
    expect(load()).toBe(0);
    expect(world.call(d, uapi.VFIO_DEVICE_FEATURE, 8, SET | 3)).toBe(0);
    expect(world.call(d, uapi.VFIO_DEVICE_FEATURE, 8, SET | 3)).toBe(-EINVAL);
    expect(load).toThrow("does not decode");
    expect(world.regionRead(d, 0, 4)).toBe(0);
    for (let i = 0; i < 2; i++) expect(world.call(d, uapi.VFIO_DEVICE_FEATURE, 8, SET | 5)).toBe(0);
    expect(load()).toBe(0);
  });

  it("with an eventfd the first access tells, and ends it", () => {
    const world = new PciStage();
    const { d } = world.ready();
    const E = world.eventfd();
    expect(enter(world, d, E, 1)).toBe(-EINVAL);
    expect(enter(world, d, 99)).toBe(-9);
    expect(enter(world, d, E)).toBe(0);
    expect(world.take(E)).toBeLessThan(0);
    expect(world.configRead(d, 0, 2)).toBe(0x8086);
    expect(world.take(E)).toBe(1);
    expect(enter(world, d, E)).toBe(0);
    world.process.memory.setU32(ARGUMENTS, 0);
  });

  it.each([false, true])("a device that its user has put in D3hot is in D0 when the host suspends it, with what it loses in D3hot restored (%s)", (resetsInD3) => {
    const world = new PciStage({ resetsInD3 });
    const { d } = world.ready();
    const bar = world.A.fn.peek(Pci.BAR0, 4);
    world.configWrite(d, Pci.COMMAND, 2, Command.MEMORY);
    world.configWrite(d, world.A.fn.capability(CapId.PM) + Pm.PMCSR, 2, Pm.D3HOT);
    expect([world.A.fn.isInD3(), world.regionRead(d, 0, 4)]).toEqual([true, -EIO]);
    expect(world.call(d, uapi.VFIO_DEVICE_FEATURE, 8, SET | 3)).toBe(0);
    expect([world.A.fn.isInD3(), world.A.fn.peek(Pci.BAR0, 4), world.regionRead(d, 0, 4)]).toEqual([false, bar, 0]);
  });
});

function* noRegion(): Step<number> {
  return -1;
}
