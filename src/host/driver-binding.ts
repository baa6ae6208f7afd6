import { reads, shared, writes } from "../sim/access.js";
import { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ERANGE, EWOULDBLOCK } from "../uapi/errno.js";
import { compatibleOf, coversId, type DynamicId, parseDynamicId, sameId } from "./dynamic-id.js";
import type { IommuGroup } from "./iommu/group.js";
import { KernelModule } from "./module.js";

const PAGE_SIZE = 4096;
/** driver_data of every entry in a driver's table here. */
const TABLE_DATA = 0;

/** A driver of the host kernel. */
export abstract class HostDriver {
  /** VFIO drivers and their like leave the DMA of their devices to user space (vfio.md 2.4). */
  readonly managesDma: boolean = false;

  /** Given by new_id. */
  readonly dynamicIds: DynamicId[] = [];

  /** Where its code is: with no other driver in it. */
  readonly module: KernelModule;

  constructor(readonly name: string) {
    this.module = new KernelModule(name.replaceAll("-", "_"));
  }

  /** By the id tables; an override is not asked here. */
  abstract matches(device: HostDevice): boolean;

  /** Does its table have this id, other than for overrides alone? */
  hasId(_id: DynamicId): boolean {
    return false;
  }

  /** 0 or a negative errno. */
  abstract probe(device: HostDevice): Step<number>;

  /** May block as long as the device is in use. */
  abstract remove(device: HostDevice): Step<void>;

  /** An uncorrectable error of a device that it has: can it go on? */
  *errorDetected(_device: HostDevice): Step<boolean> {
    return false;
  }

  /** There are to be so many virtual functions of a device that it has: 0, or -ENOENT for a driver that makes none. */
  *configureVirtualFunctions(_device: HostDevice, _count: number): Step<number> {
    return -ENOENT;
  }
}

/**
 * A driver that uses its device for the host itself: bound by compatible strings, nothing modelled behind it.
 * `managesDma` is for those of bridges (pcieport), which do no DMA of their own.
 */
export class OrdinaryDriver extends HostDriver {
  constructor(
    name: string,
    private readonly compatible: readonly string[],
    override readonly managesDma = false,
  ) {
    super(name);
  }
  override matches(device: HostDevice): boolean {
    return device.compatible.some((id) => this.compatible.includes(id));
  }
  override hasId(id: DynamicId): boolean {
    return this.compatible.includes(compatibleOf(id));
  }
  override *probe(): Step<number> {
    return 0;
  }
  override *remove(): Step<void> {}
}

/** A device on a bus of the host. */
export class HostDevice {
  /** device_lock: binding and unbinding of this device exclude each other. */
  readonly lock: Mutex;
  private driver: HostDriver | null = null;
  driverOverride: string | null = null;
  /** Functions that it can make (SR-IOV), and how many of them there are: they appear when sriov_numvfs is written. */
  readonly virtualFunctions: HostDevice[] = [];
  virtualFunctionsEnabled = 0;
  /** Where it was added. */
  private hostBus: Bus | null = null;

  /**
   * @param name as in /sys/bus/B/devices
   * @param isThere in its group from now on; a virtual function is from when it appears
   */
  constructor(
    sim: Sim,
    readonly name: string,
    readonly compatible: readonly string[],
    readonly group: IommuGroup | null,
    isThere = true,
  ) {
    this.lock = new Mutex(sim, "device_lock");
    if (isThere) group?.add(this);
  }

  get isBridge(): boolean {
    return false;
  }

  /** vfio.md 2.2: an override, once set, is the only driver that matches. */
  accepts(driver: HostDriver): boolean {
    if (this.driverOverride !== null) return this.driverOverride === driver.name;
    return driver.matches(this) || driver.dynamicIds.some((id) => this.matchesId(id));
  }

  /** Name of its character device, as in X/vfio-dev, while a VFIO driver shows it; null. */
  vfioDev: string | null = null;

  /** Text of a file of its own in /sys/bus/B/devices/X, without the newline; null where it has none of that name. */
  attribute(_name: string): string | null {
    return null;
  }

  /** Is it meant by an id of its bus? */
  matchesId(_id: DynamicId): boolean {
    return false;
  }

  /** The bound driver, or null: without the lock, as whoever follows the link in sysfs. */
  *boundDriver(): Step<HostDriver | null> {
    yield reads(this, "driver");
    return this.driver;
  }

  private *setDriver(driver: HostDriver | null): Step<void> {
    yield writes(this, "driver");
    this.driver = driver;
  }

