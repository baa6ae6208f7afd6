import type { Step } from "../sim/step.js";
import { KVM_CAP_IRQ_XICS, KVM_ENABLE_CAP, KVM_GET_DEVICE_ATTR, KVM_GET_ONE_REG, kvm_device_attr, kvm_enable_cap, kvm_one_reg, KVM_PPC_RTAS_DEFINE_TOKEN, kvm_rtas_token_args, KVM_SET_DEVICE_ATTR, KVM_SET_ONE_REG } from "../uapi/kvm.js";
import { KVM_DEV_XICS_GRP_SOURCES, KVM_GET_REGS, KVM_REG_PPC_ICP_STATE_HI, KVM_REG_PPC_ICP_STATE_LO, kvm_regs, KVM_SET_REGS } from "../uapi/powerpc.js";
import { Descriptor } from "./descriptor.js";

/** A word of 64 bits in halves, as int32: of a source, or of a presentation controller (xics.md 6). */
export interface Word64 {
  readonly hi: number;
  readonly lo: number;
}

/** Where a request's payload lies, behind its structure. */
const PAYLOAD = 64;

/** A VM on POWER, beside what every VM has. */
export class PpcKvmVm extends Descriptor {
  /** KVM_PPC_RTAS_DEFINE_TOKEN: the kernel serves guests' calls of `name`, by this token. */
  *defineToken(name: string, token: number): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_rtas_token_args.size);
    const bytes = kvm_rtas_token_args.name_.slice(view);
    for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
    kvm_rtas_token_args.token.setNumber(view, token);
    return yield* this.call(KVM_PPC_RTAS_DEFINE_TOKEN, kvm_rtas_token_args.size);
  }
}

/** A vCPU on POWER. */
export class PpcKvmVcpu extends Descriptor {
  /** KVM_CAP_IRQ_XICS: a presentation controller, by the number that interrupts are sent to. */
  *connect(device: number, server: number): Step<number> {
    const { view } = this.args;
    this.args.clear(kvm_enable_cap.size);
    kvm_enable_cap.cap.set(view, KVM_CAP_IRQ_XICS);
    kvm_enable_cap.args[0].setNumber(view, device);
    kvm_enable_cap.args[1].setNumber(view, server);
    return yield* this.call(KVM_ENABLE_CAP, kvm_enable_cap.size);
  }

  /** KVM_REG_PPC_ICP_STATE, or a negative errno. */
  *icp(): Step<Word64 | number> {
    this.layOutIcp();
    const result = yield* this.call(KVM_GET_ONE_REG, PAYLOAD);
    if (result < 0) return result;
    this.args.load(PAYLOAD + 8);
    return { lo: this.args.view.getInt32(PAYLOAD, true), hi: this.args.view.getInt32(PAYLOAD + 4, true) };
  }

  *setIcp({ hi, lo }: Word64): Step<number> {
    this.layOutIcp();
    this.args.view.setInt32(PAYLOAD, lo, true);
    this.args.view.setInt32(PAYLOAD + 4, hi, true);
    return yield* this.call(KVM_SET_ONE_REG, PAYLOAD + 8);
  }

  private layOutIcp(): void {
    const { view, address } = this.args;
    kvm_one_reg.id.setHalves(view, KVM_REG_PPC_ICP_STATE_LO, KVM_REG_PPC_ICP_STATE_HI);
    kvm_one_reg.addr.setNumber(view, address + PAYLOAD);
  }

  /** KVM_GET_REGS: struct kvm_regs, or a negative errno. */
  *regs(): Step<Uint8Array | number> {
    const result = yield* this.process.ioctl(this.fd, KVM_GET_REGS, this.args.address);
    if (result < 0) return result;
    this.args.load(kvm_regs.size);
    return new Uint8Array(this.args.view.buffer.slice(0, kvm_regs.size));
  }

  *setRegs(regs: Uint8Array): Step<number> {
    new Uint8Array(this.args.view.buffer).set(regs);
    return yield* this.call(KVM_SET_REGS, kvm_regs.size);
  }

  /** Registers of a vCPU that begins at `pc`, external interrupts disabled. */
  *begin(pc: number): Step<number> {
    this.args.clear(kvm_regs.size);
    kvm_regs.pc.setNumber(this.args.view, pc);
    return yield* this.call(KVM_SET_REGS, kvm_regs.size);
  }
}

/** A XICS device: the words of its sources. */
export class XicsFile extends Descriptor {
  /** The word, or a negative errno. */
  *source(irq: number): Step<Word64 | number> {
    this.layOut(irq);
    const result = yield* this.call(KVM_GET_DEVICE_ATTR, PAYLOAD);
    if (result < 0) return result;
    this.args.load(PAYLOAD + 8);
    return { lo: this.args.view.getInt32(PAYLOAD, true), hi: this.args.view.getInt32(PAYLOAD + 4, true) };
  }

  *setSource(irq: number, { hi, lo }: Word64): Step<number> {
    this.layOut(irq);
    this.args.view.setInt32(PAYLOAD, lo, true);
    this.args.view.setInt32(PAYLOAD + 4, hi, true);
    return yield* this.call(KVM_SET_DEVICE_ATTR, PAYLOAD + 8);
  }

  private layOut(irq: number): void {
    const { view, address } = this.args;
    this.args.clear(PAYLOAD);
    kvm_device_attr.group.set(view, KVM_DEV_XICS_GRP_SOURCES);
    kvm_device_attr.attr.setNumber(view, irq);
    kvm_device_attr.addr.setNumber(view, address + PAYLOAD);
  }
}
