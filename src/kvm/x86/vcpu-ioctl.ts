import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EEXIST, EFAULT, EINVAL, ENXIO } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import { signalMask } from "../signal-mask.js";
import { VcpuDescriptor } from "../vcpu-descriptor.js";
import { vcpuAttr } from "./attr.js";
import { setCpuid } from "./cpuid.js";
import { setTprReporting, setVapicAddress } from "./vapic.js";
import { getVcpuEvents, setVcpuEvents } from "./vcpu-events.js";
import { getMsrs, getRegs, getSregs, setMsrs, setRegs, setSregs } from "./vcpu-state.js";
import { type VcpuX86, X86Request } from "./vcpu.js";

const MP_STATE = new UserArgument(K.kvm_mp_state.size);
const INTERRUPT = new UserArgument(K.kvm_interrupt.size);
/** Hyper-V's and those of other processors: a vCPU has none of them. */
const ENABLE_CAP = new UserArgument(K.kvm_enable_cap.size);
const NR_INTERRUPTS = 256;

/** The descriptor of an x86 vCPU. */
export class X86VcpuFile extends VcpuDescriptor {
  constructor(override readonly vcpu: VcpuX86) {
    super();
  }

  protected override *dispatch(process: Process, request: number, argument: number): Step<number> {
    return yield* dispatch(this.vcpu, process, request, argument);
  }
}

function* dispatch(vcpu: VcpuX86, process: Process, request: number, argument: number): Step<number> {
  switch (request) {
    case K.KVM_GET_MP_STATE:
      return yield* getMpState(vcpu, process, argument);
    case K.KVM_SET_MP_STATE:
      return yield* setMpState(vcpu, process, argument);
    case K.KVM_INTERRUPT:
      return yield* interrupt(vcpu, process, argument);
    case X.KVM_NMI:
      yield* vcpu.pendNmi();
      return 0;
    case K.KVM_GET_LAPIC:
      return yield* getLapic(vcpu, process, argument);
    case K.KVM_SET_LAPIC:
      return yield* setLapic(vcpu, process, argument);
    case X.KVM_GET_VCPU_EVENTS:
      return yield* getVcpuEvents(vcpu, process, argument);
    case X.KVM_SET_VCPU_EVENTS:
      return yield* setVcpuEvents(vcpu, process, argument);
    case X.KVM_GET_REGS:
      return getRegs(vcpu, process, argument);
    case X.KVM_SET_REGS:
      return yield* setRegs(vcpu, process, argument);
    case X.KVM_GET_SREGS:
      return getSregs(vcpu, process, argument);
    case X.KVM_SET_SREGS:
      return yield* setSregs(vcpu, process, argument);
    case X.KVM_GET_MSRS:
      return yield* getMsrs(vcpu, process, argument);
    case X.KVM_SET_MSRS:
      return yield* setMsrs(vcpu, process, argument);
    case X.KVM_SET_CPUID2:
      return yield* setCpuid(vcpu, process, argument);
    case X.KVM_TPR_ACCESS_REPORTING:
      return setTprReporting(vcpu, process, argument);
    case X.KVM_SET_VAPIC_ADDR:
      return yield* setVapicAddress(vcpu, process, argument);
    case K.KVM_HAS_DEVICE_ATTR:
    case K.KVM_GET_DEVICE_ATTR:
    case K.KVM_SET_DEVICE_ATTR:
      return vcpuAttr(vcpu, process, request, argument);
    case K.KVM_ENABLE_CAP:
      return ENABLE_CAP.copyIn(process, argument) ? -EINVAL : -EFAULT;
    case K.KVM_SET_SIGNAL_MASK:
      return signalMask(vcpu, process, argument);
    default:
      return -EINVAL;
  }
}

/** INIT and start-up that wait are acted on first. */
function* getMpState(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  yield* vcpu.acceptInitEvents();
  yield reads(vcpu, "isUnhalted");
  const state = vcpu.mpState === K.KVM_MP_STATE_HALTED && vcpu.isUnhalted ? K.KVM_MP_STATE_RUNNABLE : vcpu.mpState;
  K.kvm_mp_state.mp_state.set(MP_STATE.view, state);
  return MP_STATE.copyOut(process, argument) ? 0 : -EFAULT;
}

function* setMpState(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (!MP_STATE.copyIn(process, argument)) return -EFAULT;
  const state = K.kvm_mp_state.mp_state.get(MP_STATE.view);
  const { apic } = vcpu;
  switch (state) {
    case K.KVM_MP_STATE_UNINITIALIZED:
    case K.KVM_MP_STATE_HALTED:
    case K.KVM_MP_STATE_AP_RESET_HOLD:
    case K.KVM_MP_STATE_INIT_RECEIVED:
    case K.KVM_MP_STATE_SIPI_RECEIVED:
      if (apic === null) return -EINVAL;
      break;
    case K.KVM_MP_STATE_RUNNABLE:
      break;
    default:
      return -EINVAL;
  }
  if (state === K.KVM_MP_STATE_SIPI_RECEIVED && apic !== null) {
    yield* vcpu.become(K.KVM_MP_STATE_INIT_RECEIVED);
    yield* apic.init.addStartup();
  } else yield* vcpu.become(state);
  yield* vcpu.request(X86Request.EVENT);
  return 0;
}

/** KVM_INTERRUPT (x86-irqchip.md 2): a vector of user space's PIC. */
function* interrupt(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (!INTERRUPT.copyIn(process, argument)) return -EFAULT;
  const vector = K.kvm_interrupt.irq.get(INTERRUPT.view);
  if (vector >= NR_INTERRUPTS) return -EINVAL;
  const { irqchipMode } = vcpu.arch;
  if (irqchipMode === "full") return -ENXIO;
  if (irqchipMode === "none") vcpu.inject(vector);
  else if (vcpu.pendingExternalVector >= 0 && !vcpu.vm.hazards.overwriteExtInt) return -EEXIST;
  else vcpu.pendingExternalVector = vector;
  yield* vcpu.request(X86Request.EVENT);
  return 0;
}

function* getLapic(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (vcpu.apic === null) return -EINVAL;
  const page = new Int32Array(K.kvm_lapic_state.size >> 2);
  yield* vcpu.apic.get(page);
  const view = new DataView(new ArrayBuffer(K.kvm_lapic_state.size));
  for (let word = 0; word < page.length; word++) view.setInt32(4 * word, page[word], true);
  return process.memory.copyOut(argument, new Uint8Array(view.buffer)) ? 0 : -EFAULT;
}

function* setLapic(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (vcpu.apic === null) return -EINVAL;
  const view = new DataView(new ArrayBuffer(K.kvm_lapic_state.size));
  if (!process.memory.copyIn(argument, new Uint8Array(view.buffer))) return -EFAULT;
  const page = new Int32Array(K.kvm_lapic_state.size >> 2);
  for (let word = 0; word < page.length; word++) page[word] = view.getInt32(4 * word, true);
  return yield* vcpu.apic.put(page);
}
