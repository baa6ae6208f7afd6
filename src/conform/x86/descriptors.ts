import type { Step } from "../../sim/step.js";
import { errnoName } from "../../uapi/errno.js";
import type { X86System } from "./system.js";
import type { X86Answer } from "./vector.js";

/** The answer to a call that gave a number, or a negative errno. */
export const answerOf = (result: number): X86Answer => (result < 0 ? { errno: errnoName(result) } : { ret: result });

/** The descriptors of one vector by their names, and the ioctls on them. */
export class NamedDescriptors {
  private readonly named = new Map<string, number>();
  private readonly open: number[] = [];

  constructor(readonly system: X86System) {
    this.named.set("kvm", system.kvm);
  }

  /** What a name or a number stands for; -1 for a name that stands for nothing, or for what was closed. */
  fd(of: string | number): number {
    return typeof of === "number" ? of : (this.named.get(of) ?? -1);
  }

  /** A call that opens: its result gets the name. */
  adopt(fd: number, name: string): X86Answer {
    if (fd < 0) return answerOf(fd);
    this.keep(fd);
    this.named.set(name, fd);
    return { ret: "fd" };
  }

  /** Closed at the end. */
  keep(fd: number): void {
    this.open.push(fd);
  }

  *ioctl(of: string | number, request: number, argument: number | Uint8Array): Step<number> {
    return yield* this.system.ioctl(this.fd(of), request, argument);
  }

  *close(name: string): Step<number> {
    const fd = this.fd(name);
    const result = yield* this.system.close(fd);
    this.named.set(name, -1);
    const at = this.open.indexOf(fd);
    if (at >= 0) this.open.splice(at, 1);
    return result;
  }

  *end(): Step<void> {
    yield* this.system.end(this.open.toReversed());
  }
}
