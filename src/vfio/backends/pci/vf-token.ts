import { guarded } from "../../../sim/access.js";
import type { Hazards } from "../../../sim/hazards.js";
import { Mutex } from "../../../sim/lock.js";
import type { Sim } from "../../../sim/sim.js";
import type { Step } from "../../../sim/step.js";
import { EACCES } from "../../../uapi/errno.js";

/**
 * What the user of a physical function and those of its virtual ones must both know (vfio.md 4.6): whoever drives the former
 * can see and change what the latter do. Tokens are 32 hexadecimal digits.
 */
export class VfToken {
  readonly lock: Mutex;
  private uuid: string;
  private readonly hazards: Hazards;
  /** Virtual functions that are open. */
  private users = 0;

  /** Until somebody sets it, nobody knows it. */
  constructor(sim: Sim) {
    this.hazards = sim.hazards;
    this.lock = new Mutex(sim, "vfio_pci.vf_token");
    this.uuid = Array.from({ length: 4 }, () => sim.random.next32().toString(16).padStart(8, "0")).join("");
  }

  /** The user of a virtual function: 0 or -EACCES. */
  *checkVirtual(token: string | null): Step<number> {
    yield* this.lock.lock();
    const isRight = token === this.uuid || (token === null && this.hazards.openWithoutToken);
    yield* this.lock.unlock();
    return isRight ? 0 : -EACCES;
  }

  /** The user of the physical one, who must know the token while others use it, and may set it otherwise. */
  *checkPhysical(token: string | null): Step<number> {
    yield* this.lock.lock();
    const isRefused = this.users > 0 && token !== this.uuid;
    if (this.users === 0 && token !== null) this.uuid = token;
    yield* this.lock.unlock();
    return isRefused ? -EACCES : 0;
  }

  *set(token: string): Step<void> {
    yield* this.lock.lock();
    this.uuid = token;
    yield* this.lock.unlock();
  }

  *use(by: 1 | -1): Step<void> {
    yield* this.lock.lock();
    this.users += by;
    yield* this.lock.unlock();
  }
}
guarded(VfToken, (token) => token.lock, "uuid", "users");
