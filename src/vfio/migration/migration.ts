import { guarded } from "../../sim/access.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import {
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_STOP_COPY,
} from "../../uapi/vfio.js";
import { type MigrationFile, ResumingFile, SavingFile } from "./data-file.js";
import { isSaving, nextState } from "./states.js";

/** What the driver of a device that migrates can do (vfio.md 15): arcs between states, and its state as bytes. */
export interface MigrationDriver {
  /** VFIO_MIGRATION_* */
  readonly flags: number;
  /**
   * One arc. 0, a negative errno with the device where it was, or anything below {@link BROKEN} for a device that is lost.
   * On the way to STOP_COPY all DMA in flight is done, and none begins; nor does an interrupt.
   */
  step(from: number, to: number): Step<number>;
  /** The device's state now. */
  save(): Step<Uint8Array>;
  /** False: no state of this device. */
  load(state: Uint8Array): Step<boolean>;
  /** The device was reset, or closed: it runs as it does then. */
  reset?(): Step<void>;
}

/** An arc that ends so leaves the device in ERROR; the errno is what is left. */
export const BROKEN = -1000;

/** Migration of one device, as its user drives it (vfio.md 15.2, 15.3). */
export class Migration {
  /** state_mutex. */
  readonly lock: Mutex;
  private state = VFIO_DEVICE_STATE_RUNNING;
  private file: MigrationFile | null = null;

  constructor(
    private readonly sim: Sim,
    private readonly driver: MigrationDriver,
  ) {
    this.lock = new Mutex(sim, "vfio_migration.state_mutex");
  }

  get flags(): number {
    return this.driver.flags;
  }

  *currentState(): Step<number> {
    yield* this.lock.lock();
    const { state } = this;
    yield* this.lock.unlock();
    return state;
  }

  /**
   * Walks to a state, arc by arc (15.3): 0 with the last arc's new data file, if it made one, in `made`; a negative errno
   * with the device in the last state that it reached.
   */
  *setState(target: number, made: { file: MigrationFile | null }): Step<number> {
    yield* this.lock.lock();
    let result = 0;
    made.file = null;
    while (this.state !== target && result === 0) {
      const next = nextState(this.flags, this.state, target);
      // A file that the user never sees could not be read: an arc that makes one is the last.
      if (next < 0 || made.file !== null) result = -EINVAL;
      else result = yield* this.enter(next, made);
    }
    yield* this.lock.unlock();
    return result;
  }

  /** Lock held. */
  private *enter(next: number, made: { file: MigrationFile | null }): Step<number> {
    const { state, file } = this;
    if (state === VFIO_DEVICE_STATE_RESUMING && file instanceof ResumingFile) {
      const received = file.received();
      if (received !== null && !(yield* this.driver.load(received))) return -EINVAL;
    }
    const result = yield* this.driver.step(state, next);
    if (result < BROKEN) {
      this.state = VFIO_DEVICE_STATE_ERROR;
      this.dropFile();
      return result - BROKEN;
    }
    if (result !== 0) return result;
    this.state = next;
    if (isSaving(next)) yield* this.save(next, made);
    else this.dropFile();
    if (next === VFIO_DEVICE_STATE_RESUMING) this.file = made.file = new ResumingFile(this);
    return 0;
  }

  /** The file that began with PRE_COPY goes on; without one a new one begins here. */
  private *save(next: number, made: { file: MigrationFile | null }): Step<void> {
    const saving = this.file instanceof SavingFile ? this.file : new SavingFile(this, this.driver);
    if (saving !== this.file) this.file = made.file = saving;
    yield* saving.fill(next === VFIO_DEVICE_STATE_STOP_COPY);
  }

  private dropFile(): void {
    if (!this.sim.hazards.keepDataFile) this.file?.disable();
    this.file = null;
  }

  /** A reset, and the end of the last file on the device: RUNNING from wherever, and the files are of no use any more. */
  *reset(): Step<void> {
    yield* this.lock.lock();
    yield* this.resetInWrite();
    yield* this.lock.unlock();
  }

  /** The same of a reset that the user wrote for, between {@link beginWrite} and {@link endWrite}. */
  *resetInWrite(): Step<void> {
    this.state = VFIO_DEVICE_STATE_RUNNING;
    this.dropFile();
    if (this.sim.hazards.resetOutsideState) {
      yield* this.lock.unlock();
      yield* this.lock.lock();
    }
    if (this.driver.reset !== undefined) yield* this.driver.reset();
  }

  /**
   * A write of the user's to the device: false in STOP_COPY, when it would be in no copy of the state (15.3, a choice of
   * virq). True: the state stays as it is until {@link endWrite}. Stores through a mapping and ioeventfds are the guest's,
   * which its VMM stops before it asks for STOP_COPY: as in the kernel, nothing holds them back here.
   */
  *beginWrite(): Step<boolean> {
    yield* this.lock.lock();
    const mayWrite = this.state !== VFIO_DEVICE_STATE_STOP_COPY;
    if (!mayWrite || this.sim.hazards.writeOutsideState) yield* this.lock.unlock();
    return mayWrite;
  }

  *endWrite(): Step<void> {
    if (!this.sim.hazards.writeOutsideState) yield* this.lock.unlock();
  }

  /** Bytes that STOP_COPY would give now. */
  *dataSize(): Step<number> {
    yield* this.lock.lock();
    const { length } = yield* this.driver.save();
    yield* this.lock.unlock();
    return length;
  }
}
guarded(Migration, (migration) => migration.lock, "state", "file");
