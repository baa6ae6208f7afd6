import { eventfdContextOf, type EventfdContext } from "../../host/eventfd.js";
import { Arm64 } from "../../kvm/arm64/arm64.js";
import { KvmFile } from "../../kvm/system.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { KVM_CREATE_DEVICE, KVM_CREATE_VM, KVM_DEV_TYPE_VFIO, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, KVM_SET_DEVICE_ATTR } from "../../uapi/kvm.js";
import { VFIO_DEVICE_SET_IRQS } from "../../uapi/vfio.js";
import { BareHost } from "./kvm-machine.js";
import { Thread } from "./threads.js";
import type { VfioStage } from "./vfio-stage.js";

// Contexts of programs with VFIO.

const FIRST_ARGUMENT = 0x2000;
const BYTES = 0x100;

/** What a SET_IRQS asks for. */
export interface IrqRequest {
  readonly index?: number;
  readonly flags: number;
  readonly start?: number;
  /** Default 1. */
  readonly count?: number;
  readonly fds?: readonly number[];
}

/** The SET_IRQS calls of one program: each has its argument in a place of its own, for threads run at once. */
export class IrqCalls {
  private next = FIRST_ARGUMENT;

  constructor(
    private readonly stage: VfioStage,
    private readonly device: number,
  ) {}

  /** A thread in SET_IRQS. */
  thread(request: IrqRequest): Thread {
    return new Thread("SET_IRQS", "user", this.prepare(request));
  }

  /** The call, its argument written. */
  prepare({ index = 0, flags, start = 0, count = 1, fds = [] }: IrqRequest): () => Step<number> {
    const at = this.next;
    this.next += BYTES;
    const { process } = this.stage;
    [20 + 4 * fds.length, flags, index, start, count, ...fds].forEach((word, i) => process.memory.setU32(at + 4 * i, word >>> 0));
    return () => process.ioctl(this.device, VFIO_DEVICE_SET_IRQS, at);
  }
}

export function contextOf(stage: VfioStage, fd: number): EventfdContext {
  const context = eventfdContextOf(stage.process, fd);
  if (typeof context === "number") throw new Error(`descriptor ${fd} is no eventfd`);
  return context;
}

/** The device of a fresh VM that tells KVM of VFIO's files (vfio.md 5.6), and a call that tells it of one, its argument written. */
export function tracking(stage: VfioStage, fd: number): { readonly device: number; readonly add: () => Step<number> } {
  const { process } = stage;
  const kvm = process.install(new KvmFile(new BareHost(stage.sim), new Arm64({ cpus: 1, gicVersion: 3 })));
  stage.call(stage.ioctl(kvm, KVM_CREATE_VM, 0), KVM_CREATE_DEVICE, KVM_DEV_TYPE_VFIO, 0, 0);
  const device = stage.answer(4);
  process.memory.setU32(FIRST_ARGUMENT + BYTES, fd);
  [0, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, 0, FIRST_ARGUMENT + BYTES, 0].forEach((word, i) => process.memory.setU32(FIRST_ARGUMENT + 4 * i, word));
  return { device, add: () => process.ioctl(device, KVM_SET_DEVICE_ATTR, FIRST_ARGUMENT) };
}

/** A resampler, on CPU 1. */
export function signalling(stage: VfioStage, fd: number): Thread {
  const context = contextOf(stage, fd);
  return new Thread("signal", "user", () => context.signal(), 1);
}

/** A thread in a call after whose return an eventfd receives nothing more. */
export class QuietAfter extends Thread {
  private atReturn = -1;

  constructor(
    name: string,
    private readonly context: EventfdContext,
    call: () => Step<number>,
  ) {
    super(name, "user", () => this.callAndLook(call));
  }

  private *callAndLook(call: () => Step<number>): Step<number> {
    const result = yield* call();
    yield reads(this.context, "count");
    this.atReturn = Number(this.context.count);
    return result;
  }

  /** At the end: has it? */
  get isBroken(): boolean {
    return Number(this.context.count) !== this.atReturn;
  }
}

/** Sets the levels of an input one after the other. */
export function* setLevels(set: (isHigh: boolean) => Step<void>, ...values: readonly boolean[]): Step<void> {
  for (let i = 0; i < values.length; i++) yield* set(values[i]);
}
