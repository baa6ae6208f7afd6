import type { IrqBypassProducer } from "../host/irqbypass.js";
import type { Process } from "../host/process.js";
import type { ArmIrqchip } from "../irqchip/contract.js";
import type { SourceController } from "../irqchip/sources.js";
import type { Step } from "../sim/step.js";
import type { VcpuFactory } from "./create-vcpu.js";
import type { KvmDeviceType } from "./device.js";
import type { Irqfd } from "./irqfd.js";
import type { Route } from "./route.js";
import type { RoutingTable } from "./routing-table.js";
import type { Vm } from "./vm.js";

/** A request on a VM descriptor: `argument` is the third word of ioctl(2). A value or a negative errno. */
export type VmIoctl = (vm: Vm, process: Process, argument: number) => Step<number>;

export type ArchName = "arm64" | "x86" | "powerpc";

/** What an architecture decides before a VM exists. */
export interface Arch {
  readonly name: ArchName;
  /** Capabilities of every other architecture that this one has not. Default: none. */
  readonly withheld?: ReadonlySet<number>;
  /** KVM_CREATE_VM's type: the guest's physical address bits, or -EINVAL. */
  ipaBits(type: number): number;
  /** KVM_CHECK_EXTENSION on the system descriptor, for what the common table does not answer; unknown: 0. */
  capability(capability: number): number;
  /** Bytes of a vCPU's mapping. */
  readonly vcpuMmapSize: number;
  /** Requests on /dev/kvm of this architecture alone; -EINVAL for others. Without it there are none. */
  systemIoctl?(process: Process, request: number, argument: number): number;
  createVm(vm: Vm): VmArch;
}

/** The argument of KVM_IRQ_LINE; `irq` (u32) becomes `status` on the way out where the architecture fills it. */
export interface IrqLine {
  irq: number;
  level: number;
}

/** What an architecture decides for one VM: the places where kvm-irq-core.md says "x86: …, arm64: …". */
export interface VmArch {
  readonly name: ArchName;
  /** {@link Arch.withheld} */
  readonly withheld?: ReadonlySet<number>;
  /** The routing table to begin with, where it is not an empty one. */
  createRouting?(): RoutingTable;
  /** KVM_NR_IRQCHIPS and the pins of each in the reverse map (4.1). */
  readonly chips: number;
  readonly pinsPerChip: number;
  /** Negative errno of a VM request that nobody knows (0.3). */
  readonly unknownIoctl: number;
  readonly armIrqchip: ArmIrqchip | null;
  /** Requests of this architecture alone. */
  readonly ioctls: ReadonlyMap<number, VmIoctl>;
  capability(capability: number): number;
  /** KVM_ENABLE_CAP for what every architecture has not; `arg0` is args[0], Infinity above 2^53. 0 or a negative errno. */
  enableCapability(capability: number, arg0: number): number;
  /** vCPUs this VM may have. */
  readonly maxVcpus: number;
  /** What makes them. */
  readonly vcpuFactory: VcpuFactory;

  /** AS3: may irqfds be assigned now? */
  irqchipReady(): boolean;
  /** AS4: 0 or -EINVAL. */
  allowsIrqfd(isResampling: boolean, gsi: number): Step<number>;
  /** RU1 */
  allowsRouting(): boolean;
  /** RU6 (d): 0 or a negative errno; may store an internal pin number in the route. */
  checkRoute(route: Route): number;
  /** ST2: drives one route. */
  setRoute(route: Route, source: number, level: number, lineStatus: boolean): Step<number>;
  /** The atomic try of WK4: -EWOULDBLOCK asks for the work item, anything else ends the trigger. */
  setRouteAtomic(route: Route): Step<number>;
  /** RU7's hook, irq_lock held. */
  routesChanged(): Step<void>;
  /** Post-update of 5.2. */
  ackNotifiersChanged(): Step<void>;
  /** 4.7: KVM_IRQ_LINE and, with `wantsStatus`, KVM_IRQ_LINE_STATUS. 0 or a negative errno. */
  irqLine(line: IrqLine, wantsStatus: boolean): Step<number>;
  /** Is there an in-kernel interrupt controller (4.8)? */
  hasIrqchip(): boolean;
  /** Types of KVM_CREATE_DEVICE that this architecture implements; the common ones are in device.ts. */
  deviceType(type: number): KvmDeviceType | null;
  /** 7.4; null where nothing on this host can deliver past it: irqfds then register no consumer. */
  readonly bypass: BypassHooks | null;
  /** 8.3: does it implement forwarding? */
  readonly forwarding: IrqForwarding | null;
  /** 8.2: KVM-VFIO knows attribute SET_SPAPR_TCE. Default false. */
  readonly isSpapr?: boolean;
  /** KVM_CREATE_IRQCHIP_ARGS: 0 or a negative errno. Without it no type is known. */
  createIrqchipOfType?(type: number, param: number): Step<number>;
  /** What the calls on ranges of sources move; null, or absent, without such a controller. */
  readonly sourceController?: SourceController | null;
  /** First at VM destruction: what raises interrupts by itself stops, while the routing table is there (H26). */
  stopTimers?(): Step<void>;
  /** Architecture teardown at VM destruction, the irqchip included; vCPUs are still there. */
  destroy(): Step<void>;
}

/** What a connected producer means to an architecture (7.4). */
export interface BypassHooks {
  /** Around connecting and disconnecting; no lock of KVM's held. */
  stop(): Step<void>;
  start(): Step<void>;
  /** {@link connect} may sleep, and takes irqfds.lock itself where it looks at the irqfd. Default false. */
  readonly connectsUnlocked?: boolean;
  /** irqfds.lock held, where that may be. 0, or what undoes the connection: a negative errno, or a command error of an ITS. */
  connect(irqfd: Irqfd, producer: IrqBypassProducer): Step<number>;
  /** {@link disconnect} may sleep. Default false. */
  readonly disconnectsUnlocked?: boolean;
  /** irqfds.lock held, where that may be; the irqfd's route is still what was programmed. */
  disconnect(irqfd: Irqfd, producer: IrqBypassProducer): Step<void>;
  /** 2.7, irqfds.lock held: the irqfd's route went from `old` to what it is now. */
  routeChanged(irqfd: Irqfd, old: Route): Step<void>;
}

/** 8.3: linking a virtual SPI to a physical interrupt. */
export interface IrqForwarding {
  /** Checks 9 to 11 for a GSI: 0, -ENODEV, -EAGAIN, -EINVAL. */
  check(gsi: number): number;
  /** Step 14's virtual half; 0 or a negative errno. */
  link(gsi: number, hostIntid: number): Step<number>;
  unlink(gsi: number): Step<void>;
}
