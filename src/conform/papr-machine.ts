import { eventfd2 } from "../host/eventfd.js";
import { Process } from "../host/process.js";
import { PhysicalXics } from "../host/xics/physical-xics.js";
import { XicsHost } from "../host/xics/xics-host.js";
import { H_BACK, HypercallGuest } from "../guest/hypercall-guest.js";
import type { Xics } from "../irqchip/xics/xics.js";
import { archOfPpc, Ppc } from "../kvm/powerpc/powerpc.js";
import { PpcModule } from "../kvm/powerpc/module.js";
import { PpcVcpuFile } from "../kvm/powerpc/vcpu-ioctl.js";
import type { PpcVcpu } from "../kvm/powerpc/vcpu.js";
import { KvmFile, vmOf } from "../kvm/system.js";
import { VcpuThread } from "../kvm/vcpu-thread.js";
import type { Vm } from "../kvm/vm.js";
import type { EventSink } from "../sim/event.js";
import type { Hazards } from "../sim/hazards.js";
import { reads } from "../sim/access.js";
import { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EFD_NONBLOCK } from "../uapi/eventfd.js";
import * as K from "../uapi/kvm.js";
import { KVM_DEV_XICS_GRP_SOURCES, KVM_REG_PPC_ICP_STATE_HI, KVM_REG_PPC_ICP_STATE_LO } from "../uapi/powerpc.js";
import type { StructInfo } from "../uapi/struct.js";

const STRUCTURE = 0x10_0000;
const STRUCTURE_BYTES = 0x1_0000;
/** What structures point to. */
const VALUE = STRUCTURE + 0xf000;
const MEMORY = 0x4000_0000;
const MEMORY_BYTES = 0x1_0000;
/** Guest physical, of the argument blocks of RTAS calls. */
export const RTAS_BLOCK = 0x1000;
const H_RTAS = 0xf000;
const H_FUNCTION = -2;
/** A vCPU and an eventfd for each of as many servers as there can be. */
const DESCRIPTORS = 0x4000;
/** By name, in this order from this one on. */
const FIRST_TOKEN = 0x2000;
const SERVED: readonly string[] = ["ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on"];

/** A thread that calls KVM_RUN when it is woken, once. */
class CallThread extends VcpuThread {
  /** What KVM_RUN gave; null while it has not returned. */
  result: number | null = null;

  override *userspace(result: number): Step<boolean> {
    this.result = result;
    return false;
  }
}

class Cpu {
  readonly guest = new HypercallGuest();
  readonly thread: CallThread;

  constructor(
    readonly vcpu: PpcVcpu,
    readonly fd: number,
    process: Process,
    cpu: number,
  ) {
    vcpu.guest = this.guest;
    this.thread = new CallThread(vcpu, process, fd, cpu);
  }
}

/** What a hypercall gave: r3, then r4 and r5 as unsigned numbers. */
export interface HypercallAnswer {
  readonly status: number;
  readonly r4: number;
  readonly r5: number;
  /** The kernel did not serve it. */
  readonly isUserSpace: boolean;
}

/** KVM_RUN ended with an errno, or has not ended. */
export class RunError extends Error {
  constructor(readonly result: number | null) {
    super(`KVM_RUN gave ${result ?? "nothing yet"}`);
  }
}

export interface PaprOptions {
  /** Server numbers of the vCPUs. Default 0 and 1. */
  readonly servers?: readonly number[];
  readonly realMode?: boolean;
  /** {@link PpcOptions.strict} */
  readonly strict?: boolean;
  readonly hazards?: Partial<Hazards>;
  readonly trace?: EventSink;
  /** Default true: the device is there, vCPUs are connected. */
  readonly hasXics?: boolean;
}

/** A VM on POWER made of calls to /dev/kvm, with guests that make hypercalls: what vectors of PAPR interrupts run on. */
export class PaprMachine {
  readonly sim: Sim;
  readonly process: Process;
  readonly cpus: Cpu[] = [];
  readonly servers: readonly number[];
  /** The descriptor of /dev/kvm. */
  readonly kvm: number;
  vmFd = -1;
  /** The XICS device's descriptor. */
  device = -1;

