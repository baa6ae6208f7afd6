import type { Step } from "../../sim/step.js";
import { EFD_NONBLOCK, EFD_SEMAPHORE } from "../../uapi/eventfd.js";
import { integerOf } from "./chips.js";
import { answerOf, type NamedDescriptors } from "./descriptors.js";
import type { X86Args } from "./op.js";
import type { X86Answer, X86Call } from "./vector.js";

const EVENTFD_FLAG: Readonly<Record<string, number>> = { EFD_NONBLOCK, EFD_SEMAPHORE };

/** Sum of flags given by name or number. */
export const flagsOf = (names: Readonly<Record<string, number>>, flags: readonly (string | number)[] = []): number =>
  flags.reduce<number>((sum, flag) => (sum | (typeof flag === "number" ? flag : names[flag])) >>> 0, 0);

/** Eventfds, and files that are none. */
export class DescriptorCalls {
  private readonly counter = new DataView(new ArrayBuffer(8));
  private readonly counterBytes = new Uint8Array(this.counter.buffer);

  constructor(private readonly descriptors: NamedDescriptors) {}

  *perform({ op, args }: X86Call): Step<X86Answer | null> {
    const { descriptors } = this;
    const { system } = descriptors;
    switch (op) {
      case "eventfd":
        return descriptors.adopt(yield* system.eventfd(args.init ?? 0, flagsOf(EVENTFD_FLAG, args.flags) | EFD_NONBLOCK), args.as);
      case "writeEventfd":
        this.counter.setBigUint64(0, BigInt(args.value ?? 1), true);
        return answerOf(yield* system.write(descriptors.fd(args.fd), this.counterBytes));
      case "readEventfd":
        return yield* this.read(args);
      case "dupFd":
        return descriptors.adopt(yield* system.dup(descriptors.fd(args.fd)), args.as);
      case "closeFd":
        return answerOf(yield* descriptors.close(args.fd));
      case "openFile":
        return descriptors.adopt(yield* system.openNull(), args.as);
      case "pipe":
        return yield* this.pipe(args.as);
      case "sleep":
        yield* system.sleep(args.ms);
        return { ret: 0 };
      default:
        return null;
    }
  }

  private *read(args: X86Args<"readEventfd">): Step<X86Answer> {
    const result = yield* this.descriptors.system.read(this.descriptors.fd(args.fd), this.counterBytes);
    return result < this.counterBytes.length ? answerOf(result) : { ret: result, value: integerOf(this.counter.getBigUint64(0, true)) };
  }

  private *pipe(name: string): Step<X86Answer> {
    const ends = yield* this.descriptors.system.pipe();
    if (typeof ends === "number") return answerOf(ends);
    this.descriptors.adopt(ends[0], `${name}.r`);
    this.descriptors.adopt(ends[1], `${name}.w`);
    return { ret: 0 };
  }
}
