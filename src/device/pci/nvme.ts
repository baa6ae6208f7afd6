import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { DmaPort } from "../dma-port.js";
import type { BarRegisters } from "./bar.js";
import { expressCapability, type MsixLayout, msixCapability, pmCapability } from "./capabilities.js";
import { type FunctionCore, PciFunction } from "./function.js";
import { CompletionQueue, SubmissionQueue } from "./nvme-queue.js";

/** Controller registers (NVM Express 1.4, 3.1); doorbells follow. */
export const NVME = { CAP: 0x00, VS: 0x08, INTMS: 0x0c, INTMC: 0x10, CC: 0x14, CSTS: 0x1c, AQA: 0x24, ASQ: 0x28, ACQ: 0x30, DOORBELLS: 0x1000 } as const;
/** Admin commands that make queues, and the one that tells about the controller. */
export const NVME_ADMIN = { DELETE_SQ: 0x00, CREATE_SQ: 0x01, DELETE_CQ: 0x04, CREATE_CQ: 0x05, IDENTIFY: 0x06 } as const;

const VERSION_1_4 = 0x0001_0400;
const MOST_ENTRIES = 0x3ff;
const CAP_LOW = MOST_ENTRIES | (1 << 16) | (0xff << 24);
const READY = 1;
const ENABLE = 1;
const QUEUE_ENTRIES = 0xfff;
const CQ_INTERRUPTS = 1 << 1;
const INVALID_OPCODE = 1;
const BAR_SIZE = 0x4000;
const TABLE_BAR = 4;

/**
 * An NVMe-class storage function: queues in memory, a message vector for each completion queue, or the pin. Every command
 * of an I/O queue succeeds as soon as it is fetched.
 */
export class NvmeController implements BarRegisters, FunctionCore {
  readonly fn: PciFunction;
  private readonly registers = new Map<number, number>();
  private submissions: (SubmissionQueue | null)[] = [];
  private completions: (CompletionQueue | null)[] = [];
  private interruptMask = 0;

  /**
   * @param name "0000:01:00.0"
   * @param vectors of MSI-X
   */
  constructor(
    name: string,
    requesterId: number,
    private readonly dma: DmaPort,
    vectors = 9,
  ) {
    const msix: MsixLayout = { vectors, tableBar: TABLE_BAR, tableOffset: 0, pbaBar: TABLE_BAR, pbaOffset: 0x2000 };
    const table = { index: TABLE_BAR, size: BAR_SIZE, kind: "mem32", registers: this } as const;
    this.fn = new PciFunction({
      name,
      requesterId,
      vendor: 0x8086,
      device: 0x5845,
      classCode: 0x01_0802,
      intxPin: 1,
      bars: [{ index: 0, size: BAR_SIZE, kind: "mem64", registers: this }, table],
      capabilities: [pmCapability({ noSoftReset: true }), expressCapability({ hasFlr: true }), msixCapability(msix)],
      msix,
    });
    this.fn.core = this;
  }

  *read(offset: number): Step<number> {
    yield writes(this, "NVMe");
    if (offset === NVME.CAP) return CAP_LOW;
    if (offset === NVME.VS) return VERSION_1_4;
    if (offset === NVME.INTMS || offset === NVME.INTMC) return this.interruptMask;
    if (offset === NVME.CSTS) return this.isEnabled ? READY : 0;
    return this.registers.get(offset) ?? 0;
  }

  *write(offset: number, _size: number, value: number): Step<void> {
    yield writes(this, "NVMe");
    if (offset >= NVME.DOORBELLS) yield* this.ring((offset - NVME.DOORBELLS) >> 2, value);
    else if (offset === NVME.INTMS) yield* this.setMask(this.interruptMask | value);
    else if (offset === NVME.INTMC) yield* this.setMask(this.interruptMask & ~value);
    else if (offset === NVME.CC) yield* this.configure(value);
    else this.registers.set(offset, value);
  }

