import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import type { Arguments } from "./arguments.js";

/** An open descriptor of one process, with a typed call for each of its ioctls; results are the ioctl's, negative errnos included. */
export abstract class Descriptor {
  constructor(
    protected readonly process: Process,
    readonly fd: number,
    protected readonly args: Arguments,
  ) {}

  /** The ioctl whose structure lies in the first `size` bytes of the arguments. */
  protected *call(request: number, size: number): Step<number> {
    this.args.store(size);
    return yield* this.process.ioctl(this.fd, request, this.args.address);
  }
}