  constructor(private readonly options: PaprOptions = {}) {
    this.servers = options.servers ?? [0, 1];
    const cpus = this.servers.length + 1;
    this.sim = new Sim({ cpus, hazards: options.hazards, trace: options.trace ?? null });
    const host = new XicsHost(this.sim, new PhysicalXics(cpus));
    this.process = new Process(this.sim, "vmm", { descriptorLimit: DESCRIPTORS });
    this.process.memory.map(STRUCTURE, STRUCTURE_BYTES);
    this.process.memory.map(MEMORY, MEMORY_BYTES);
    this.kvm = this.process.install(new KvmFile(new PpcModule(host), new Ppc(this.servers.length, { realMode: options.realMode ?? false, strict: options.strict ?? false })));
  }

  /** The VM with its vCPUs, memory, XICS and RTAS tokens; all CPPRs are 0. */
  *start(): Step<void> {
    const { servers, options } = this;
    this.vmFd = must(yield* this.ioctl(this.kvm, K.KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    must(yield* this.giveMemory(), "KVM_SET_USER_MEMORY_REGION");
    for (let i = 0; i < servers.length; i++) yield* this.addVcpu(i);
    for (let i = 0; i < SERVED.length; i++) must(yield* this.defineToken(SERVED[i], FIRST_TOKEN + i), "KVM_PPC_RTAS_DEFINE_TOKEN");
    if (!(options.hasXics ?? true)) return;
    this.device = must(yield* this.createXics(), "KVM_CREATE_DEVICE");
    for (let i = 0; i < servers.length; i++) must(yield* this.connect(i, this.device, servers[i]), "KVM_CAP_IRQ_XICS");
  }

  /** The VM itself. */
  get vm(): Vm {
    const vm = vmOf(this.process, this.vmFd);
    if (vm === null) throw new Error("no VM");
    return vm;
  }

  /** Its XICS; an error where there is none. */
  get xics(): Xics {
    const { xics } = archOfPpc(this.vm);
    if (xics === null) throw new Error("no XICS");
    return xics;
  }

  *ioctl(fd: number, request: number, argument: number): Step<number> {
    const result = yield* this.process.ioctl(fd, request, argument);
    yield* this.sim.settle();
    return result;
  }

  /** A request whose argument is a structure. */
  *ioctlOn(fd: number, request: number, info: StructInfo, fill: (view: DataView) => void, read?: (view: DataView) => void): Step<number> {
    const bytes = new Uint8Array(info.size);
    const view = new DataView(bytes.buffer);
    fill(view);
    this.process.memory.copyOut(STRUCTURE, bytes);
    const result = yield* this.ioctl(fd, request, STRUCTURE);
    this.process.memory.copyIn(STRUCTURE, bytes);
    read?.(view);
    return result;
  }

  private *giveMemory(): Step<number> {
    return yield* this.ioctlOn(this.vmFd, K.KVM_SET_USER_MEMORY_REGION, K.kvm_userspace_memory_region, (view) => {
      K.kvm_userspace_memory_region.memory_size.setNumber(view, MEMORY_BYTES);
      K.kvm_userspace_memory_region.userspace_addr.setNumber(view, MEMORY);
    });
  }

  /** One more vCPU, unconnected. */
  *addVcpu(id: number): Step<void> {
    const fd = must(yield* this.ioctl(this.vmFd, K.KVM_CREATE_VCPU, id), "KVM_CREATE_VCPU");
    const file = this.process.file(fd);
    if (!(file instanceof PpcVcpuFile)) throw new Error("no vCPU");
    this.cpus.push(new Cpu(file.vcpu, fd, this.process, Math.min(id, this.sim.cpus - 2)));
  }

  /** The descriptor, or a negative errno. */
  *createXics(): Step<number> {
    let fd = -1;
    const result = yield* this.ioctlOn(
      this.vmFd,
      K.KVM_CREATE_DEVICE,
      K.kvm_create_device,
      (view) => K.kvm_create_device.type.set(view, K.KVM_DEV_TYPE_XICS),
      (view) => (fd = K.kvm_create_device.fd.get(view)),
    );
    return result === 0 ? fd : result;
  }

  /** KVM_CAP_IRQ_XICS on a vCPU. */
  *connect(cpu: number, device: number, server: number, flags = 0): Step<number> {
    return yield* this.ioctlOn(this.cpus[cpu].fd, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
      K.kvm_enable_cap.cap.set(view, K.KVM_CAP_IRQ_XICS);
      K.kvm_enable_cap.flags.set(view, flags);
      K.kvm_enable_cap.args[0].setNumber(view, device >>> 0);
      K.kvm_enable_cap.args[1].setNumber(view, server);
    });
  }

  *defineToken(name: string, token: number): Step<number> {
    return yield* this.ioctlOn(this.vmFd, K.KVM_PPC_RTAS_DEFINE_TOKEN, K.kvm_rtas_token_args, (view) => {
      const bytes = K.kvm_rtas_token_args.name_.slice(view);
      for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
      K.kvm_rtas_token_args.token.setNumber(view, token);
    });
  }

  /** A source's word, set: 0 or a negative errno. `address` takes the place of where the word lies. */
  *setSource(irq: number, hi: number, lo: number, address = VALUE): Step<number> {
    this.process.memory.setU32(VALUE, lo >>> 0);
    this.process.memory.setU32(VALUE + 4, hi >>> 0);
    return yield* this.attr(K.KVM_SET_DEVICE_ATTR, KVM_DEV_XICS_GRP_SOURCES, irq, address);
  }

  /** A source's word as "0x" and 16 digits, or a negative errno. */
  *getSource(irq: number): Step<string | number> {
    const result = yield* this.attr(K.KVM_GET_DEVICE_ATTR, KVM_DEV_XICS_GRP_SOURCES, irq, VALUE);
    return result === 0 ? this.value() : result;
  }

  *attr(request: number, group: number, attr: number, address: number): Step<number> {
    return yield* this.ioctlOn(this.device, request, K.kvm_device_attr, (view) => {
      K.kvm_device_attr.group.set(view, group);
      K.kvm_device_attr.attr.setNumber(view, attr);
      K.kvm_device_attr.addr.setNumber(view, address);
    });
  }

  private value(): string {
    const { memory } = this.process;
    return `0x${memory.getU32(VALUE + 4).toString(16).padStart(8, "0")}${memory.getU32(VALUE).toString(16).padStart(8, "0")}`;
  }

  /** KVM_REG_PPC_ICP_STATE, set: 0 or a negative errno. */
  *setIcp(cpu: number, hi: number, lo: number): Step<number> {
    this.process.memory.setU32(VALUE, lo >>> 0);
    this.process.memory.setU32(VALUE + 4, hi >>> 0);
    return yield* this.oneReg(cpu, K.KVM_SET_ONE_REG);
  }

  /** It, as "0x" and 16 digits, or a negative errno. */
  *getIcp(cpu: number): Step<string | number> {
    const result = yield* this.oneReg(cpu, K.KVM_GET_ONE_REG);
    return result === 0 ? this.value() : result;
  }

  private *oneReg(cpu: number, request: number): Step<number> {
    return yield* this.ioctlOn(this.cpus[cpu].fd, request, K.kvm_one_reg, (view) => {
      K.kvm_one_reg.id.setHalves(view, KVM_REG_PPC_ICP_STATE_LO, KVM_REG_PPC_ICP_STATE_HI);
      K.kvm_one_reg.addr.setNumber(view, VALUE);
    });
  }

  /** KVM_IRQ_LINE_STATUS: the status, or the negative errno of the request. */
  *line(irq: number, level: number): Step<number> {
    let status = 0;
    const result = yield* this.ioctlOn(
      this.vmFd,
      K.KVM_IRQ_LINE_STATUS,
      K.kvm_irq_level,
      (view) => {
        K.kvm_irq_level.irq.set(view, irq);
        K.kvm_irq_level.level.set(view, level);
      },
      (view) => (status = K.kvm_irq_level.status.get(view)),
    );
    return result < 0 ? result : status;
  }

  /** One KVM_RUN of a vCPU: what it gave, or null while it has not returned. */
  *run(cpu: number): Step<number | null> {
    const { thread } = this.cpus[cpu];
    thread.result = null;
    this.sim.wake(thread, 0);
    yield* this.sim.settle();
    return thread.result;
  }

  /** The guest of a vCPU makes a hypercall; arguments from r4 on, below 2^53. What user space has to serve gets H_FUNCTION. */
  *hypercall(cpu: number, number: number, args: readonly number[]): Step<HypercallAnswer> {
    const { vcpu, guest } = this.cpus[cpu];
    const { memory } = this.process;
    const { nr, ret } = K.kvm_run.papr_hcall;
    guest.ask(number, args);
    let isUserSpace = false;
    for (;;) {
      const result = yield* this.run(cpu);
      if (result !== 0) throw new RunError(result);
      if (memory.getU32(vcpu.runAddress + nr.offset) === H_BACK) break;
      isUserSpace = true;
      memory.setU32(vcpu.runAddress + ret.offset, H_FUNCTION >>> 0);
      memory.setU32(vcpu.runAddress + ret.offset + 4, 0xffff_ffff);
    }
    const value = (i: number): number => (guest.hi[i] >>> 0) * 0x1_0000_0000 + (guest.lo[i] >>> 0);
    return { status: guest.lo[0], r4: value(1), r5: value(2), isUserSpace };
  }

  /**
   * The guest of vCPU 0 calls RTAS; each number is a word.
   * @param nret outputs, the status among them
   * @returns the outputs, signed the status; null where the call went to user space
   */
  *rtas(name: string, args: readonly number[], nret: number, token = FIRST_TOKEN + SERVED.indexOf(name)): Step<readonly number[] | null> {
    const { memory } = this.process;
    const put = (word: number, value: number): void => memory.setU32(MEMORY + RTAS_BLOCK + 4 * word, swapped(value));
    put(0, token);
    put(1, args.length);
    put(2, nret);
    for (let i = 0; i < args.length; i++) put(3 + i, args[i]);
    const { isUserSpace } = yield* this.hypercall(0, H_RTAS, [RTAS_BLOCK]);
    if (isUserSpace) return null;
    const outputs: number[] = [];
    for (let i = 0; i < nret; i++) outputs.push(swapped(memory.getU32(MEMORY + RTAS_BLOCK + 4 * (3 + args.length + i))));
    outputs[0] |= 0;
    return outputs;
  }

  /** The external-interrupt request of a vCPU. */
  *externalOf(cpu: number): Step<boolean> {
    const { vcpu } = this.cpus[cpu];
    yield reads(vcpu, "external");
    return vcpu.external;
  }

  eventfd(): number {
    return eventfd2(this.process, 0, EFD_NONBLOCK);
  }

  *irqfd(fd: number, gsi: number, flags = 0, resamplefd = 0): Step<number> {
    return yield* this.ioctlOn(this.vmFd, K.KVM_IRQFD, K.kvm_irqfd, (view) => {
      K.kvm_irqfd.fd.set(view, fd);
      K.kvm_irqfd.gsi.set(view, gsi);
      K.kvm_irqfd.flags.set(view, flags);
      K.kvm_irqfd.resamplefd.set(view, resamplefd);
    });
  }

  *signal(fd: number): Step<void> {
    this.process.memory.setU64(VALUE, 1);
    yield* this.process.write(fd, VALUE, 8);
    yield* this.sim.settle();
  }

  /** What an eventfd has counted, which this takes. */
  *count(fd: number): Step<number> {
    const result = yield* this.process.read(fd, VALUE, 8);
    return result === 8 ? this.process.memory.getU32(VALUE) : 0;
  }

  *close(fd: number): Step<number> {
    const result = yield* this.process.close(fd);
    yield* this.sim.settle();
    return result;
  }
}

function must(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: ${result}`);
  return result;
}

/** A word of the other byte order, unsigned. */
const swapped = (word: number): number => (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | ((word >>> 24) & 0xff)) >>> 0;
