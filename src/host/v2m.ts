import type { PhysicalGic } from "../arch/gic/contract.js";
import type { Step } from "../sim/step.js";
import { EINVAL, ENOSPC } from "../uapi/errno.js";
import { IrqData } from "./irq/chip.js";
import { Flow, type IrqDesc, type IrqTable } from "./irq/desc.js";
import type { GicDomain } from "./irq/domain.js";
import { setTrigger } from "./irq/request.js";
import { IrqType } from "./irq/types.js";
import { MsiChip, type MsiDevice, type MsiDomain } from "./msi.js";

const SETSPI_NS = 0x040;
const FIRST_SPI = 32;
/** First INTID that a frame may not reach: 1018 is the last usable. */
const END_SPI = 1019;
const XGENE = 0x06000170;
const GRAVITON = 0x0000013f;

/** What MSI_TYPER and MSI_IIDR of a frame say, or firmware in their place. */
export interface V2mFrameDescription {
  readonly address: number;
  readonly baseSpi: number;
  readonly spiCount: number;
  readonly iidr?: number;
}

/** One GICv2m frame (host-irq.md 2.7): a write of an INTID to SETSPI_NS is an edge on that SPI. */
export class V2mFrame {
  private readonly used: Uint8Array;
  /** Subtracted from the INTID in the data of a message. */
  private readonly dataOffset: number;

  private constructor(
    private readonly gic: PhysicalGic,
    readonly description: V2mFrameDescription,
  ) {
    this.used = new Uint8Array(description.spiCount);
    this.dataOffset = description.iidr === XGENE ? description.baseSpi : description.iidr === GRAVITON ? FIRST_SPI : 0;
  }

  /** -EINVAL where the SPIs are not the frame's to use. */
  static create(gic: PhysicalGic, description: V2mFrameDescription): V2mFrame | number {
    const { baseSpi, spiCount } = description;
    return baseSpi < FIRST_SPI || spiCount === 0 || baseSpi + spiCount > END_SPI ? -EINVAL : new V2mFrame(gic, description);
  }

  get doorbell(): number {
    return this.description.address + SETSPI_NS;
  }

  dataOf(intid: number): number {
    return intid - this.dataOffset;
  }

  /** Reserves `count` SPIs, rounded up to a power of two and aligned to it within the frame: the first, or -ENOSPC. */
  reserve(count: number): number {
    const size = powerOfTwo(count);
    for (let first = 0; first + size <= this.used.length; first += size) {
      if (this.used.subarray(first, first + size).includes(1)) continue;
      this.used.fill(1, first, first + size);
      return this.description.baseSpi + first;
    }
    return -ENOSPC;
  }

  release(intid: number, count: number): void {
    const first = intid - this.description.baseSpi;
    this.used.fill(0, first, first + powerOfTwo(count));
  }

  has(intid: number): boolean {
    return intid >= this.description.baseSpi && intid < this.description.baseSpi + this.description.spiCount;
  }

  /** SETSPI_NS, by any bus master. */
  *setSpi(data: number): Step<void> {
    const intid = data + this.dataOffset;
    if (!this.has(intid)) return;
    yield* this.gic.setSpi(intid, true);
    yield* this.gic.setSpi(intid, false);
  }
}

function powerOfTwo(count: number): number {
  let size = 1;
  while (size < count) size *= 2;
  return size;
}

/** The message-signalled interrupts of all frames of a machine. Not isolated: any bus master may write any doorbell. */
export class V2mDomain implements MsiDomain {
  readonly isIsolated: boolean = false;
  readonly allocatesDynamically: boolean = false;
  readonly multiMsiLimit: number = 32;
  /** By first irq: what {@link free} gives back. */
  private readonly blocks = new Map<number, { frame: V2mFrame; intid: number; count: number }>();

  constructor(
    private readonly table: IrqTable,
    private readonly root: GicDomain,
    private readonly frames: readonly V2mFrame[],
  ) {}

  *alloc(device: MsiDevice, first: number, count: number, irqs: number[]): Step<number> {
    for (let i = 0; i < this.frames.length; i++) {
      const frame = this.frames[i];
      const intid = frame.reserve(count);
      if (intid < 0) continue;
      const chip = new MsiChip(device, this.root.chip, frame.doorbell, (spi) => frame.dataOf(spi));
      for (let index = 0; index < count; index++) irqs.push((yield* this.connect(chip, first + index, intid + index)).irq);
      this.blocks.set(irqs[irqs.length - count], { frame, intid, count });
      return irqs[irqs.length - count];
    }
    return -ENOSPC;
  }

  private *connect(chip: MsiChip, index: number, intid: number): Step<IrqDesc> {
    const desc = this.table.allocate(chip, index, Flow.FASTEOI);
    desc.data.parent = new IrqData(desc, this.root.chip, intid);
    yield* desc.lock.lock();
    yield* setTrigger(desc, IrqType.EDGE_RISING);
    yield* desc.lock.unlock();
    this.root.attach(desc, intid);
    return desc;
  }

  *free(irqs: readonly number[]): Step<void> {
    const block = this.blocks.get(irqs[0]);
    if (block === undefined) return;
    this.blocks.delete(irqs[0]);
    for (let i = 0; i < irqs.length; i++) {
      this.root.detach(block.intid + i);
      this.table.free(irqs[i]);
    }
    block.frame.release(block.intid, block.count);
  }

  *write(_deviceId: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    const address = (addressHi >>> 0) * 0x1_0000_0000 + (addressLo >>> 0);
    for (let i = 0; i < this.frames.length; i++)
      if (address === this.frames[i].doorbell) {
        yield* this.frames[i].setSpi(data);
        return true;
      }
    return false;
  }
}
