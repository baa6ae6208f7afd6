import type { Step } from "../../sim/step.js";
import { KVM_GET_MP_STATE, KVM_INTERRUPT, kvm_interrupt, kvm_mp_state, KVM_SET_MP_STATE } from "../../uapi/kvm.js";
import * as x86 from "../../uapi/x86.js";
import { decodeVcpuEvents, integerOf } from "./chips.js";
import { answerOf, type NamedDescriptors } from "./descriptors.js";
import { MP_STATE, mpStateName } from "./names.js";
import type { X86Args } from "./op.js";
import type { GuestCommand } from "./system.js";
import type { X86Answer, X86Call } from "./vector.js";

const MOST_CPUID_ENTRIES = 256;
const X2APIC = 1 << 21;
/** CPUID's leaf of address widths, and the guest's physical one: the host's is its processor's, and would decide what IA32_APIC_BASE takes. */
const ADDRESS_SIZES = 0x8000_0008;
const PHYSICAL_BITS = 46;
const view = (size: number): DataView => new DataView(new ArrayBuffer(size));
const bytesOf = (of: DataView): Uint8Array => new Uint8Array(of.buffer);

/** Ioctls on a vCPU, and what its guest does. */
export class VcpuCalls {
  constructor(private readonly descriptors: NamedDescriptors) {}

  *perform({ op, args }: X86Call): Step<X86Answer | null> {
    switch (op) {
      case "guest":
        return yield* this.guest(args);
      case "guestInit":
        return answerOf(yield* this.descriptors.system.guestInit(this.descriptors.fd(args.vm ?? "vm"), this.descriptors.fd(args.vcpu ?? "vcpu0")));
      case "getApicBase":
        return yield* this.getApicBase(args);
      case "setApicBase":
        return yield* this.setApicBase(args);
      case "setCpuid":
        return yield* this.setCpuid(args);
      case "getMpState":
        return yield* this.getMpState(args);
      case "setMpState":
        return yield* this.setMpState(args);
      case "getVcpuEvents":
        return yield* this.getVcpuEvents(args);
      case "interrupt":
        return yield* this.interrupt(args);
      case "nmi":
        return answerOf(yield* this.onVcpu(args, x86.KVM_NMI, 0));
      default:
        return null;
    }
  }

  private *onVcpu(args: { readonly vcpu?: string | undefined }, request: number, argument: number | Uint8Array): Step<number> {
    return yield* this.descriptors.ioctl(args.vcpu ?? "vcpu0", request, argument);
  }

  private *guest(args: X86Args<"guest">): Step<X86Answer> {
    const { ret, events, value, ecx, edx } = yield* this.descriptors.system.guest(this.descriptors.fd(args.vcpu ?? "vcpu0"), commandOf(args));
    if (ret < 0) return answerOf(ret);
    return {
      ret,
      ...(events.length === 0 ? {} : { events: [...events] }),
      ...(value === undefined ? {} : { value }),
      ...(ecx === undefined ? {} : { ecx }),
      ...(edx === undefined ? {} : { edx }),
    };
  }

  private *getApicBase(args: X86Args<"getApicBase">): Step<X86Answer> {
    const sregs = view(x86.kvm_sregs.size);
    const result = yield* this.onVcpu(args, x86.KVM_GET_SREGS, bytesOf(sregs));
    return result < 0 ? answerOf(result) : { ret: result, value: integerOf(x86.kvm_sregs.apic_base.getBig(sregs)) };
  }

  private *setApicBase(args: X86Args<"setApicBase">): Step<X86Answer> {
    const sregs = view(x86.kvm_sregs.size);
    const result = yield* this.onVcpu(args, x86.KVM_GET_SREGS, bytesOf(sregs));
    if (result < 0) return answerOf(result);
    x86.kvm_sregs.apic_base.setBig(sregs, BigInt(args.value));
    return answerOf(yield* this.onVcpu(args, x86.KVM_SET_SREGS, bytesOf(sregs)));
  }

  private *setCpuid(args: X86Args<"setCpuid">): Step<X86Answer> {
    const { kvm_cpuid2, kvm_cpuid_entry2 } = x86;
    const cpuid = view(kvm_cpuid2.size + MOST_CPUID_ENTRIES * kvm_cpuid_entry2.size);
    kvm_cpuid2.nent.set(cpuid, MOST_CPUID_ENTRIES);
    const result = yield* this.descriptors.ioctl("kvm", x86.KVM_GET_SUPPORTED_CPUID, bytesOf(cpuid));
    if (result < 0) return answerOf(result);
    for (let i = 0; i < kvm_cpuid2.nent.get(cpuid); i++) {
      const at = kvm_cpuid2.size + i * kvm_cpuid_entry2.size;
      const leaf = kvm_cpuid_entry2.function.get(cpuid, at);
      if (leaf === ADDRESS_SIZES) kvm_cpuid_entry2.eax.set(cpuid, ((kvm_cpuid_entry2.eax.get(cpuid, at) & ~0xff) | PHYSICAL_BITS) >>> 0, at);
      if (leaf !== 1) continue;
      const ecx = kvm_cpuid_entry2.ecx.get(cpuid, at);
      kvm_cpuid_entry2.ecx.set(cpuid, (args.x2apic === 1 ? ecx | X2APIC : ecx & ~X2APIC) >>> 0, at);
    }
    return answerOf(yield* this.onVcpu(args, x86.KVM_SET_CPUID2, bytesOf(cpuid)));
  }

  private *getMpState(args: X86Args<"getMpState">): Step<X86Answer> {
    const state = view(kvm_mp_state.size);
    const result = yield* this.onVcpu(args, KVM_GET_MP_STATE, bytesOf(state));
    return result < 0 ? answerOf(result) : { ret: result, state: mpStateName(kvm_mp_state.mp_state.get(state)) };
  }

  private *setMpState(args: X86Args<"setMpState">): Step<X86Answer> {
    const state = view(kvm_mp_state.size);
    kvm_mp_state.mp_state.set(state, typeof args.state === "number" ? args.state : MP_STATE[args.state]);
    return answerOf(yield* this.onVcpu(args, KVM_SET_MP_STATE, bytesOf(state)));
  }

  private *getVcpuEvents(args: X86Args<"getVcpuEvents">): Step<X86Answer> {
    const events = view(x86.kvm_vcpu_events.size);
    const result = yield* this.onVcpu(args, x86.KVM_GET_VCPU_EVENTS, bytesOf(events));
    return result < 0 ? answerOf(result) : { ret: result, state: decodeVcpuEvents(events) };
  }

  private *interrupt(args: X86Args<"interrupt">): Step<X86Answer> {
    const interrupt = view(kvm_interrupt.size);
    kvm_interrupt.irq.set(interrupt, args.irq >>> 0);
    return answerOf(yield* this.onVcpu(args, KVM_INTERRUPT, bytesOf(interrupt)));
  }
}

function commandOf(args: X86Args<"guest">): GuestCommand {
  const value = BigInt(args.value ?? 0);
  return {
    action: args.do,
    address: args.addr ?? 0,
    port: args.port ?? 0,
    value: Number(value & 0xffff_ffffn),
    high: Number((value >> 32n) & 0xffff_ffffn),
  };
}