  private get isEnabled(): boolean {
    return ((this.registers.get(NVME.CC) ?? 0) & ENABLE) !== 0;
  }

  /** Enabling makes the admin queues, on vector 0; disabling ends all. */
  private *configure(value: number): Step<void> {
    const wasEnabled = this.isEnabled;
    this.registers.set(NVME.CC, value);
    if (wasEnabled === this.isEnabled) return;
    if (wasEnabled) {
      yield* this.reset();
      return;
    }
    const sizes = this.registers.get(NVME.AQA) ?? 0;
    const completions = new CompletionQueue(0, this.wide(NVME.ACQ), ((sizes >> 16) & QUEUE_ENTRIES) + 1, 0);
    this.completions = [completions];
    this.submissions = [new SubmissionQueue(0, this.wide(NVME.ASQ), (sizes & QUEUE_ENTRIES) + 1, completions)];
  }

  private wide(offset: number): number {
    return ((this.registers.get(offset + 4) ?? 0) >>> 0) * 0x1_0000_0000 + ((this.registers.get(offset) ?? 0) >>> 0);
  }

  /** Even doorbells are tails of submission queues, odd ones heads of completion queues. */
  private *ring(doorbell: number, value: number): Step<void> {
    const id = doorbell >> 1;
    if (doorbell & 1) {
      const queue = this.completions[id] ?? null;
      if (queue !== null && value < queue.entries) queue.head = value;
      yield* this.drivePin();
      return;
    }
    const queue = this.submissions[id] ?? null;
    if (queue === null || value >= queue.entries) return;
    queue.tail = value;
    while (yield* queue.fetch(this.dma)) {
      const status = id === 0 ? this.admin(queue.command) : 0;
      yield* queue.completions.post(this.dma, queue, queue.command.getUint16(2, true), status);
      yield* this.tell(queue.completions);
    }
  }

  /** 0, or a generic status code. */
  private admin(command: DataView): number {
    const id = command.getUint16(40, true);
    const entries = command.getUint16(42, true) + 1;
    const base = command.getUint32(28, true) * 0x1_0000_0000 + command.getUint32(24, true);
    switch (command.getUint8(0)) {
      case NVME_ADMIN.CREATE_CQ:
        this.completions[id] = new CompletionQueue(id, base, entries, command.getUint16(44, true) & CQ_INTERRUPTS ? command.getUint16(46, true) : -1);
        return 0;
      case NVME_ADMIN.CREATE_SQ: {
        const completions = this.completions[command.getUint16(46, true)] ?? null;
        if (completions === null) return INVALID_OPCODE;
        this.submissions[id] = new SubmissionQueue(id, base, entries, completions);
        return 0;
      }
      case NVME_ADMIN.DELETE_SQ:
        this.submissions[id] = null;
        return 0;
      case NVME_ADMIN.DELETE_CQ:
        this.completions[id] = null;
        return 0;
      default:
        return command.getUint8(0) === NVME_ADMIN.IDENTIFY ? 0 : INVALID_OPCODE;
    }
  }

  /** One message per completion; without messages the pin is up while a queue has entries that nobody has seen. */
  private *tell(queue: CompletionQueue): Step<void> {
    if (queue.vector >= 0) yield* this.fn.messages.send(queue.vector);
    yield* this.drivePin();
  }

  private *setMask(mask: number): Step<void> {
    this.interruptMask = mask;
    yield* this.drivePin();
  }

  private *drivePin(): Step<void> {
    let isHigh = false;
    for (let i = 0; i < this.completions.length; i++) {
      const queue = this.completions[i];
      if (queue && queue.vector >= 0 && !queue.isEmpty && ((this.interruptMask >>> queue.vector) & 1) === 0) isHigh = true;
    }
    yield* this.fn.intx.setLevel(isHigh);
  }

  *reset(): Step<void> {
    yield writes(this, "NVMe");
    this.submissions = [];
    this.completions = [];
    this.interruptMask = 0;
    this.registers.clear();
    yield* this.fn.intx.setLevel(false);
  }
}
