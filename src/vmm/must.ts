import { errnoName } from "../uapi/errno.js";

/** The result of a call that a correct VMM makes on a correct host: a failure is a bug of virq's. */
export function must(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: ${errnoName(-result)}`);
  return result;
}
