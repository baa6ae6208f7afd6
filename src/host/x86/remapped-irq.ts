import { encodeIrte, type IrteSource, type RemappedIrte } from "../../arch/x86/irte.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import type { IrqChip, IrqData } from "../irq/chip.js";
import type { IrqDesc } from "../irq/desc.js";
import type { CpuList } from "../irq/types.js";
import type { InterruptRemapping } from "./intr-remapping.js";
import type { VectorIrq } from "./vector-domain.js";

/** Where an interrupt is posted to: what a hypervisor hands to {@link RemappedIrq.setVcpuAffinity}. */
export class PostedTarget {
  /**
   * @param vector the guest's
   * @param descriptor address of the vCPU's descriptor, from {@link InterruptRemapping.place}
   */
  constructor(
    readonly vector: number,
    readonly descriptor: number,
  ) {}
}

/** SQ: all bits of the requester id count. SVT: the id is verified. */
export function sourceOf(requesterId: number): IrteSource {
  return { id: requesterId, qualifier: 0, validation: 1 };
}

const FIXED: Omit<RemappedIrte, "destination" | "vector" | "isLevel" | "source"> = {
  kind: "remapped",
  mode: 0,
  isLogical: false,
  hasRedirectionHint: false,
  isFaultDisabled: false,
};

/**
 * One interrupt's remapping entry and vector (drivers/iommu/intel/irq_remapping.c): it sends the interrupt to its vector, or posts it
 * into a guest. Called under the descriptor's lock.
 */
export class RemappedIrq implements IrqChip {
  readonly name = "INTEL-IR";
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;
  private postedTo: PostedTarget | null = null;

  constructor(
    private readonly remapping: InterruptRemapping,
    readonly index: number,
    private readonly source: IrteSource,
    private readonly vectorIrq: VectorIrq,
    private readonly isLevel = false,
  ) {}

  *mask(): Step<void> {}

  *unmask(): Step<void> {}

  *ack(): Step<void> {
    yield* this.vectorIrq.ack();
  }

  *eoi(): Step<void> {
    yield* this.vectorIrq.ack();
  }

  *retrigger(): Step<boolean> {
    return yield* this.vectorIrq.retrigger();
  }

  /** Vector and entry, for the first time or after a shutdown. 0 or a negative errno. */
  *prepare(desc: IrqDesc): Step<number> {
    const cpu = yield* this.vectorIrq.assign(desc, desc.affinity);
    if (cpu >= 0) yield* this.write();
    return Math.min(cpu, 0);
  }

  *setAffinity(data: IrqData, mask: CpuList, online: CpuList, force: boolean): Step<number> {
    const cpu = yield* this.vectorIrq.assign(data.desc, force ? mask : mask.filter((each) => online.includes(each)));
    if (cpu >= 0) yield* this.write();
    return cpu;
  }

  /** A {@link PostedTarget}, or null: back to the host. */
  *setVcpuAffinity(_data: IrqData, info: object | null): Step<number> {
    if (info !== null && !(info instanceof PostedTarget)) return -EINVAL;
    this.postedTo = info;
    yield* this.write();
    return 0;
  }

  /** While it posts, the host's vector is not in the entry: a move waits in the vector until the guest is gone. */
  private *write(): Step<void> {
    const entry = yield* this.remapping.entry(this.index);
    const { postedTo, source } = this;
    if (postedTo !== null) {
      yield* entry.write(encodeIrte({ kind: "posted", ...postedTo, isUrgent: false, isFaultDisabled: false, source }));
      return;
    }
    const { destination, vector } = yield* this.vectorIrq.target();
    yield* entry.write(encodeIrte({ ...FIXED, destination, vector, isLevel: this.isLevel, source }));
  }

  /** Not present any more. */
  *free(): Step<void> {
    yield* this.vectorIrq.free();
    yield* this.remapping.free(this.index, 1);
  }
}
