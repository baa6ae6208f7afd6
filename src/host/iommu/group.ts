import { guarded, reads, shared, writes } from "../../sim/access.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL, EPERM } from "../../uapi/errno.js";
import { IommuDomain } from "./domain.js";
import type { DmaFault, DmaFaults } from "./faults.js";

/** vfio.md 20.2. */
export type ReservedKind = "direct" | "direct-relaxable" | "reserved" | "msi" | "sw-msi";

/** A range of I/O virtual addresses that no user mapping may cover; `end` is inclusive. */
export interface ReservedRegion {
  readonly start: bigint;
  readonly end: bigint;
  readonly kind: ReservedKind;
}

/** Where an Arm SMMU driver puts the doorbells (host-irq.md 5.4): 1 MiB at 0x08000000. */
export const SW_MSI_REGION: ReservedRegion = { start: 0x0800_0000n, end: 0x080f_ffffn, kind: "sw-msi" };

/** What a Power platform's IOMMU gives a partitionable endpoint (vfio.md 18). */
export interface TceGeometry {
  /** The 32-bit window; a size of 0 where there is none. */
  readonly windowStart: bigint;
  readonly windowSize: bigint;
  /** Of windows that users make: page sizes, one bit each, and how deep their tables may be; 0 where there are none. */
  readonly dynamicPageSizes?: bigint;
  readonly maxLevels?: number;
  /** Tables of one format serve several groups together. */
  readonly format?: string;
}

/** What a group's DMA goes through, and who is told of what is terminated there: one to whoever looks. */
export interface Attachment {
  readonly through: IommuDomain | "default" | "blocking";
  readonly faults: DmaFaults | null;
  /** Whoever has walked the domain's tables looks at it then, nothing in between: false, and the walk counts for nothing. */
  isCurrent: boolean;
}

/** A member, and the driver that VFIO of before 5.19 looks at. */
export interface GroupDevice {
  readonly name: string;
  /** A bridge is in the group for what lies behind it: nobody's to give. */
  readonly isBridge: boolean;
  boundDriver(): Step<{ readonly managesDma: boolean } | null>;
}

/** Linux stops deliberately here (BUG): host and user would share memory. Not an errno, and the end of the model's run. */
export class GroupViabilityViolated extends Error {}

/** Addresses of 52 bits: what transactions carry. */
const LAST_TCE = (1n << 52n) - 1n;

/** The host's own domain of a group, as its file `type` says it: translated, with invalidations put off, or not at all. */
const DEFAULT_TYPES = ["DMA", "DMA-FQ", "identity"] as const;
export type DefaultDomainType = (typeof DEFAULT_TYPES)[number];

export interface IommuGroupOptions {
  /** What the host's own domain is at boot; default "DMA". */
  defaultType?: DefaultDomainType;
  /**
   * Whose the DMA of a group is, is known: Linux 5.19 and later. Without it VFIO looks at the members' drivers, and a host
   * driver that is bound to a member in use stops the machine (vfio.md 2.6, profile v5). Default true.
   */
  hasDmaOwnership?: boolean;
  /** A group of a Power machine. */
  tce?: TceGeometry;
  /** Groups with the same name share one IOMMU, so one domain can serve them. */
  iommu?: string;
  reserved?: readonly ReservedRegion[];
  /** Last I/O virtual address; default 2^48 - 1. */
  apertureEnd?: bigint;
  /** Page sizes of the IOMMU, one bit each; default 4 KiB, 2 MiB, 1 GiB. */
  pageSizes?: bigint;
  /** DMA through the IOMMU snoops the caches; default true. VFIO takes no other device. */
  isCoherent?: boolean;
  /** The IOMMU can force non-snooping DMA to snoop; default true. */
  enforcesCoherency?: boolean;
  /** No member can forge another's messages (vfio.md 20.1); default true. */
  isMsiIsolated?: boolean;
  /** The IOMMU sets a bit in the entry of a page that is written. Default true. */
  tracksDirty?: boolean;
  /** The IOMMU's driver can make a domain the second of two stages; default true. */
  canNest?: boolean;
}

