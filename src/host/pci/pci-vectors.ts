import { CapId, Command, logOfVectors, Msi, Msix, Pci } from "../../arch/pci/config-registers.js";
import { Cost } from "../../sim/cost.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENOSPC, ERANGE } from "../../uapi/errno.js";
import { irqActivate, irqDeactivate } from "../irq/state.js";
import type { Host } from "../machine.js";
import type { MsiDevice } from "../msi.js";
import type { PciDevice } from "./pci-device.js";

export type VectorKind = "none" | "msi" | "msix";

/**
 * The message-signalled vectors of a function (drivers/pci/msi): their host interrupts, and the capability or table they
 * are programmed in. Whoever owns the device serialises allocation; masks and messages come under the descriptors' locks.
 */
export class PciVectors implements MsiDevice {
  readonly deviceId: number;
  kind: VectorKind = "none";
  /** Host irq by vector; 0 where none is allocated. */
  private readonly irqs: number[] = [];
  /** The message last composed for each vector. */
  private readonly addresses: number[] = [];
  private readonly data: number[] = [];
  private readonly masked: boolean[] = [];

  constructor(
    private readonly host: Host,
    private readonly device: PciDevice,
  ) {
    this.deviceId = device.root.sourceOf(device.fn.requesterId);
  }

  get name(): string {
    return this.device.name;
  }

  /** MSI vectors that the capability offers; 0 without. */
  get msiCount(): number {
    const at = this.device.fn.capability(CapId.MSI);
    return at === 0 ? 0 : 1 << ((this.device.fn.peek(at + Msi.FLAGS, 2) & Msi.QMASK) >> Msi.QMASK_SHIFT);
  }

  get msixCount(): number {
    return this.device.fn.table?.vectors ?? 0;
  }

  get maxVectors(): number {
    return Math.max(this.msiCount, this.msixCount);
  }

  /** Single vectors can be added to those allocated (pci_msix_can_alloc_dyn). */
  get canAllocateDynamically(): boolean {
    return this.msixCount > 0 && (this.host.msi?.allocatesDynamically ?? false);
  }

  /** Host irq of a vector (pci_irq_vector), or -EINVAL. */
  irqOf(vector: number): number {
    const irq = this.irqs[vector] ?? 0;
    return irq === 0 ? -EINVAL : irq;
  }

  /** How many are allocated. */
  get allocated(): number {
    let count = 0;
    for (let i = 0; i < this.irqs.length; i++) if (this.irqs[i] !== 0) count++;
    return count;
  }

  /**
   * pci_alloc_irq_vectors of one kind: between `min` and `max` vectors, enabled in the function. How many were granted: as many
   * as the domain has left, and of MSI, whose data are consecutive, one where it has no such block. Or -ERANGE, -ENOSPC, -EINVAL,
   * or what activation answered: a doorbell's mapping, or an x86 host whose CPUs' vectors are all taken (-ENOSPC).
   */
  *allocate(kind: "msi" | "msix", min: number, max: number): Step<number> {
    if (max < min) return -ERANGE;
    const { msi } = this.host;
    const offered = kind === "msi" ? this.msiCount : this.msixCount;
    if (this.kind !== "none" || offered === 0) return -EINVAL;
    let count = Math.min(max, offered, kind === "msi" && msi !== null ? msi.multiMsiLimit : offered);
    if (msi === null || count < min) return -ENOSPC;
    this.kind = kind;
    let result = yield* this.connect(0, count);
    while (result > 0 && result >= min) {
      count = result;
      result = yield* this.connect(0, count);
    }
    if (result !== 0) {
      this.kind = "none";
      return result < 0 ? result : -ENOSPC;
    }
    yield* this.enable(count);
    return count;
  }

  /** pci_msix_alloc_irq_at: one vector more. 0 or a negative errno. */
  *allocateAt(vector: number): Step<number> {
    if (this.kind !== "msix" || !this.canAllocateDynamically || this.irqOf(vector) > 0) return -EINVAL;
    return yield* this.connect(vector, 1);
  }

