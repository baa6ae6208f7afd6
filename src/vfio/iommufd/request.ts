import type { Process } from "../../host/process.js";
import type { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT } from "../../uapi/errno.js";
import type { IommufdContext } from "./context.js";

/** A request of /dev/iommu, its structure copied in; what is beyond the caller's size is 0. The context's lock is held. */
export type Handler = (context: IommufdContext, process: Process, argument: UserArgument, address: number) => Step<number>;

/** Every structure begins with the size that its caller gave: so much goes back. 0 or -EFAULT. */
export function respond(process: Process, argument: UserArgument, address: number): number {
  const given = argument.view.getUint32(0, true);
  return argument.copyOut(process, address, Math.min(given, argument.size)) ? 0 : -EFAULT;
}