/**
 * The smallest set of devices that an IOMMU can tell apart, with its DMA ownership (vfio.md 2.5). `domain` is what its
 * DMA goes through: the host's default one, none at all (blocking), or a user's.
 */
export class IommuGroup {
  readonly mutex: Mutex;
  /** Names of the member devices. */
  readonly members: string[] = [];
  readonly iommu: string;
  readonly reserved: readonly ReservedRegion[];
  /** First and last address of the doorbells that the hardware takes out of translation; -1 where there are none. */
  private readonly hardwareMsiStart: number;
  private readonly hardwareMsiEnd: number;
  readonly apertureEnd: bigint;
  readonly pageSizes: bigint;
  readonly isCoherent: boolean;
  readonly enforcesCoherency: boolean;
  readonly isMsiIsolated: boolean;
  readonly canNest: boolean;
  readonly tracksDirty: boolean;
  readonly tce: TceGeometry | null;
  readonly hasDmaOwnership: boolean;
  /** The member devices, as far as they say which driver they have. */
  readonly devices: GroupDevice[] = [];
  private readonly bootType: DefaultDomainType;
  private type: DefaultDomainType;
  private owner: object | null = null;
  private ownerCount = 0;
  private domain: Attachment = { through: "default", faults: null, isCurrent: true };

  constructor(
    private readonly sim: Sim,
    readonly id: number,
    options: IommuGroupOptions = {},
  ) {
    this.mutex = new Mutex(sim, "iommu_group.mutex");
    this.iommu = options.iommu ?? "iommu";
    this.reserved = options.reserved ?? [];
    const doorbells = this.reserved.find((region) => region.kind === "msi");
    this.hardwareMsiStart = doorbells === undefined ? -1 : Number(doorbells.start);
    this.hardwareMsiEnd = doorbells === undefined ? -1 : Number(doorbells.end);
    this.apertureEnd = options.apertureEnd ?? 0xffff_ffff_ffffn;
    this.pageSizes = options.pageSizes ?? 0x4020_1000n;
    this.isCoherent = options.isCoherent ?? true;
    this.enforcesCoherency = options.enforcesCoherency ?? true;
    this.isMsiIsolated = options.isMsiIsolated ?? true;
    this.canNest = options.canNest ?? true;
    this.tracksDirty = options.tracksDirty ?? true;
    this.tce = options.tce ?? null;
    this.hasDmaOwnership = options.hasDmaOwnership ?? true;
    this.bootType = options.defaultType ?? "DMA";
    this.type = this.bootType;
  }

  /** A device appears, and is a member from then on. */
  add(device: GroupDevice): void {
    if (this.devices.includes(device)) return;
    this.devices.push(device);
    this.members.push(device.name);
  }

  remove(device: GroupDevice): void {
    this.devices.splice(this.devices.indexOf(device), 1);
    this.members.splice(this.members.indexOf(device.name), 1);
  }

  /** The file `type` (vfio.md 2.1): what the host's domain is, whoever has the group. Host drivers' DMA is not modelled, so nothing else shows it. */
  get defaultType(): DefaultDomainType {
    return this.type;
  }

  /**
   * A write of that file, or "auto": 0, -EINVAL for another word. While anybody uses the group, only invalidations can be put
   * off (DMA to DMA-FQ): -EPERM. Before 5.19 -EINVAL in a group of several, and -EBUSY while a driver is bound.
   */
  *setDefaultType(word: string): Step<number> {
    const type = word === "auto" ? this.bootType : DEFAULT_TYPES.find((each) => each === word);
    if (type === undefined) return -EINVAL;
    yield* this.mutex.lock();
    const isPutOff = this.type === "DMA" && word === "DMA-FQ";
    const result = isPutOff ? 0 : yield* this.whyNotChangeType();
    if (result === 0) this.type = type;
    yield* this.mutex.unlock();
    return result;
  }

