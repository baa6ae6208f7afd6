import { Bus, OrdinaryDriver } from "../../host/driver-binding.js";
import { DeviceNodes } from "../../host/device-nodes.js";
import { eventfd2, EventfdFile } from "../../host/eventfd.js";
import { IommuDma } from "../../host/iommu/dma.js";
import { IommuGroup, type IommuGroupOptions, type ReservedRegion, type TceGeometry } from "../../host/iommu/group.js";
import { HostStage } from "./host-stage.js";
import type { DeviceRegion } from "../../host/memory.js";
import { PlatformDevice, type ResetMethod } from "../../host/platform-device.js";
import { Process } from "../../host/process.js";
import { Smmu } from "../../host/smmu.js";
import { Sysfs } from "../../host/sysfs.js";
import { writes } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EFD_NONBLOCK } from "../../uapi/eventfd.js";
import * as uapi from "../../uapi/vfio.js";
import { VfioPlatformDriver, type VfioPlatformOptions } from "../../vfio/backends/platform.js";
import { Type1Backend, type Type1Options } from "../../vfio/iommu/type1.js";
import { VFIO_PROFILES, type VfioProfileName } from "../../vfio/profiles.js";
import { Vfio, type VfioOptions } from "../../vfio/vfio.js";

export const ARGUMENTS = 0x1000;
/** User memory that may be mapped for DMA: 1 MiB. */
export const MEMORY = 0x100_0000;
export const MEMORY_SIZE = 0x10_0000;
export const LEVEL_SPI = 40;
export const EDGE_SPI = 41;

/** The IOVA ranges of vfio.md 24: [0,fedfffff] [fef00000,7fffffffff]. */
export const X86_HOLE: ReservedRegion = { start: 0xfee0_0000n, end: 0xfeef_ffffn, kind: "msi" };

/** Registers that remember, and count accesses. */
export class Registers implements DeviceRegion {
  readonly values = new Map<number, number>();
  readonly log: string[] = [];
  *read(offset: number, size: number): Step<number> {
    yield writes(this, "registers");
    this.log.push(`r${size}@${offset.toString(16)}`);
    return this.values.get(offset) ?? 0;
  }
  *write(offset: number, size: number, value: number): Step<void> {
    yield writes(this, "registers");
    this.log.push(`w${size}@${offset.toString(16)}=${(value >>> 0).toString(16)}`);
    this.values.set(offset, value);
  }
}

export class Reset implements ResetMethod {
  runs = 0;
  result = 0;
  *reset(): Step<number> {
    this.runs++;
    return this.result;
  }
}

export interface VfioStageOptions extends Type1Options {
  smmu?: "smmuv2" | "smmuv3";
  lockedMemoryLimit?: number;
  capabilities?: readonly string[];
  isMsiIsolated?: boolean;
  apertureEnd?: bigint;
  reserved?: readonly ReservedRegion[];
  /** Linux before 5.19. */
  hasDmaOwnership?: boolean;
  canNest?: boolean;
  /** The groups are a Power machine's. */
  tce?: TceGeometry;
  /** Number of the platform devices' group; default 12. */
  group?: number;
  hazards?: Partial<Hazards> | undefined;
  /** Module parameters of vfio and iommufd. */
  core?: VfioOptions;
  platform?: VfioPlatformOptions;
  /** VFIO as another kernel had it, but for what these options say. Default modern. */
  profile?: VfioProfileName | undefined;
}

/** Where DMA of the fixture's groups goes, and who may own it. */
export function groupOptions(options: VfioStageOptions): IommuGroupOptions {
  const { reserved = [X86_HOLE], apertureEnd = 0x7f_ffff_ffffn, isMsiIsolated = true, canNest = true } = options;
  const { hasDmaOwnership = VFIO_PROFILES[options.profile ?? "modern"].group.hasDmaOwnership ?? true } = options;
  return { reserved, apertureEnd, isMsiIsolated, hasDmaOwnership, canNest };
}

