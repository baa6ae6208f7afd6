import { Cost } from "../sim/cost.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EINVAL, ENOENT } from "../uapi/errno.js";
import type { Bus } from "./driver-binding.js";
import type { IommuGroup, ReservedKind } from "./iommu/group.js";

const RESERVED_NAMES: Readonly<Record<ReservedKind, string>> = {
  direct: "direct",
  "direct-relaxable": "direct-relaxable",
  reserved: "reserved",
  msi: "msi",
  "sw-msi": "msi",
};

const hex16 = (value: bigint): string => `0x${value.toString(16).padStart(16, "0")}`;

/**
 * The text files of /sys that bind drivers and tell groups (vfio.md 2.1, 20.2). A write answers the bytes written or a
 * negative errno; a read answers text or a negative errno.
 */
export class Sysfs {
  private readonly buses = new Map<string, Bus>();
  private readonly groups = new Map<number, IommuGroup>();

  constructor(private readonly sim: Sim) {}

  addBus(bus: Bus): void {
    this.buses.set(bus.name, bus);
  }

  addGroup(group: IommuGroup): void {
    this.groups.set(group.id, group);
  }

  *write(path: string, text: string): Step<number> {
    this.sim.charge(Cost.syscall);
    const name = text.endsWith("\n") ? text.slice(0, -1) : text;
    const result = yield* this.store(path.split("/").slice(1), name, text);
    return result < 0 ? result : text.length;
  }

  private *store(parts: string[], name: string, text: string): Step<number> {
    const group = this.groupOf(parts);
    if (group !== undefined) return parts[4] === "type" ? yield* group.setDefaultType(name) : -ENOENT;
    const bus = this.busOf(parts);
    if (bus === null) return -ENOENT;
    const [, , , kind, item, file, last] = parts;
    if (kind === "drivers_probe" && parts.length === 4) return yield* bus.probe(name);
    if (kind === "drivers" && parts.length === 6) return yield* this.storeDriver(bus, item, file, name);
    const device = kind === "devices" ? bus.device(item) : null;
    if (device === null) return -ENOENT;
    if (file === "driver_override" && parts.length === 6) return device.setOverride(text);
    if (file === "sriov_numvfs" && parts.length === 6 && device.virtualFunctions.length > 0)
      return /^\d+$/.test(name) ? yield* bus.setVirtualFunctions(device, Number(name)) : -EINVAL;
    if (file !== "driver" || parts.length !== 7) return -ENOENT;
    const driver = yield* device.boundDriver();
    return driver === null ? -ENOENT : yield* this.storeDriver(bus, driver.name, last, name);
  }

  private *storeDriver(bus: Bus, driverName: string, file: string, name: string): Step<number> {
    const driver = bus.driver(driverName);
    if (driver === null) return -ENOENT;
    if (file === "bind") return yield* bus.bind(driver, name);
    if (file === "unbind") return yield* bus.unbind(driver, name);
    if (bus.name !== "pci") return -ENOENT;
    if (file === "new_id") return yield* bus.newId(driver, name);
    return file === "remove_id" ? bus.removeId(driver, name) : -ENOENT;
  }

  /** The text of a file, or a negative errno. */
  *read(path: string): Step<string | number> {
    this.sim.charge(Cost.syscall);
    const parts = path.split("/").slice(1);
    if (parts[1] === "module") return parts.length === 4 ? yield* this.readModule(parts[2], parts[3]) : -ENOENT;
    const group = this.groupOf(parts);
    if (group !== undefined) return readGroup(group, parts[4]);
    const device = parts[3] === "devices" && parts.length === 6 ? this.busOf(parts)?.device(parts[4]) : null;
    if (!device) return -ENOENT;
    const text = parts[5] === "driver_override" ? (device.driverOverride ?? "(null)") : device.attribute(parts[5]);
    return text === null ? -ENOENT : `${text}\n`;
  }

  /** refcnt and initstate of a driver's module. */
  private *readModule(name: string, file: string): Step<string | number> {
    const driver = [...this.buses.values()].map((bus) => bus.driverIn(name)).find((each) => each !== null);
    if (driver === undefined || driver === null) return -ENOENT;
    const count = yield* driver.module.referenceCount();
    if (file === "refcnt") return `${count}\n`;
    return file === "initstate" ? (count < 0 ? "going\n" : "live\n") : -ENOENT;
  }

  /** Of a file in /sys/kernel/iommu_groups/N. */
  private groupOf(parts: readonly string[]): IommuGroup | undefined {
    const isFile = parts[0] === "sys" && parts[1] === "kernel" && parts[2] === "iommu_groups" && parts.length === 5;
    return isFile ? this.groups.get(Number(parts[3])) : undefined;
  }

  /** Where a link points: `driver` and `iommu_group` of a device; null where there is none. */
  *readlink(path: string): Step<string | null> {
    const parts = path.split("/").slice(1);
    const bus = this.busOf(parts);
    const device = parts[3] === "devices" && parts.length === 6 ? (bus?.device(parts[4]) ?? null) : null;
    if (bus === null || device === null) return null;
    if (parts[5] === "iommu_group") return device.group === null ? null : `/sys/kernel/iommu_groups/${device.group.id}`;
    if (parts[5] !== "driver") return null;
    const driver = yield* device.boundDriver();
    return driver === null ? null : `/sys/bus/${bus.name}/drivers/${driver.name}`;
  }

  /** The names in /sys/kernel/iommu_groups/N/devices, and in /sys/bus/B/devices/X/vfio-dev; -ENOENT. */
  list(path: string): readonly string[] | number {
    const parts = path.replace(/\/$/, "").split("/").slice(1);
    if (parts[5] === "vfio-dev" && parts[3] === "devices" && parts.length === 6) {
      const name = this.busOf(parts)?.device(parts[4])?.vfioDev ?? null;
      return name === null ? -ENOENT : [name];
    }
    const group = parts[4] === "devices" ? this.groupOf(parts) : undefined;
    return group === undefined ? -ENOENT : group.members;
  }

  private busOf(parts: string[]): Bus | null {
    return parts[0] === "sys" && parts[1] === "bus" ? (this.buses.get(parts[2]) ?? null) : null;
  }
}

function readGroup(group: IommuGroup, file: string): string | number {
  if (file === "type") return `${group.defaultType}\n`;
  if (file !== "reserved_regions") return -ENOENT;
  return group.reserved.map((region) => `${hex16(region.start)} ${hex16(region.end)} ${RESERVED_NAMES[region.kind]}\n`).join("");
}