  private *whyNotChangeType(): Step<number> {
    if (this.hasDmaOwnership) return this.devices.length === 0 || this.ownerCount > 0 ? -EPERM : 0;
    if (this.devices.length !== 1) return -EINVAL;
    return (yield* this.devices[0].boundDriver()) === null ? 0 : -EBUSY;
  }

  /** An ordinary host driver is about to be bound to a member: 0 or -EBUSY. */
  *useDefaultDomain(): Step<number> {
    yield* this.mutex.lock();
    const isFree = this.owner === null && (yield* this.current()) === "default";
    if (!this.hasDmaOwnership) {
      if (!isFree) throw new GroupViabilityViolated(`a host driver is bound to a member of IOMMU group ${this.id}, which user space has`);
    } else if (isFree) this.ownerCount++;
    yield* this.mutex.unlock();
    return isFree ? 0 : -EBUSY;
  }

  *unuseDefaultDomain(): Step<void> {
    yield* this.mutex.lock();
    if (this.hasDmaOwnership) this.ownerCount--;
    yield* this.mutex.unlock();
  }

  /**
   * User space takes the group for itself: 0, -EPERM while anybody uses it, -EBUSY, -EINVAL. DMA is blocked from then on.
   *
   * @param faults told of the group's DMA that is terminated, for as long as it is owned
   */
  *claimDmaOwner(cookie: object, faults: DmaFaults | null = null): Step<number> {
    yield* this.mutex.lock();
    const result = yield* this.whyNotClaim();
    if (this.sim.hazards.claimOutsideMutex) yield* this.letOthers();
    if (result === 0) yield* this.give(cookie, faults);
    yield* this.mutex.unlock();
    return result;
  }

  /** A device of the group is bound to an iommufd: its user may own the group already. 0, -EPERM, -EBUSY, -EINVAL. */
  *claimDeviceOwner(cookie: object, faults: DmaFaults): Step<number> {
    yield* this.mutex.lock();
    const isMine = this.owner === cookie;
    const result = isMine ? 0 : yield* this.whyNotClaim();
    if (this.sim.hazards.claimOutsideMutex) yield* this.letOthers();
    if (isMine) this.ownerCount++;
    else if (result === 0) yield* this.give(cookie, faults);
    yield* this.mutex.unlock();
    return result;
  }

  /** The last device of the owner's gives the group back. */
  *releaseDeviceOwner(): Step<void> {
    yield* this.mutex.lock();
    const isShared = this.ownerCount > 1;
    if (this.sim.hazards.claimOutsideMutex) yield* this.letOthers();
    if (isShared) this.ownerCount--;
    else yield* this.takeBack();
    yield* this.mutex.unlock();
  }

  *releaseDmaOwner(): Step<void> {
    yield* this.mutex.lock();
    yield* this.takeBack();
    yield* this.mutex.unlock();
  }

  /** Lock held: 0 or what {@link claimDmaOwner} answers. */
  private *whyNotClaim(): Step<number> {
    if (this.ownerCount !== 0) return -EPERM;
    if ((yield* this.current()) !== "default") return -EBUSY;
    return this.reserved.some((region) => region.kind === "direct") ? -EINVAL : 0;
  }

  /** Lock held. */
  private *give(cookie: object, faults: DmaFaults | null): Step<void> {
    this.owner = cookie;
    this.ownerCount = 1;
    yield* this.setDomain("blocking", faults);
  }

  /** Lock held. */
  private *takeBack(): Step<void> {
    if (this.ownerCount !== 1 || this.owner === null) throw new Error(`IOMMU group ${this.id} is released ${this.ownerCount} times owned`);
    this.owner = null;
    this.ownerCount = 0;
    yield* this.setDomain("default", null);
  }

  private *letOthers(): Step<void> {
    yield* this.mutex.unlock();
    yield* this.mutex.lock();
  }

