import type { IommuGroup } from "../../host/iommu/group.js";
import { Lifetime } from "../../sim/lifetime.js";
import type { Step } from "../../sim/step.js";
import type { IommufdContext } from "./context.js";

/** A device bound to an iommufd: its number there, and whether it has an address space. */
export class IommufdDevice {
  /** Changed under the context's lock. */
  isAttached = false;
  readonly lifetime: Lifetime;

  constructor(
    readonly context: IommufdContext,
    readonly group: IommuGroup,
    readonly id: number,
  ) {
    this.lifetime = new Lifetime("iommufd device", id);
  }

  *attach(id: number): Step<number> {
    this.lifetime.touch();
    return yield* this.context.attach(this, id);
  }

  *detach(): Step<void> {
    this.lifetime.touch();
    yield* this.context.detach(this);
  }

  *unbind(): Step<void> {
    this.lifetime.touch();
    yield* this.context.unbind(this);
  }
}
