import type { Step } from "../../sim/step.js";
import type { IrqDesc, IrqTable } from "./desc.js";
import { setTrigger } from "./request.js";

// irq_create_fwspec_mapping, as far as the root domains share it: an input's trigger type is settled by who maps it first.

/** The irq of an input that is mapped already, 0 where that was with another trigger type. */
export function* mappedAs(desc: IrqDesc, type: number): Step<number> {
  yield* desc.lock.lock();
  const isSame = desc.type === type;
  yield* desc.lock.unlock();
  return isSame ? desc.irq : 0;
}

/** Gives a fresh descriptor its trigger type: true, or false where its chip does not have that; the descriptor is gone then. */
export function* takesTrigger(table: IrqTable, desc: IrqDesc, type: number): Step<boolean> {
  yield* desc.lock.lock();
  const error = yield* setTrigger(desc, type);
  yield* desc.lock.unlock();
  if (error !== 0) table.free(desc.irq);
  return error === 0;
}