  /** device_driver_attach: 0, -EBUSY where any driver is bound, -ENODEV for a driver that is being unloaded, or the probe's error. */
  *attach(driver: HostDriver): Step<number> {
    yield* this.lock.lock();
    const bound = yield* this.boundDriver();
    let result = -EBUSY;
    // Asked under the lock, which an unload takes for every device: it leaves none behind that was being bound.
    if (bound === null) result = (yield* driver.module.referenceCount()) < 0 ? -ENODEV : yield* this.probe(driver);
    yield* this.lock.unlock();
    return result;
  }

  /** Lock held. Who uses the host's DMA API owns the group with the kernel from before the probe (vfio.md 2.5). */
  private *probe(driver: HostDriver): Step<number> {
    const group = driver.managesDma ? null : this.group;
    let result = group === null ? 0 : yield* group.useDefaultDomain();
    if (result !== 0) return result;
    result = yield* driver.probe(this);
    if (result === 0) yield* this.setDriver(driver);
    else if (group !== null) yield* group.unuseDefaultDomain();
    return result;
  }

  /** 0 after the driver's remove has ended, or -ENODEV where another driver, or none, is bound. */
  *detach(driver: HostDriver): Step<number> {
    yield* this.lock.lock();
    const isBound = (yield* this.boundDriver()) === driver;
    if (isBound) {
      yield* driver.remove(this);
      if (!driver.managesDma && this.group !== null) yield* this.group.unuseDefaultDomain();
      yield* this.setDriver(null);
    }
    yield* this.lock.unlock();
    return isBound ? 0 : -ENODEV;
  }

  /** It has appeared on a bus. */
  appearOn(bus: Bus): void {
    this.hostBus = bus;
    this.group?.add(this);
  }

  /** It has gone from there: nobody counts it any more. */
  disappear(): void {
    this.hostBus = null;
    this.group?.remove(this);
  }

  /** Lock held (pci_disable_sriov): its virtual functions go, the last one first, and the caller waits for their users. */
  *disableVirtualFunctions(left = 0): Step<void> {
    while (this.hostBus !== null && this.virtualFunctionsEnabled > left) yield* this.hostBus.removeDevice(this.virtualFunctions[--this.virtualFunctionsEnabled]);
  }

  /** The file driver_override: a newline at the end is dropped, nothing left clears it. 0 or -EINVAL. */
  setOverride(text: string): number {
    if (text.length >= PAGE_SIZE) return -EINVAL;
    const name = text.endsWith("\n") ? text.slice(0, -1) : text;
    this.driverOverride = name === "" ? null : name;
    return 0;
  }
}
shared(HostDevice, "driver");

/** A bus with its devices and drivers, and the files that bind one to the other (vfio.md 2.1). Results are 0 or negative errnos. */
export class Bus {
  private readonly devices: HostDevice[] = [];
  private readonly drivers: HostDriver[] = [];

  constructor(readonly name: string) {}

  device(name: string): HostDevice | null {
    return this.devices.find((device) => device.name === name) ?? null;
  }

  driver(name: string): HostDriver | null {
    return this.drivers.find((driver) => driver.name === name) ?? null;
  }

  /** A device appears; drivers are tried at {@link probe}. */
  addDevice(device: HostDevice): void {
    this.devices.push(device);
    device.appearOn(this);
  }

  addDriver(driver: HostDriver): void {
    this.drivers.push(driver);
  }

  /**
   * delete_module (rmmod): 0 after the driver has let go of all its devices, or -EWOULDBLOCK while somebody holds its module, as
   * an open VFIO device does; -EBUSY where it is going already, -ENOENT where it is not loaded.
   */
  *unload(driver: HostDriver): Step<number> {
    if (!this.drivers.includes(driver)) return -ENOENT;
    if ((yield* driver.module.referenceCount()) < 0) return -EBUSY;
    if (!(yield* driver.module.tryStop())) return -EWOULDBLOCK;
    // From the last: a function that goes takes its virtual ones with it, which were added after it.
    for (let i = this.devices.length - 1; i >= 0; i--) if (i < this.devices.length) yield* this.devices[i].detach(driver);
    driver.dynamicIds.length = 0;
    this.drivers.splice(this.drivers.indexOf(driver), 1);
    return 0;
  }

