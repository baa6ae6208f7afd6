import { eventfd2, EventfdContext, EventfdFile } from "../../host/eventfd.js";
import { Process } from "../../host/process.js";
import { TraceBuffer } from "../../sim/event.js";
import { Sim } from "../../sim/sim.js";
import { run } from "../../sim/step.js";
import { WorkQueue } from "../../sim/workqueue.js";
import { EFD_NONBLOCK } from "../../uapi/eventfd.js";
import * as K from "../../uapi/kvm.js";
import type { StructInfo } from "../../uapi/struct.js";
import type { Arch } from "../../kvm/arch.js";
import { Arm64 } from "../../kvm/arm64/arm64.js";
import type { Hazards } from "../../sim/hazards.js";
import type { KvmHost } from "../../kvm/host.js";
import { KvmFile, vmOf } from "../../kvm/system.js";
import type { Vm } from "../../kvm/vm.js";

const SCRATCH = 0x10000;
const VALUE = 0x4f000;

/** A host without interrupt hardware: enough for VMs that run no vCPU. */
export class BareHost implements KvmHost {
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  readonly gic = null;
  readonly cpus = [];
  readonly counterHz = 62_500_000;
  readonly haltPollMaxNs = 0;
  readonly loaded = [];

  constructor(readonly sim: Sim) {
    this.events = new WorkQueue(sim, "events");
    this.irqfdCleanup = new WorkQueue(sim, "kvm-irqfd-cleanup");
  }
}

export interface KvmMachineOptions {
  /** Clocks of physical CPUs. Default 2. */
  cpus?: number;
  arch?: Arch;
  hazards?: Partial<Hazards>;
  host?: (sim: Sim) => KvmHost;
}

/** A machine with one user process: system calls by their C names, arguments as the C structures would carry them. */
export class KvmMachine {
  readonly trace = new TraceBuffer();
  readonly sim: Sim;
  readonly host: KvmHost;
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  readonly process: Process;
  readonly kvm: number;

  constructor(options: KvmMachineOptions = {}) {
    this.sim = new Sim({ cpus: options.cpus ?? 2, trace: this.trace, hazards: options.hazards });
    this.host = options.host?.(this.sim) ?? new BareHost(this.sim);
    this.events = this.host.events;
    this.irqfdCleanup = this.host.irqfdCleanup;
    this.process = this.newProcess();
    const arch = options.arch ?? new Arm64({ cpus: 2, gicVersion: 3 });
    this.kvm = this.process.install(new KvmFile(this.host, arch));
  }

  newProcess(): Process {
    const process = new Process(this.sim, "vmm");
    process.memory.map(SCRATCH, 0x40000);
    return process;
  }

  createVm(type = 0): number {
    return this.ioctl(this.kvm, K.KVM_CREATE_VM, type);
  }

  vm(fd: number): Vm {
    const vm = vmOf(this.process, fd);
    if (vm === null) throw new Error(`descriptor ${fd} is no VM`);
    return vm;
  }

  /** A request whose argument is a value. Work queues are drained after it, unless held. */
  ioctl(fd: number, request: number, argument: number, process = this.process): number {
    const result = run(process.ioctl(fd, request, argument));
    this.settle();
    return result;
  }

  /** A request whose argument is a structure, filled by `fill` and read back by `read`. */
  ioctlOn(fd: number, request: number, info: StructInfo, fill: (view: DataView) => void, read?: (view: DataView) => void): number {
    const view = new DataView(new ArrayBuffer(info.size));
    fill(view);
    return this.ioctlBytes(fd, request, new Uint8Array(view.buffer), read);
  }

  ioctlBytes(fd: number, request: number, bytes: Uint8Array, read?: (view: DataView) => void, process = this.process): number {
    process.memory.copyOut(SCRATCH, bytes);
    const result = this.ioctl(fd, request, SCRATCH, process);
    process.memory.copyIn(SCRATCH, bytes);
    read?.(new DataView(bytes.buffer));
    return result;
  }

  irqfd(vm: number, fd: number, gsi: number, flags = 0, resamplefd = 0): number {
    return this.ioctlOn(vm, K.KVM_IRQFD, K.kvm_irqfd, (view) => {
      K.kvm_irqfd.fd.set(view, fd);
      K.kvm_irqfd.gsi.set(view, gsi);
      K.kvm_irqfd.flags.set(view, flags);
      K.kvm_irqfd.resamplefd.set(view, resamplefd);
    });
  }