/**
 * vfio.md 24's fixture F on the platform bus: group 12 = { a, b }, both bound to vfio-platform. `a` has a 64 KiB window, a
 * window of 0x100 bytes, a read-only page and a port window; a level interrupt (index 0) and an edge interrupt (1).
 */
export class VfioStage {
  readonly machine: HostStage;
  readonly sim: Sim;
  readonly nodes = new DeviceNodes();
  readonly sysfs: Sysfs;
  readonly bus = new Bus("platform");
  readonly vfio: Vfio;
  readonly driver: VfioPlatformDriver;
  readonly group: IommuGroup;
  readonly registers = new Registers();
  readonly reset = new Reset();
  readonly a: PlatformDevice;
  readonly b: PlatformDevice;
  readonly smmu: Smmu;
  readonly dma: IommuDma;
  readonly process: Process;

  constructor(options: VfioStageOptions = {}) {
    this.machine = new HostStage(3, 1, options.hazards);
    const { sim, host } = this.machine;
    this.sim = sim;
    this.sysfs = new Sysfs(sim);
    const { core, platform, type1 } = VFIO_PROFILES[options.profile ?? "modern"];
    this.vfio = new Vfio(host, this.nodes, options.core ?? core);
    this.driver = new VfioPlatformDriver(this.vfio, "vfio-platform", options.platform ?? platform);
    this.group = new IommuGroup(sim, options.group ?? 12, groupOptions(options));
    const { group, reset, registers } = this;
    this.smmu = new Smmu(sim, options.smmu ?? "smmuv3");
    const resources = [
      { address: 0xfff5_0000, size: 0x1_0000, registers },
      { address: 0xfff6_0000, size: 0x100, registers },
      { address: 0xfff7_0000, size: 0x1000, registers, isReadOnly: true },
      { address: 0x3f8, size: 8, registers, isPort: true },
    ];
    const irqs = [this.machine.level, this.machine.edge];
    this.a = new PlatformDevice(sim, "fff50000.ethernet", { compatible: ["calxeda,hb-xgmac"], group, resources, irqs, reset });
    this.b = new PlatformDevice(sim, "fff51000.ethernet", { compatible: ["calxeda,hb-xgmac"], group, resources: [], reset: new Reset() });
    this.dma = new IommuDma(this.smmu, group, 5);
    this.vfio.registerIommu(new Type1Backend(sim, { ...type1, ...options }));
    this.bus.addDevice(this.a);
    this.bus.addDevice(this.b);
    this.bus.addDriver(new OrdinaryDriver("calxedaxgmac", ["calxeda,hb-xgmac"]));
    this.bus.addDriver(this.driver);
    this.sysfs.addBus(this.bus);
    this.sysfs.addGroup(group);
    this.process = this.newProcess("vmm", options);
    for (const { name } of [this.a, this.b]) {
      this.write(`/sys/bus/platform/devices/${name}/driver_override`, "vfio-platform\n");
      this.write("/sys/bus/platform/drivers_probe", name);
    }
  }

  newProcess(name: string, options: VfioStageOptions = {}): Process {
    const { lockedMemoryLimit = 8 << 20, capabilities = [] } = options;
    const process = new Process(this.sim, name, { lockedMemoryLimit, capabilities });
    process.memory.map(ARGUMENTS, 0x4000);
    process.memory.map(MEMORY, MEMORY_SIZE);
    return process;
  }

  write(path: string, text: string): number {
    return run(this.sysfs.write(path, text));
  }

  cat(path: string): string | number {
    return run(this.sysfs.read(path));
  }

  open(path: string, process = this.process): number {
    return run(this.nodes.open(process, path));
  }

  ioctl(fd: number, request: number, argument: number, process = this.process): number {
    return run(process.ioctl(fd, request, argument));
  }

  /** An ioctl whose argument is these bytes; `answer` reads what came back. */
  call(fd: number, request: number, ...words: number[]): number {
    words.forEach((word, i) => this.process.memory.setU32(ARGUMENTS + 4 * i, word >>> 0));
    return this.ioctl(fd, request, ARGUMENTS);
  }

