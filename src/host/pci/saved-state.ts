import { Aer, CapId, Command, Exp, ExtCapId, Pci, PciX } from "../../arch/pci/config-registers.js";
import type { Step } from "../../sim/step.js";
import type { PciDevice } from "./pci-device.js";

/** A register that a reset clears and the kernel keeps, in the capability that has it. */
interface KeptRegister {
  readonly capability: number;
  readonly isExtended?: boolean;
  readonly offset: number;
  readonly size: 2 | 4;
  /** Only from this version of the capability on. */
  readonly version?: number;
  /** Bits that are not written back. */
  readonly acts?: number;
}

/** What of a function's capabilities pci_save_state keeps and a user of it may have changed (drivers/pci/pci.c, drivers/pci/pcie/aer.c). */
const KEPT: readonly KeptRegister[] = [
  { capability: CapId.EXPRESS, offset: Exp.DEVCTL, size: 2, acts: Exp.DEVCTL_FLR },
  { capability: CapId.EXPRESS, offset: Exp.LNKCTL, size: 2 },
  { capability: CapId.EXPRESS, offset: Exp.DEVCTL2, size: 2, version: 2 },
  { capability: CapId.PCIX, offset: PciX.COMMAND, size: 2 },
  ...[Aer.UNCOR_MASK, Aer.UNCOR_SEVERITY, Aer.COR_MASK, Aer.CONTROL].map((offset) => ({ capability: ExtCapId.AER, isExtended: true, offset, size: 4 }) as const),
];

const HEADER_WORDS = 16;
const VERSION = 0xf;

/** Where a register is that is kept, 0 where the function has none. */
function placeOf(pci: PciDevice, { capability, isExtended, offset, size, version }: KeptRegister): number {
  const { fn } = pci;
  const at = isExtended ? pci.extendedCapability(capability) : fn.capability(capability);
  if (at === 0 || at + offset + size > fn.configSize) return 0;
  return version !== undefined && (fn.peek(at + Exp.FLAGS, 2) & VERSION) < version ? 0 : at + offset;
}

/** The configuration of a function, to be put back after what clears it (pci_save_state, pci_restore_state). */
export class SavedState {
  private constructor(
    private readonly header: Int32Array,
    private readonly kept: Int32Array,
  ) {}

  static *of(pci: PciDevice): Step<SavedState> {
    const header = new Int32Array(HEADER_WORDS);
    for (let i = 0; i < HEADER_WORDS; i++) header[i] = yield* pci.readConfig(4 * i, 4);
    const kept = new Int32Array(KEPT.length);
    for (let i = 0; i < KEPT.length; i++) {
      const at = placeOf(pci, KEPT[i]);
      if (at !== 0) kept[i] = yield* pci.readConfig(at, KEPT[i].size);
    }
    return new SavedState(header, kept);
  }

  /**
   * BARs before the command register that lets them decode; then what the function's messages were.
   * @param holdsIntx DisINTx is set, whatever it was: the caller knows what has become of it meanwhile
   */
  *restore(pci: PciDevice, holdsIntx = false): Step<void> {
    const { header, kept } = this;
    for (let i = 0; i < KEPT.length; i++) {
      const at = placeOf(pci, KEPT[i]);
      if (at !== 0) yield* pci.writeConfig(at, KEPT[i].size, kept[i] & ~(KEPT[i].acts ?? 0));
    }
    for (let i = HEADER_WORDS - 1; i >= 0; i--) if (4 * i !== Pci.COMMAND) yield* pci.writeConfig(4 * i, 4, header[i]);
    yield* pci.writeConfig(Pci.COMMAND, 2, (header[1] & 0xffff) | (holdsIntx ? Command.INTX_DISABLE : 0));
    if (!pci.root.host.sim.hazards.resetWithoutMessages) yield* pci.vectors.restore();
  }
}