  /** KVM_SET_GSI_ROUTING. */
  route(vm: number, routes: readonly RouteSpec[], flags = 0): number {
    return this.ioctlBytes(vm, K.KVM_SET_GSI_ROUTING, routingBytes(routes, flags));
  }

  /** KVM_IRQ_LINE. */
  irqLine(vm: number, irq: number, level: number): number {
    return this.ioctlOn(vm, K.KVM_IRQ_LINE, K.kvm_irq_level, (view) => {
      K.kvm_irq_level.irq.set(view, irq);
      K.kvm_irq_level.level.set(view, level);
    });
  }

  signalMsi(vm: number, flags = 0): number {
    return this.ioctlOn(vm, K.KVM_SIGNAL_MSI, K.kvm_msi, (view) => K.kvm_msi.flags.set(view, flags));
  }

  /** KVM_CREATE_DEVICE: the descriptor, or a negative errno; 0 for a TEST that succeeds. */
  createDevice(vm: number, type: number, flags = 0): number {
    let fd = 0;
    const result = this.ioctlOn(
      vm,
      K.KVM_CREATE_DEVICE,
      K.kvm_create_device,
      (view) => {
        K.kvm_create_device.type.set(view, type);
        K.kvm_create_device.flags.set(view, flags);
      },
      (view) => (fd = K.kvm_create_device.fd.get(view)),
    );
    return result === 0 ? fd : result;
  }

  /** A device attribute whose address points to `words` (u32). */
  attr(request: number, device: number, group: number, attr: number, words: readonly number[] = [], address = VALUE): number {
    if (address === VALUE) for (const [i, word] of words.entries()) this.process.memory.setU32(VALUE + 4 * i, word >>> 0);
    return this.ioctlOn(device, request, K.kvm_device_attr, (view) => {
      K.kvm_device_attr.group.set(view, group);
      K.kvm_device_attr.attr.setNumber(view, attr);
      K.kvm_device_attr.addr.setNumber(view, address);
    });
  }

  setAttr(device: number, group: number, attr: number, words: readonly number[] = []): number {
    return this.attr(K.KVM_SET_DEVICE_ATTR, device, group, attr, words);
  }

  eventfd(count = 0, flags = 0): number {
    return eventfd2(this.process, count, flags | EFD_NONBLOCK);
  }

  context(fd: number): EventfdContext {
    const file = this.process.file(fd);
    if (!(file instanceof EventfdFile)) throw new Error(`descriptor ${fd} is no eventfd`);
    return file.context;
  }

  count(fd: number): number {
    return Number(this.context(fd).count);
  }

  /** write(2) of 8 bytes to an eventfd. */
  write(fd: number, value: number): number {
    this.process.memory.setU64(SCRATCH, value);
    const result = run(this.process.write(fd, SCRATCH, 8));
    this.settle();
    return result;
  }

  /** read(2) of 8 bytes: the value, or a negative errno. */
  read(fd: number): number {
    const result = run(this.process.read(fd, SCRATCH, 8));
    return result === 8 ? this.process.memory.getU64(SCRATCH) : result;
  }

  close(fd: number): number {
    const result = run(this.process.close(fd));
    this.settle();
    return result;
  }

  settle(): void {
    run(this.sim.settle());
  }
}

/** A unified routing entry: enough for what the tests set. */
export interface RouteSpec {
  gsi: number;
  type: number;
  flags?: number;
  /** The union's first words: chip and pin, or address_lo, address_hi, data, devid. */
  words?: readonly number[];
}

/** The argument of KVM_SET_GSI_ROUTING. */
export function routingBytes(routes: readonly RouteSpec[], flags = 0): Uint8Array {
  const { size } = K.kvm_irq_routing_entry;
  const view = new DataView(new ArrayBuffer(K.kvm_irq_routing.size + routes.length * size));
  K.kvm_irq_routing.nr.set(view, routes.length);
  K.kvm_irq_routing.flags.set(view, flags);
  let base = K.kvm_irq_routing.size;
  for (const route of routes) {
    K.kvm_irq_routing_entry.gsi.set(view, route.gsi, base);
    K.kvm_irq_routing_entry.type.set(view, route.type, base);
    K.kvm_irq_routing_entry.flags.set(view, route.flags ?? 0, base);
    const { words = [] } = route;
    for (let word = 0; word < words.length; word++) view.setUint32(base + 16 + 4 * word, words[word], true);
    base += size;
  }
  return new Uint8Array(view.buffer);
}