  /**
   * Interrupts for `count` vectors from `first` on: a block for MSI, one by one for MSI-X. 0; how many could be had, all given back,
   * where the domain has fewer left (msi_handle_pci_fail); or a negative errno.
   */
  private *connect(first: number, count: number): Step<number> {
    const { msi } = this.host;
    if (msi === null) return -ENOSPC;
    const block = this.kind === "msi" ? count : 1;
    const given: number[] = [];
    while (this.irqs.length < first) this.irqs.push(0);
    for (let at = first; at < first + count; at += block) {
      let result = yield* msi.alloc(this, at, block, given);
      const isShort = result === -ENOSPC;
      const end = first + given.length;
      for (let i = at; i < end; i++) this.irqs[i] = given[i - first];
      for (let i = at; i < end && result >= 0; i++) result = yield* this.activate(this.irqs[i]);
      if (result < 0) {
        yield* this.disconnect(first, end);
        const left = block > 1 ? 1 : given.length;
        return isShort && left > 0 ? left : result;
      }
    }
    return 0;
  }

  /** Early, so that the message is there before the function may send (MSI_FLAG_ACTIVATE_EARLY). */
  private *activate(irq: number): Step<number> {
    const desc = this.host.desc(irq);
    if (desc === null) return -EINVAL;
    yield* desc.lock.lock();
    const result = yield* irqActivate(desc);
    yield* desc.lock.unlock();
    return result;
  }

  private *disconnect(first: number, end: number): Step<void> {
    const { msi } = this.host;
    for (let at = first; at < end; at++) {
      const desc = this.host.desc(this.irqs[at] ?? 0);
      if (desc === null) continue;
      yield* desc.lock.lock();
      yield* irqDeactivate(desc);
      yield* desc.lock.unlock();
    }
    if (msi === null) return;
    // Of a longer block before there are places left over, which have no interrupt.
    const block = this.kind === "msi" ? this.irqs.slice(first, end).filter((irq) => irq !== 0) : [0];
    if (this.kind === "msi") yield* msi.free(block);
    for (let at = first; at < end; at++) {
      block[0] = this.irqs[at];
      if (this.kind === "msix" && block[0] !== 0) yield* msi.free(block);
      this.irqs[at] = 0;
    }
  }

  /** The function's messages on, its pin off. */
  private *enable(count: number): Step<void> {
    const { device } = this;
    if (this.kind === "msi") {
      const at = device.fn.capability(CapId.MSI) + Msi.FLAGS;
      yield* device.setIntx(false);
      yield* device.updateConfig(at, Msi.QSIZE, (logOfVectors(count) << Msi.QSIZE_SHIFT) | Msi.ENABLE);
      return;
    }
    const at = device.fn.capability(CapId.MSIX) + Msix.FLAGS;
    yield* device.updateConfig(at, 0, Msix.ENABLE | Msix.MASK_ALL);
    yield* device.setIntx(false);
    yield* device.updateConfig(at, Msix.MASK_ALL, 0);
  }

  /** pci_free_irq_vectors: messages off, the pin free again. Handlers have been freed before. */
  *free(): Step<void> {
    const { device } = this;
    if (this.kind === "none") return;
    if (this.kind === "msi") yield* device.updateConfig(device.fn.capability(CapId.MSI) + Msi.FLAGS, Msi.ENABLE, 0);
    else yield* device.updateConfig(device.fn.capability(CapId.MSIX) + Msix.FLAGS, Msix.ENABLE, 0);
    yield* this.disconnect(0, this.irqs.length);
    yield* device.setIntx(true);
    this.kind = "none";
  }

  // --- called by the chip, under the descriptor's lock ---

