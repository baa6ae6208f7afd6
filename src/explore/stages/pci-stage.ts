import { Command, Pci } from "../../arch/pci/config-registers.js";
import { type Capability, expressCapability, msiCapability, type MsixLayout, msixCapability, pmCapability } from "../../device/pci/capabilities.js";
import type { Bar } from "../../device/pci/bar.js";
import { PciFunction } from "../../device/pci/function.js";
import type { VgaRegisters } from "../../device/pci/vga.js";
import { WiredOr } from "../../device/pci/wired-or.js";
import { Bus, OrdinaryDriver } from "../../host/driver-binding.js";
import { GicLevelInput } from "../../host/gic-input.js";
import { IommuGroup, type ReservedRegion } from "../../host/iommu/group.js";
import { PciDevice, type ResetMethodName } from "../../host/pci/pci-device.js";
import { PciRoot } from "../../host/pci/pci-root.js";
import { pipe2 } from "../../host/pipe.js";
import { V2mDomain, V2mFrame } from "../../host/v2m.js";
import { Context } from "../../sim/context.js";
import type { Mutex } from "../../sim/lock.js";
import { run, type Step } from "../../sim/step.js";
import * as uapi from "../../uapi/vfio.js";
import type { VfioPciDevice } from "../../vfio/backends/pci/device.js";
import type { VfioPciOptions } from "../../vfio/backends/pci/options.js";
import { VfioPciDriver } from "../../vfio/backends/pci/driver.js";
import { VFIO_PROFILES } from "../../vfio/profiles.js";
import { groupOptions, LEVEL_SPI, Registers, VfioStage, type VfioStageOptions } from "./vfio-stage.js";