  /** The u32 at a place of the last answer. */
  answer(offset: number): number {
    return this.process.memory.getU32(ARGUMENTS + offset);
  }

  answer64(offset: number): bigint {
    return (BigInt(this.answer(offset + 4)) << 32n) | BigInt(this.answer(offset));
  }

  setContainer(group: number, container: number): number {
    return this.call(group, uapi.VFIO_GROUP_SET_CONTAINER, container);
  }

  deviceFd(group: number, name: string, process = this.process): number {
    process.memory.setText(ARGUMENTS, name);
    return this.ioctl(group, uapi.VFIO_GROUP_GET_DEVICE_FD, ARGUMENTS, process);
  }

  close(fd: number): number {
    return run(this.process.close(fd));
  }

  /** vfio.md 24's R: container c with type1v2, group g, device d for `a`. */
  ready(type = uapi.VFIO_TYPE1v2_IOMMU): { c: number; g: number; d: number } {
    const c = this.open("/dev/vfio/vfio");
    const g = this.open("/dev/vfio/12");
    this.setContainer(g, c);
    this.ioctl(c, uapi.VFIO_SET_IOMMU, type);
    return { c, g, d: this.deviceFd(g, this.a.name) };
  }

  /** A fresh non-blocking eventfd. */
  eventfd(count = 0): number {
    return eventfd2(this.process, count, EFD_NONBLOCK);
  }

  /** Its count, left as it is. */
  count(fd: number): number {
    const file = this.process.file(fd);
    if (!(file instanceof EventfdFile)) throw new Error(`${fd} is no eventfd`);
    return Number(file.context.count);
  }

  /** A non-blocking read: the count, which becomes 0, or a negative errno. */
  take(fd: number): number {
    const result = run(this.process.read(fd, ARGUMENTS, 8));
    return result < 0 ? result : this.answer(0);
  }

  signal(fd: number): void {
    this.process.memory.setU64(ARGUMENTS, 1);
    run(this.process.write(fd, ARGUMENTS, 8));
  }

  /** S(index, flags, start, count, data): SET_IRQS with argsz exact. */
  setIrqs(d: number, index: number, flags: number, start: number, count: number, ...data: number[]): number {
    const isBool = (flags & uapi.VFIO_IRQ_SET_DATA_BOOL) !== 0;
    const { memory } = this.process;
    const argsz = 20 + data.length * (isBool ? 1 : 4);
    data.forEach((value, i) => (isBool ? memory.setU8(ARGUMENTS + 20 + i, value) : memory.setU32(ARGUMENTS + 20 + 4 * i, value >>> 0)));
    return this.call(d, uapi.VFIO_DEVICE_SET_IRQS, argsz, flags, index, start, count);
  }

  line(isHigh: boolean): void {
    this.machine.line(LEVEL_SPI, isHigh ? 1 : 0);
  }

  map(c: number, iova: bigint, size: bigint, vaddr: bigint | number = MEMORY, flags = 3): number {
    const half = (value: bigint | number): number[] => [Number(BigInt.asUintN(32, BigInt(value))), Number(BigInt(value) >> 32n)];
    return this.call(c, uapi.VFIO_IOMMU_MAP_DMA, 32, flags, ...half(vaddr), ...half(iova), ...half(size));
  }

  /** The result, and the size written back. */
  unmap(c: number, iova: bigint, size: bigint, flags = 0): [number, bigint] {
    const half = (value: bigint): number[] => [Number(BigInt.asUintN(32, value)), Number(value >> 32n)];
    const result = this.call(c, uapi.VFIO_IOMMU_UNMAP_DMA, 24, flags, ...half(iova), ...half(size));
    return [result, this.answer64(16)];
  }

  /** Of the group that VFIO has for group 12 (vfio.md 1.2). */
  counters(): { drivers: number; openedFile: number; containerUsers: number } {
    const group = this.vfio.groupOf(this.group);
    return group === null ? { drivers: 0, openedFile: 0, containerUsers: 0 } : run(group.counters());
  }

  settle(): void {
    run(this.sim.settle());
  }
}