  /** MSI has one message for all its vectors: the first one's. */
  *writeMessage(vector: number, address: number, data: number): Step<void> {
    this.addresses[vector] = address;
    this.data[vector] = data;
    if (this.kind === "msix") yield* this.writeEntry(vector);
    else if (vector === 0) yield* this.writeCapability();
  }

  private *writeCapability(): Step<void> {
    const { device } = this;
    const at = device.fn.capability(CapId.MSI);
    const is64 = (device.fn.peek(at + Msi.FLAGS, 2) & Msi.IS_64) !== 0;
    yield* device.writeConfig(at + Msi.ADDRESS_LO, 4, this.addresses[0] | 0);
    if (is64) yield* device.writeConfig(at + Msi.ADDRESS_HI, 4, Math.floor(this.addresses[0] / 0x1_0000_0000));
    yield* device.writeConfig(at + (is64 ? Msi.DATA_64 : Msi.DATA_32), 2, this.data[0]);
  }

  private *writeEntry(vector: number): Step<void> {
    yield* this.writeTable(vector, 0, this.addresses[vector] | 0);
    yield* this.writeTable(vector, 1, Math.floor(this.addresses[vector] / 0x1_0000_0000));
    yield* this.writeTable(vector, 2, this.data[vector]);
  }

  /** Through the BAR: memory decode must be on. */
  private *writeTable(vector: number, word: number, value: number): Step<void> {
    const { fn } = this.device;
    if (fn.msix === null) return;
    this.host.sim.charge(Cost.deviceAccess);
    yield* fn.writeBar(fn.msix.tableBar, fn.msix.tableOffset + Msix.ENTRY_SIZE * vector + 4 * word, 4, value);
  }

  *setMasked(vector: number, isMasked: boolean): Step<void> {
    this.masked[vector] = isMasked;
    if (this.kind === "msix") yield* this.writeTable(vector, 3, isMasked ? Msix.ENTRY_MASKED : 0);
    else yield* this.maskCapability(vector, isMasked);
  }

  private *maskCapability(vector: number, isMasked: boolean): Step<void> {
    const { device } = this;
    const at = device.fn.capability(CapId.MSI);
    const flags = device.fn.peek(at + Msi.FLAGS, 2);
    if (!(flags & Msi.IS_MASKABLE)) return;
    const register = at + (flags & Msi.IS_64 ? Msi.MASK_64 : Msi.MASK_32);
    const old = yield* device.readConfig(register, 4);
    yield* device.writeConfig(register, 4, isMasked ? old | (1 << vector) : old & ~(1 << vector));
  }

  /** Where its device's IOMMU maps the doorbell. Under a host driver the address is the doorbell's own. */
  *prepareDoorbell(address: number): Step<number> {
    const { group } = this.device;
    if (group === null) return address;
    const domain = yield* group.current();
    return typeof domain === "string" ? address : yield* domain.prepareDoorbell(address);
  }

  /** The cached message of a vector into the table once more (vfio.md 10.4, step 4). */
  *rewrite(vector: number): Step<void> {
    if (this.kind === "msix" && this.irqOf(vector) > 0) yield* this.writeEntry(vector);
  }

  /** pci_restore_msi_state: after a reset of the function. */
  *restore(): Step<void> {
    const { device } = this;
    if (this.kind === "none") return;
    if (this.kind === "msi") yield* this.writeCapability();
    yield* this.enable(this.kind === "msi" ? this.allocated : 0);
    if (this.kind !== "msix") return;
    // The table is in a BAR: decode has to be on, whatever the command register was.
    const command = yield* device.updateConfig(Pci.COMMAND, 0, Command.MEMORY);
    for (let vector = 0; vector < this.irqs.length; vector++) {
      if (!this.irqs[vector]) continue;
      yield* this.writeEntry(vector);
      yield* this.setMasked(vector, this.masked[vector] ?? true);
    }
    if (!(command & Command.MEMORY)) yield* device.updateConfig(Pci.COMMAND, Command.MEMORY, 0);
  }
}