export const { VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_DATA_BOOL: BOOL, VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD } = uapi;
export const { VFIO_IRQ_SET_ACTION_MASK: MASK, VFIO_IRQ_SET_ACTION_UNMASK: UNMASK, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;
export const [INTX, MSI, MSIX, ERR, REQ] = [0, 1, 2, 3, 4];
export const REGION = 2 ** 40;
export const CONFIG = 7 * REGION;
export const DIS_INTX = 0x400;

export interface MsiStubOptions {
  multiMsiLimit?: number;
  allocatesDynamically?: boolean;
  /** Where messages are written; default that of x86. */
  doorbell?: number;
  /** First of the SPIs behind it; default 64. */
  baseSpi?: number;
  /** Default 32. */
  spiCount?: number;
}

/** Stands for interrupt remapping: every vector an SPI of the fixture's GIC, behind the doorbell of x86, isolated. */
export class RemappingStub extends V2mDomain {
  override readonly isIsolated = true;
  override readonly multiMsiLimit: number;
  override readonly allocatesDynamically: boolean;

  constructor(world: VfioStage, options: MsiStubOptions) {
    const frame = V2mFrame.create(world.machine.gic, { address: (options.doorbell ?? 0xfee0_0000) - 0x40, baseSpi: options.baseSpi ?? 64, spiCount: options.spiCount ?? 32 });
    if (typeof frame === "number") throw new Error("no frame");
    super(world.machine.host.irqs, world.machine.host.domain, [frame]);
    this.multiMsiLimit = options.multiMsiLimit ?? 32;
    this.allocatesDynamically = options.allocatesDynamically ?? false;
  }
}

export interface PciStageOptions extends VfioStageOptions, MsiStubOptions {
  vfio?: VfioPciOptions;
  /** What A's INTx is: with DisINTx, or without. */
  hasBrokenIntxMasking?: boolean;
  /** B is in a group of its own, 13. */
  separateGroups?: boolean;
  /** No IOMMU guards A and B: they are of no group of the host's. */
  hasNoIommu?: boolean;
  /** What that group reserves; default the same as A's. */
  reservedOfB?: readonly ReservedRegion[];
  /** Its last address; default the same as A's. */
  apertureEndOfB?: bigint;
  /** A without ways to be reset, or without these. */
  noReset?: boolean;
  brokenResets?: readonly ResetMethodName[];
  /** A has no PCI Express capability. */
  isConventional?: boolean;
  /** More of A's capabilities, after its own. */
  extra?: readonly Capability[];
  /** A's extended capabilities. */
  extended?: readonly Capability[];
  /** PM without NO_SOFT_RESET. */
  resetsInD3?: boolean;
  isMsiMaskable?: boolean;
  /** A has BAR5 of 256 bytes. */
  smallBar?: boolean;
  /** Where A's MSI-X table is in its BAR2; default 0. */
  tableOffset?: number;
  /** A's expansion ROM; default an image of 2 KiB. */
  rom?: Uint8Array;
  /** A is a VGA adapter, with these behind its legacy ranges. */
  vga?: VgaRegisters;
  /** Sizes of atomic operations that A completes, and those that its root port does; default none. */
  atomics?: { readonly function: number; readonly rootPort: number };
}

/** An expansion ROM's image: the signature, and 55 behind it. */
export function romImage(length: number): Uint8Array {
  const image = new Uint8Array(length).fill(0x55);
  image[1] = 0xaa;
  return image;
}

const B_MSIX: MsixLayout = { vectors: 4, tableBar: 0, tableOffset: 0, pbaBar: 0, pbaOffset: 0x800 };

/**
 * vfio.md 24's fixture F: group 12 = { A 06:00.0, B 06:00.1, the bridge 05:00.0 }. A: BAR0 64 KiB, BAR2 16 KiB with 8
 * MSI-X entries, BAR4 32 bytes of ports, 4 vectors of MSI, INTA#. B: 4 MSI-X entries, no pin.
 */
export class PciStage extends VfioStage {
  readonly root: PciRoot;
  readonly pciGroup: IommuGroup;
  readonly pciBus = new Bus("pci");
  readonly pciDriver: VfioPciDriver;
  readonly bar0 = new Registers();
  readonly bar2 = new Registers();
  readonly bar4 = new Registers();
  readonly A: PciDevice;
  readonly B: PciDevice;
  readonly bridge: PciDevice;
  readonly wire: WiredOr;

  constructor(options: PciStageOptions = {}) {
    super({ ...options, group: 99 });
    const { sim, machine } = this;
    machine.host.msi = new RemappingStub(this, options);
    this.root = new PciRoot(machine.host, this.smmu);
    const geometry = { ...groupOptions(options), ...(options.tce ? { tce: options.tce } : {}) };
    this.pciGroup = new IommuGroup(sim, 12, geometry);
    const geometryOfB = { ...geometry, ...(options.reservedOfB ? { reserved: options.reservedOfB } : {}), ...(options.apertureEndOfB === undefined ? {} : { apertureEnd: options.apertureEndOfB }) };
    const groupA = options.hasNoIommu ? null : this.pciGroup;
    const groupB = options.hasNoIommu ? null : options.separateGroups ? new IommuGroup(sim, 13, geometryOfB) : this.pciGroup;
    const bus5 = this.root.addBus(5, false);
    const bus6 = this.root.addBus(6, true, options.atomics?.rootPort);
    this.bridge = new PciDevice(this.root, new PciFunction({ name: "0000:05:00.0", requesterId: 0x500, vendor: 0x1b36, device: 0xc, classCode: 0x060400, headerType: 1 }), { bus: bus5, group: this.pciGroup });
    this.wire = new WiredOr(new GicLevelInput(machine.gic, LEVEL_SPI));
    const { hasBrokenIntxMasking = false } = options;
    const brokenResets = options.noReset ? (["flr", "af_flr", "pm", "bus"] as const) : (options.brokenResets ?? []);
    this.A = new PciDevice(this.root, this.functionA(options), { bus: bus6, group: groupA, irq: machine.level, hasBrokenIntxMasking, brokenResets });
    this.B = new PciDevice(this.root, this.functionB(), { bus: bus6, group: groupB });
    run(this.root.plug(this.A.fn, this.wire.input()));
    run(this.root.plug(this.B.fn, null));
    this.pciDriver = new VfioPciDriver(this.vfio, options.vfio ?? VFIO_PROFILES[options.profile ?? "modern"].pci);
    for (const device of [this.A, this.B, this.bridge]) this.pciBus.addDevice(device);
    this.pciBus.addDriver(new OrdinaryDriver("e1000e", ["pci8086,10d3"]));
    this.pciBus.addDriver(new OrdinaryDriver("pcieport", ["pci1b36,000c"], true));
    this.pciBus.addDriver(this.pciDriver);
    this.sysfs.addBus(this.pciBus);
    this.sysfs.addGroup(this.pciGroup);
    for (const { name } of [this.A, this.B]) this.bind(name);
    this.write("/sys/bus/pci/drivers_probe", this.bridge.name);
  }

  private functionA({ isConventional, extra = [], extended = [], resetsInD3, isMsiMaskable = false, smallBar, tableOffset = 0, vga, atomics, rom }: PciStageOptions): PciFunction {
    const bars: Bar[] = [
      { index: 0, size: 0x1_0000, kind: "mem32", registers: this.bar0 },
      { index: 2, size: 0x4000, kind: "mem32", registers: this.bar2 },
      { index: 4, size: 32, kind: "io", registers: this.bar4 },
      ...(smallBar ? [{ index: 5, size: 0x100, kind: "mem32" as const, registers: this.bar4 }] : []),
    ];
    const express = isConventional ? [] : [expressCapability({ hasFlr: true, atomicCompletions: atomics?.function ?? 0 })];
    const msix: MsixLayout = { vectors: 8, tableBar: 2, tableOffset, pbaBar: 2, pbaOffset: 0x3000 };
    const own = [pmCapability({ noSoftReset: !resetsInD3 }), msiCapability({ vectors: 4, isMaskable: isMsiMaskable }), ...express, msixCapability(msix)];
    return new PciFunction({
      name: "0000:06:00.0",
      requesterId: 0x600,
      vendor: 0x8086,
      device: 0x10d3,
      classCode: vga === undefined ? 0x020000 : 0x030000,
      ...(vga === undefined ? {} : { vga }),
      intxPin: 1,
      bars,
      capabilities: [...own, ...extra],
      extended,
      msix,
      vpd: Uint8Array.from({ length: 16 }, (_, i) => i),
      rom: rom ?? romImage(0x800),
    });
  }

  private functionB(): PciFunction {
    const capabilities = [msixCapability(B_MSIX), expressCapability({ hasFlr: true })];
    const bars: Bar[] = [{ index: 0, size: 0x1000, kind: "mem64", registers: new Registers() }];
    return new PciFunction({ name: "0000:06:00.1", requesterId: 0x601, vendor: 0x8086, device: 0x10d3, classCode: 0x020000, bars, capabilities, msix: B_MSIX });
  }

  bind(name: string): void {
    this.write(`/sys/bus/pci/devices/${name}/driver_override`, "vfio-pci\n");
    this.write("/sys/bus/pci/drivers_probe", name);
  }

  /** R: container c with type1v2, group g, device d for A. */
  override ready(type = uapi.VFIO_TYPE1v2_IOMMU): { c: number; g: number; d: number } {
    const c = this.open("/dev/vfio/vfio");
    const g = this.open("/dev/vfio/12");
    this.setContainer(g, c);
    this.ioctl(c, uapi.VFIO_SET_IOMMU, type);
    return { c, g, d: this.deviceFd(g, this.A.name) };
  }

  /** {@link ready}, with A as bus master and vectors of an index from 0 on told to eventfds; nothing of it is traced. */
  messaging(index: number, ...eventfds: number[]): { c: number; g: number; d: number } {
    const fds = this.ready();
    this.configWrite(fds.d, Pci.COMMAND, 2, Command.MEMORY | Command.MASTER);
    this.setIrqs(fds.d, index, EVENTFD | TRIGGER, 0, eventfds.length, ...eventfds);
    this.machine.untraced();
    return fds;
  }

  override counters(): { drivers: number; openedFile: number; containerUsers: number } {
    const group = this.vfio.groupOf(this.pciGroup);
    if (group === null) throw new Error("no group");
    return run(group.counters());
  }

  /** What vfio-pci has of A. */
  get vfioA(): VfioPciDevice {
    const device = this.pciDriver.deviceOf(this.A.name);
    if (device === null) throw new Error("A is not bound");
    return device;
  }

  /** A's INTx condition, then everything that follows from it. */
  intx(isAsserted: boolean): void {
    run(this.A.fn.intx.setLevel(isAsserted));
    this.settle();
  }

  /** An event of A's vector `n`. */
  event(n: number): void {
    run(this.A.fn.vector(n).pulse());
    this.settle();
  }

  /** Hardware's DisINTx. */
  get isDisIntx(): boolean {
    return (this.A.fn.peek(Pci.COMMAND, 2) & DIS_INTX) !== 0;
  }

  /** A config access of the user: the value, or a negative errno. */
  configRead(d: number, offset: number, size: number): number {
    return this.regionRead(d, CONFIG + offset, size);
  }

  configWrite(d: number, offset: number, size: number, value: number): number {
    return this.regionWrite(d, CONFIG + offset, size, value);
  }

  regionRead(d: number, at: number, size: number): number {
    this.process.memory.setU32(0x2000, 0);
    const result = run(this.process.read(d, 0x2000, size, at));
    return result < 0 ? result : this.process.memory.getU32(0x2000);
  }

  regionWrite(d: number, at: number, size: number, value: number): number {
    this.process.memory.setU32(0x2000, value >>> 0);
    const result = run(this.process.write(d, 0x2000, size, at));
    this.settle();
    return result;
  }
}

/** Takes a lock in a thread of its own, and gives it back when it runs again. */
export class Holder extends Context {
  private holds = false;
  constructor(
    private readonly world: VfioStage,
    private readonly mutex: Mutex,
  ) {
    super("holder", "user", 2);
  }
  override *body(): Step<void> {
    if (this.holds) yield* this.mutex.unlock();
    else yield* this.mutex.lock();
    this.holds = !this.holds;
  }
  toggle(): void {
    this.world.sim.wake(this, 0);
    this.world.settle();
  }
}

/** A closed descriptor. */
export const CLOSED = 77;

export function pipeOf(world: PciStage): number {
  const ends = pipe2(world.process, 0);
  if (typeof ends === "number") throw new Error(`pipe2: ${ends}`);
  return ends[0];
}
