import { Pm } from "../../../arch/pci/config-registers.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import { SavedState } from "../../../host/pci/saved-state.js";
import { reads } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";

/** The sleep of a function that nobody has open: D3hot, unless the module was told not to (vfio.md 2.3; 12.2, 14). Under the set's lock. */
export class IdlePower {
  private before: SavedState | null = null;
  /** It has virtual functions, or is about to. */
  private isHeld = false;

  constructor(
    private readonly pci: PciDevice,
    private readonly isDisabled: boolean,
  ) {}

  /** A function that has virtual ones stays awake for them: held before there is any, or a close would find none yet. */
  *hold(isHeld: boolean): Step<void> {
    this.isHeld = isHeld;
    if (isHeld) yield* this.wake();
  }

  *sleep(): Step<void> {
    yield reads(this.pci, "virtualFunctionsEnabled");
    if (this.isDisabled || this.isHeld || this.pci.virtualFunctionsEnabled > 0) return;
    this.before = yield* SavedState.of(this.pci);
    yield* this.pci.setPowerState(Pm.D3HOT);
  }

  /** True: it slept. Registers that it lost by sleeping are as before. */
  *wake(): Step<boolean> {
    const { before } = this;
    if (before === null) return false;
    this.before = null;
    if (yield* this.pci.setPowerState(0)) yield* before.restore(this.pci);
    return true;
  }
}
