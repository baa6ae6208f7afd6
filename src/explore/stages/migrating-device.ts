import type { DmaPort } from "../../device/dma-port.js";
import { reads, shared, writes } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Step } from "../../sim/step.js";
import * as uapi from "../../uapi/vfio.js";
import { DeviceGate } from "../../vfio/migration/device-gate.js";
import { DmaLog, LoggedDma } from "../../vfio/migration/dma-log.js";
import type { MigrationDriver } from "../../vfio/migration/migration.js";
import { MSI, PciStage } from "./pci-stage.js";

/** Where the device keeps its count in its guest's memory. */
export const COUNT = 0x4000;
/** Where calls have their arguments, and read what they are given. */
const ARGUMENT = 0x2000;
const BITMAP = 0x2800;
const DATA = 0x2c00;
const HEADER = 4;
const PAGE = 4096;

/** One byte of a guest's memory, which a device writes and whoever migrates the guest copies. */
export class GuestByte implements DmaPort {
  private value = 0;

  *read(_iova: number, into: Uint8Array): Step<boolean> {
    into[0] = yield* this.copy();
    return true;
  }

  *write(_iova: number, from: Uint8Array): Step<boolean> {
    yield writes(this, "value");
    this.value = from[0];
    return true;
  }

  *copy(): Step<number> {
    yield reads(this, "value");
    return this.value;
  }
}
shared(GuestByte, "value");

/**
 * A function that counts: each piece of work raises its count, writes it to the guest's memory, and sends a message. Its state
 * is the count, and a register that the user writes.
 */
class Counting implements MigrationDriver {
  readonly flags = uapi.VFIO_MIGRATION_STOP_COPY;
  readonly gate: DeviceGate;
  private count = 0;

  constructor(
    private readonly stage: MigratingStage,
    private readonly memory: DmaPort,
  ) {
    this.gate = new DeviceGate(stage.sim);
  }

  *work(): Step<void> {
    if (!(yield* this.gate.enter())) return;
    yield writes(this, "count");
    this.count++;
    yield* this.memory.write(COUNT, Uint8Array.of(this.count));
    yield* this.stage.A.fn.messages.send(0);
    yield* this.gate.leave();
  }

  *step(_from: number, to: number): Step<number> {
    if (to === uapi.VFIO_DEVICE_STATE_STOP) yield* this.gate.close();
    if (to === uapi.VFIO_DEVICE_STATE_RUNNING) yield* this.gate.open();
    return 0;
  }

  *save(): Step<Uint8Array> {
    yield reads(this, "count");
    const { count } = this;
    yield reads(this.stage.bar0, "registers");
    return Uint8Array.of(count, this.stage.bar0.values.get(0) ?? 0);
  }

  *load(state: Uint8Array): Step<boolean> {
    yield writes(this, "count");
    this.count = state[0];
    return state.length === 2;
  }

  *reset(): Step<void> {
    yield* this.gate.open();
  }
}
shared(Counting, "count");

/** vfio.md 24's R, whose function A counts, migrates, and logs its DMA: with an eventfd for its message, and bus mastering on. */
export class MigratingStage extends PciStage {
  readonly memory = new GuestByte();
  readonly counting: Counting;
  readonly d: number;
  readonly E: number;

  constructor(hazards?: Partial<Hazards>) {
    const parts: { counting: Counting | null; log: DmaLog | null } = { counting: null, log: null };
    super({ hazards, vfio: { migration: () => parts.counting, dmaLog: () => parts.log } });
    const log = (parts.log = new DmaLog(this.sim));
    this.counting = parts.counting = new Counting(this, new LoggedDma(this.memory, log));
    this.write(`/sys/bus/pci/drivers/vfio-pci/unbind`, this.A.name);
    this.bind(this.A.name);
    this.E = this.eventfd();
    this.d = this.messaging(MSI, this.E).d;
  }

  private *feature(flags: number, ...data: readonly number[]): Step<number> {
    [8 + 4 * data.length, flags, ...data].forEach((word, i) => this.process.memory.setU32(ARGUMENT + 4 * i, word));
    return yield* this.process.ioctl(this.d, uapi.VFIO_DEVICE_FEATURE, ARGUMENT);
  }

  /** MIG_DEVICE_STATE. */
  *goTo(state: number): Step<number> {
    return yield* this.feature(uapi.VFIO_DEVICE_FEATURE_SET | uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, state, 0);
  }

  /** What the file of the last {@link goTo} gives: the count, and the register. */
  *saved(): Step<readonly number[]> {
    const { memory } = this.process;
    const read = yield* this.process.read(memory.getU32(ARGUMENT + 12) | 0, DATA, PAGE - (DATA % PAGE));
    return [0, 1].map((i) => (read < HEADER + 2 ? -1 : memory.getU8(DATA + HEADER + i)));
  }

  /** The pages that {@link COUNT} is in are logged from here on. */
  *startLog(): Step<number> {
    this.process.memory.setU64(BITMAP, COUNT);
    this.process.memory.setU64(BITMAP + 8, PAGE);
    return yield* this.feature(uapi.VFIO_DEVICE_FEATURE_SET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START, PAGE, 0, 1, 0, BITMAP, 0);
  }

  /** Was {@link COUNT}'s page written since the last report? */
  *isDirty(): Step<boolean> {
    this.process.memory.setU64(BITMAP, 0);
    const done = yield* this.feature(uapi.VFIO_DEVICE_FEATURE_GET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, COUNT, 0, PAGE, 0, PAGE, 0, BITMAP, 0);
    return done === 0 && this.process.memory.getU32(BITMAP) === 1;
  }
}
