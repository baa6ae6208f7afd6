import type { Step } from "../sim/step.js";
import { KVM_IOAPIC_NUM_PINS } from "../uapi/x86.js";
import type { GsiRoute } from "./kvm.js";
import type { MmioHandler } from "./vmm-core.js";
import type { X86Vmm } from "./x86-vmm.js";

const IOREGSEL = 0x00;
const IOWIN = 0x10;
const FIRST_ENTRY = 0x10;
const VERSION = 0x0017_0020;
const MASKED = 1 << 16;
const LEVEL = 1 << 15;
const LOGICAL = 1 << 11;
const MODE_AND_VECTOR = 0x7ff;
const MSI_BASE = 0xfee0_0000;
const COUNTER_BYTES = 8;

/**
 * The IOAPIC of a VMM with a split irqchip, as far as interrupts that come by irqfds need it (QEMU's hw/intc/ioapic.c and
 * accel/kvm): each unmasked entry is a GSI's message route in KVM, and the end of a level interrupt, which KVM reports by
 * its vector, signals the resamplefds of the pins that have it.
 */
export class UserIoApic implements MmioHandler {
  readonly start = 0xfec0_0000;
  readonly size = 0x1000;
  private select = 0;
  private readonly low = new Int32Array(KVM_IOAPIC_NUM_PINS).fill(MASKED);
  private readonly high = new Int32Array(KVM_IOAPIC_NUM_PINS);
  /** By pin: an eventfd of the VMM, -1 for none. */
  private readonly resamplefds = new Int32Array(KVM_IOAPIC_NUM_PINS).fill(-1);

  constructor(private readonly vmm: X86Vmm) {}

  /** The eventfd to signal at the end of each interrupt of a pin. */
  resample(pin: number, eventfd: number): void {
    this.resamplefds[pin] = eventfd;
  }

  *access(offset: number, _size: number, isWrite: boolean, value: number): Step<number> {
    if (offset === IOREGSEL) {
      if (isWrite) this.select = value & 0xff;
      return this.select;
    }
    if (offset !== IOWIN) return 0;
    const entry = this.select - FIRST_ENTRY;
    if (entry < 0 || entry >= 2 * KVM_IOAPIC_NUM_PINS) return this.select === 1 ? VERSION : 0;
    const half = entry & 1 ? this.high : this.low;
    if (!isWrite) return half[entry >> 1] >>> 0;
    half[entry >> 1] = value;
    yield* this.vmm.updateRoutes();
    return value;
  }

  /** The unmasked entries as messages: a level one's data says so, which makes KVM report its end. */
  routes(): GsiRoute[] {
    const routes: GsiRoute[] = [];
    for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
      const low = this.low[pin];
      if (low & MASKED) continue;
      const address = (MSI_BASE | ((this.high[pin] >>> 24) << 12) | (low & LOGICAL ? 1 << 2 : 0)) >>> 0;
      routes.push({ gsi: pin, message: { address, data: (low & MODE_AND_VECTOR) | (low & LEVEL) } });
    }
    return routes;
  }

  /** KVM_EXIT_IOAPIC_EOI. */
  *endOfInterrupt(vector: number): Step<void> {
    for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
      const isMine = (this.low[pin] & 0xff) === vector && (this.low[pin] & (LEVEL | MASKED)) === LEVEL;
      if (!isMine || this.resamplefds[pin] < 0) continue;
      const { process, args } = this.vmm;
      args.view.setUint32(0, 1, true);
      args.view.setUint32(4, 0, true);
      args.store(COUNTER_BYTES);
      yield* process.write(this.resamplefds[pin], args.address, COUNTER_BYTES);
    }
  }
}