  *isDmaOwnerClaimed(): Step<boolean> {
    yield* this.mutex.lock();
    const isClaimed = this.ownerCount !== 0;
    yield* this.mutex.unlock();
    return isClaimed;
  }

  /** No member is bound to a driver that uses the host's DMA (2.6). */
  *hasNoHostDriver(): Step<boolean> {
    for (let i = 0; i < this.devices.length; i++) {
      const driver = yield* this.devices[i].boundDriver();
      if (driver !== null && !driver.managesDma) return false;
    }
    return true;
  }

  *isOwnedBy(cookie: object): Step<boolean> {
    yield* this.mutex.lock();
    const isOwner = this.owner === cookie;
    yield* this.mutex.unlock();
    return isOwner;
  }

  /** A domain that fits this group: its IOMMU's geometry, and a cookie where the IOMMU knows no messages (vfio.md 17.3, 8). */
  newDomain(): IommuDomain {
    const { enforcesCoherency, pageSizes, lastAddress: apertureEnd } = this;
    const msiWindow = this.reserved.find((region) => region.kind === "sw-msi") ?? null;
    return new IommuDomain(this.iommu, { enforcesCoherency, pageSizes, apertureEnd, msiWindow });
  }

  /** Can its DMA go through a domain: one of its IOMMU, and no deeper than that walks for it? */
  canUse(domain: IommuDomain): boolean {
    return domain.iommu === this.iommu && domain.apertureEnd <= this.lastAddress;
  }

  /** Windows of a Power machine may lie anywhere, whatever the first one ends at. */
  private get lastAddress(): bigint {
    return this.tce === null ? this.apertureEnd : LAST_TCE;
  }

  /** The owner attaches a domain, or null for none: DMA is blocked again. */
  *attach(domain: IommuDomain | null): Step<void> {
    yield* this.mutex.lock();
    yield* this.setDomain(domain ?? "blocking");
    yield* this.mutex.unlock();
  }

  /** Is an address, in halves, one of those doorbells? */
  isHardwareMsi(addressHi: number, addressLo: number): boolean {
    const address = (addressHi >>> 0) * 0x1_0000_0000 + (addressLo >>> 0);
    return address >= this.hardwareMsiStart && address <= this.hardwareMsiEnd;
  }

  /** What a member's DMA goes through now. */
  *current(): Step<Attachment["through"]> {
    return (yield* this.attachment()).through;
  }

  *attachment(): Step<Attachment> {
    yield reads(this, "domain");
    return this.domain;
  }

  /** A transaction of a member's was terminated: who owns the group, if anybody does, is told. */
  *tell(stream: number, iova: number, isWrite: boolean, reason: DmaFault["reason"]): Step<void> {
    yield reads(this, "domain");
    const { faults } = this.domain;
    if (faults !== null) yield* faults.add({ group: this.id, stream, iova, isWrite, reason });
  }

  /**
   * Who is told stays who it was, unless it is given. On return no DMA goes by the domain of before: the IOMMU forgets what it
   * had of the group's, and transactions that had found it look again.
   */
  private *setDomain(through: Attachment["through"], faults?: DmaFaults | null): Step<void> {
    yield writes(this, "domain");
    const before = this.domain;
    this.domain = { through, faults: faults === undefined ? before.faults : faults, isCurrent: true };
    if (typeof before.through === "string" || this.sim.hazards.attachWithoutInvalidate) return;
    yield writes(before.through, "slots");
    before.isCurrent = false;
  }

  /** "owner NULL, count 1, default": for tests and dumps. */
  describeOwnership(): string {
    const { through } = this.domain;
    const domain = typeof through === "string" ? through : "user";
    return `${this.owner === null ? "kernel" : "user"} ${this.ownerCount} ${domain}`;
  }
}
guarded(IommuGroup, (group) => group.mutex, "owner", "ownerCount");
shared(IommuGroup, "domain");