  /** finit_module (modprobe) of a driver that was unloaded: 0 after it has been tried at all devices, -EEXIST where it is loaded. */
  *load(driver: HostDriver): Step<number> {
    if (this.drivers.includes(driver)) return -EEXIST;
    yield* driver.module.start();
    this.drivers.push(driver);
    for (let i = 0; i < this.devices.length; i++) if (this.devices[i].accepts(driver)) yield* this.devices[i].attach(driver);
    return 0;
  }

  /** The driver of a module that is loaded, or going; null. */
  driverIn(module: string): HostDriver | null {
    return this.drivers.find((driver) => driver.module.name === module) ?? null;
  }

  /** D/bind. */
  *bind(driver: HostDriver, deviceName: string): Step<number> {
    const device = this.device(deviceName);
    if (device === null || !device.accepts(driver)) return -ENODEV;
    return yield* device.attach(driver);
  }

  /** D/unbind: after the driver's remove, which may block. */
  *unbind(driver: HostDriver, deviceName: string): Step<number> {
    const device = this.device(deviceName);
    return device === null ? -ENODEV : yield* device.detach(driver);
  }

  /**
   * D/new_id: 0 after probing what it fits, -EINVAL for no id, -EEXIST where the driver has what covers it, which seven fields
   * are not asked, -EINVAL for data that no entry of the driver's table has.
   */
  *newId(driver: HostDriver, text: string): Step<number> {
    const id = parseDynamicId(text);
    if (id === null) return -EINVAL;
    if (!id.hasAllFields && (driver.hasId(id) || driver.dynamicIds.some((each) => coversId(each, id)))) return -EEXIST;
    if (id.driverData !== TABLE_DATA) return -EINVAL;
    driver.dynamicIds.push(id);
    for (let i = 0; i < this.devices.length; i++) {
      const device = this.devices[i];
      if (device.matchesId(id) && device.accepts(driver)) yield* device.attach(driver);
    }
    return 0;
  }

  /** D/remove_id: 0, -EINVAL, or -ENODEV where it was not given. What is bound stays. */
  removeId(driver: HostDriver, text: string): number {
    const id = parseDynamicId(text);
    if (id === null) return -EINVAL;
    const at = driver.dynamicIds.findIndex((each) => sameId(each, id));
    if (at < 0) return -ENODEV;
    driver.dynamicIds.splice(at, 1);
    return 0;
  }

  /**
   * X/sriov_numvfs (vfio.md 2.1): 0, -ERANGE, -ENOENT where the driver makes none, -EBUSY where there are some. The functions of
   * a VFIO driver's device are for that driver (2.3).
   */
  *setVirtualFunctions(device: HostDevice, count: number): Step<number> {
    const { virtualFunctions } = device;
    if (!(count >= 0) || count > virtualFunctions.length) return -ERANGE;
    yield* device.lock.lock();
    const result = count === device.virtualFunctionsEnabled ? 0 : yield* this.changeVirtualFunctions(device, count);
    yield* device.lock.unlock();
    return result;
  }

  /** The device's lock held: its driver stays. */
  private *changeVirtualFunctions(device: HostDevice, count: number): Step<number> {
    const { virtualFunctions } = device;
    const driver = yield* device.boundDriver();
    const result = driver === null ? -ENOENT : yield* driver.configureVirtualFunctions(device, count);
    if (result !== 0 || driver === null) return result;
    if (count > 0 && device.virtualFunctionsEnabled > 0) return -EBUSY;
    yield* device.disableVirtualFunctions(count);
    while (device.virtualFunctionsEnabled < count) {
      yield writes(device, "virtualFunctionsEnabled");
      const made = virtualFunctions[device.virtualFunctionsEnabled++];
      made.driverOverride = driver.managesDma ? driver.name : null;
      this.addDevice(made);
      yield* this.probe(made.name);
    }
    return 0;
  }

  /** A device goes: unbound first, which waits for its users. */
  *removeDevice(device: HostDevice): Step<void> {
    const driver = yield* device.boundDriver();
    if (driver !== null) yield* device.detach(driver);
    this.devices.splice(this.devices.indexOf(device), 1);
    device.disappear();
  }

  /** drivers_probe: 0 even where nothing matched, as a probe's own error is only logged. */
  *probe(deviceName: string): Step<number> {
    const device = this.device(deviceName);
    if (device === null) return -ENODEV;
    for (let i = 0; i < this.drivers.length; i++)
      if (device.accepts(this.drivers[i])) {
        const result = yield* device.attach(this.drivers[i]);
        if (result === 0 || result === -EBUSY) break;
      }
    return 0;
  }
}
