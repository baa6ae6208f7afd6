import type { IommuGroup } from "../../host/iommu/group.js";
import type { Step } from "../../sim/step.js";
import type { IommufdContext } from "./context.js";

/** A device bound to an iommufd: its number there, and whether it has an address space. */
export class IommufdDevice {
  /** Changed under the context's lock. */
  isAttached = false;

  constructor(
    readonly context: IommufdContext,
    readonly group: IommuGroup,
    readonly id: number,
  ) {}

  *attach(id: number): Step<number> {
    return yield* this.context.attach(this, id);
  }

  *detach(): Step<void> {
    yield* this.context.detach(this);
  }

  *unbind(): Step<void> {
    yield* this.context.unbind(this);
  }
}
