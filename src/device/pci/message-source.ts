import { CapId, Msi, Msix } from "../../arch/pci/config-registers.js";
import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { PciFunction } from "./function.js";
import type { MessagePort } from "./message-port.js";

/**
 * A function's messages (PCI 3.0, 6.8): one per event, as its MSI capability or MSI-X table says. A masked vector pends,
 * and is sent when it is unmasked; a function that masters no bus, or is in D3hot, sends nothing.
 */
export class MessageSource {
  port: MessagePort | null = null;
  /** Messages that left the function. */
  sent = 0;

  constructor(private readonly fn: PciFunction) {}

  /** MSI or MSI-X replaces the INTx pin. */
  get isEnabled(): boolean {
    return this.fn.isMsixEnabled || this.isMsiEnabled;
  }

  private get isMsiEnabled(): boolean {
    const at = this.fn.capability(CapId.MSI);
    return at !== 0 && (this.fn.peek(at + Msi.FLAGS, 2) & Msi.ENABLE) !== 0;
  }

  /** An event of vector `n`. While messages are off, nothing happens. */
  *send(n: number): Step<void> {
    yield writes(this.fn, "PCI");
    if (this.fn.isMsixEnabled) yield* this.sendMsix(n);
    else if (this.isMsiEnabled) yield* this.sendMsi(n);
  }

  private *sendMsix(n: number): Step<void> {
    const { table } = this.fn;
    if (table === null || n >= table.vectors) return;
    const isMasked = this.isFunctionMasked() || table.isMasked(n);
    table.setPending(n, isMasked);
    if (!isMasked) yield* this.emit(table.addressHi(n), table.addressLo(n), table.dataOf(n));
  }

  private isFunctionMasked(): boolean {
    return (this.fn.peek(this.fn.capability(CapId.MSIX) + Msix.FLAGS, 2) & Msix.MASK_ALL) !== 0;
  }

  /** 6.8.1.4: the low bits of the data are the vector; with fewer vectors granted than there are, several share one. */
  private *sendMsi(n: number): Step<void> {
    const { fn } = this;
    const at = fn.capability(CapId.MSI);
    const flags = fn.peek(at + Msi.FLAGS, 2);
    const granted = 1 << ((flags & Msi.QSIZE) >> Msi.QSIZE_SHIFT);
    const vector = n & (granted - 1);
    const is64 = (flags & Msi.IS_64) !== 0;
    if (flags & Msi.IS_MASKABLE) {
      const mask = at + (is64 ? Msi.MASK_64 : Msi.MASK_32);
      const isMasked = ((fn.peek(mask, 4) >>> vector) & 1) === 1;
      const pending = fn.peek(mask + 4, 4) & ~(1 << vector);
      fn.setRegister(mask + 4, 4, isMasked ? pending | (1 << vector) : pending);
      if (isMasked) return;
    }
    const high = is64 ? fn.peek(at + Msi.ADDRESS_HI, 4) | 0 : 0;
    const data = fn.peek(at + (is64 ? Msi.DATA_64 : Msi.DATA_32), 2);
    yield* this.emit(high, fn.peek(at + Msi.ADDRESS_LO, 4) | 0, (data & ~(granted - 1)) | vector);
  }

  private *emit(addressHi: number, addressLo: number, data: number): Step<void> {
    if (!this.fn.isMaster || this.fn.isInD3() || this.port === null) return;
    this.sent++;
    yield* this.port.message(this.fn.requesterId, addressHi, addressLo, data);
  }

  /** After a change of masks or enables: what pends and may go, goes. The caller has announced the function. */
  *flush(): Step<void> {
    if (this.fn.isMsixEnabled) yield* this.flushMsix();
    else if (this.isMsiEnabled) yield* this.flushMsi();
  }

  private *flushMsix(): Step<void> {
    const { table } = this.fn;
    if (table === null || table.pendingCount === 0 || this.isFunctionMasked()) return;
    for (let n = 0; n < table.vectors; n++) if (table.isPending(n) && !table.isMasked(n)) yield* this.send(n);
  }

  private *flushMsi(): Step<void> {
    const { fn } = this;
    const at = fn.capability(CapId.MSI);
    const flags = fn.peek(at + Msi.FLAGS, 2);
    if (!(flags & Msi.IS_MASKABLE)) return;
    const mask = at + (flags & Msi.IS_64 ? Msi.MASK_64 : Msi.MASK_32);
    for (let n = 0; n < 32; n++) {
      const ready = fn.peek(mask + 4, 4) & ~fn.peek(mask, 4);
      if ((ready >>> n) & 1) yield* this.send(n);
    }
  }
}
