import { PciFunction } from "../device/pci/function.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { XenHypervisor } from "../host/xen/hypervisor.js";
import { XenMsiDomain } from "../host/xen/msi-domain.js";
import type { Random } from "../sim/random.js";
import type { Step } from "../sim/step.js";
import { BareHost } from "../explore/stages/kvm-machine.js";
import { PciStage, type PciStageOptions } from "../explore/stages/pci-stage.js";
import { Arm64 } from "../kvm/arm64/arm64.js";
import { KvmFile } from "../kvm/system.js";
import { KVM_CREATE_DEVICE, KVM_CREATE_VM, KVM_DEV_TYPE_VFIO } from "../uapi/kvm.js";
import { VfioXenPciDriver } from "./backends/xen/driver.js";
import { SpaprBackend } from "./iommu/spapr.js";
import { XenIommuBackend } from "./iommu/xen.js";
import { DmaLog } from "./migration/dma-log.js";
import type { MigrationDriver } from "./migration/migration.js";
import { VFIO_PROFILES, type VfioProfileName } from "./profiles.js";

/** What a world of hostile users may be: a profile, or a host above Xen, or one with a device that no IOMMU guards. */
export const SOAK_WORLDS = ["modern", "v5", "draft2011", "xen", "noiommu"] as const;
export type SoakWorld = (typeof SOAK_WORLDS)[number];

const GUEST = 5;
const UNGUARDED = "0000:07:00.0";
const TCE = { windowStart: 0n, windowSize: 0x10_0000n, dynamicPageSizes: 0x1_1000n, maxLevels: 4 };

class Driver implements MigrationDriver {
  readonly flags = 7;
  private state = Uint8Array.of(1, 2, 3, 4);
  *step(): Step<number> {
    return 0;
  }
  *save(): Step<Uint8Array> {
    return this.state.slice();
  }
  *load(state: Uint8Array): Step<boolean> {
    if (state.length === 4) this.state = state.slice();
    return state.length === 4;
  }
}

/** A machine with every IOMMU backend, whose functions migrate and log their DMA. */
export function soakWorld(kind: SoakWorld, random: Random): PciStage {
  const profile = VFIO_PROFILES[kind === "xen" || kind === "noiommu" ? "modern" : (kind satisfies VfioProfileName)];
  const options: PciStageOptions = {
    ...profile.group,
    ...profile.type1,
    separateGroups: random.below(2) === 0,
    tce: TCE,
    lockedMemoryLimit: 0x20_0000,
    core: { ...profile.core, enableUnsafeNoiommuMode: kind === "noiommu" },
    capabilities: kind === "noiommu" ? ["SYS_RAWIO"] : [],
    platform: profile.platform,
    vfio: { ...profile.pci, migration: () => new Driver(), dmaLog: ({ root }) => new DmaLog(root.host.sim) },
  };
  const world = new PciStage(options);
  const xen = new XenHypervisor(world.sim);
  xen.addGuest(GUEST);
  xen.addGuest(GUEST + 1);
  world.vfio.registerIommu(new SpaprBackend(world.sim));
  world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
  if (kind === "xen") aboveXen(world, xen);
  if (kind === "noiommu") addUnguarded(world);
  return world;
}

/** Function A goes to vfio-xen-pci: its wire and its messages are the hypervisor's. */
function aboveXen(world: PciStage, xen: XenHypervisor): void {
  const { host } = world.machine;
  const msi = new XenMsiDomain(host.irqs, xen.pirqs);
  host.msi = msi;
  world.A.fn.connect(xen.pirqs.lineOf(world.A.name, world.wire.input()), world.root);
  world.pciBus.addDriver(new VfioXenPciDriver(world.vfio, { xen, msi, guest: GUEST, migration: () => new Driver() }));
  const path = `/sys/bus/pci/devices/${world.A.name}`;
  world.write(`${path}/driver/unbind`, world.A.name);
  world.write(`${path}/driver_override`, "vfio-xen-pci");
  world.write("/sys/bus/pci/drivers_probe", world.A.name);
}

/** A VM of the monitor's with its KVM-VFIO device, on Arm, where interrupts are forwarded (profile fwd2014). */
export function kvmVfioOf(world: PciStage): void {
  const kvm = world.process.install(new KvmFile(new BareHost(world.sim), new Arm64({ cpus: 1, gicVersion: 3 })));
  const vm = world.ioctl(kvm, KVM_CREATE_VM, 0);
  world.call(vm, KVM_CREATE_DEVICE, KVM_DEV_TYPE_VFIO, 0, 0);
}

function addUnguarded(world: PciStage): void {
  const fn = new PciFunction({ name: UNGUARDED, requesterId: 0x700, vendor: 0x8086, device: 0x10d3, classCode: 0x020000 });
  world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(7, false) }));
  world.bind(UNGUARDED);
}
