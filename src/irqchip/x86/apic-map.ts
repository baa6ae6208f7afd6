import { reads, shared, writes } from "../../sim/access.js";
import { Mutex } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { ApicMode } from "./apic-base.js";
import { ApicReg, DFR_FLAT } from "./lapic/registers.js";
import type { Lapic } from "./lapic/lapic.js";
import type { LocalApicSet } from "./local-apics.js";

/** How logical destinations are answered. */
export const enum LogicalModel {
  /** No software-enabled APIC has a logical id: nobody is meant. */
  NONE,
  FLAT,
  CLUSTER,
  X2APIC,
  /** The models or ids are in conflict: the slow scan decides. */
  SCAN,
}

const XAPIC_IDS = 256;
const CLUSTERS = 16;
const CLUSTER_SIZE = 4;
const FLAT_SIZE = 8;

type Slots = (Lapic | null)[];

/** One published version of the optimised map (x86-irqchip.md 6.2). Never changed once published. */
export class ApicMap {
  model = LogicalModel.NONE;
  readonly byId: Slots;
  /** Flat: by bit; cluster: by cluster * 4 + bit. */
  readonly byLogical: Slots = new Array<Lapic | null>(CLUSTERS * CLUSTER_SIZE).fill(null);
  hasModifiedId = false;

  constructor(readonly maxId: number) {
    this.byId = new Array<Lapic | null>(maxId + 1).fill(null);
  }

  /** False: the id is taken, and without 32-bit ids that ends the map. */
  addPhysical(lapic: Lapic, mode: ApicMode, xapicId: number, use32BitIds: boolean): boolean {
    const { id } = lapic.vcpu;
    const isX2apic = mode === ApicMode.X2APIC;
    if (!isX2apic && xapicId !== (id & 0xff)) this.hasModifiedId = true;
    if (!use32BitIds) {
      const own = isX2apic ? id : xapicId;
      if (this.byId[own] !== null) return false;
      this.byId[own] = lapic;
      return true;
    }
    // Ids beyond 255 reach an APIC in xAPIC mode too: how hot-plugged vCPUs are started.
    if (isX2apic || id > 0xff) this.byId[id] = lapic;
    if (!isX2apic && this.byId[xapicId] === null) this.byId[xapicId] = lapic;
    return true;
  }

  /** A software-enabled APIC with a logical id. */
  addLogical(lapic: Lapic, mode: ApicMode, ldr: number, dfr: number): void {
    if (this.model === LogicalModel.SCAN || ldr === 0) return;
    const model = mode === ApicMode.X2APIC ? LogicalModel.X2APIC : dfr === DFR_FLAT ? LogicalModel.FLAT : LogicalModel.CLUSTER;
    if (this.model === LogicalModel.NONE) this.model = model;
    if (this.model !== model) {
      this.model = LogicalModel.SCAN;
      return;
    }
    if (model === LogicalModel.X2APIC) return;
    const id = ldr >>> 24;
    const mask = model === LogicalModel.FLAT ? id : id & 0xf;
    if (mask === 0) return;
    const slot = this.firstSlot(id) + 31 - Math.clz32(mask & -mask);
    if ((mask & (mask - 1)) !== 0 || this.byLogical[slot] !== null) this.model = LogicalModel.SCAN;
    else this.byLogical[slot] = lapic;
  }

  /** Where the APICs that a logical destination can name begin, in {@link slots}. */
  firstSlot(destination: number): number {
    if (this.model === LogicalModel.CLUSTER) return ((destination >>> 4) & 0xf) * CLUSTER_SIZE;
    return this.model === LogicalModel.X2APIC ? (destination >>> 16) * 16 : 0;
  }

  slots(): Slots {
    return this.model === LogicalModel.X2APIC ? this.byId : this.byLogical;
  }

  /** The requested bits, one for each slot from {@link firstSlot}, whether somebody is there or not. */
  requested(destination: number): number {
    switch (this.model) {
      case LogicalModel.FLAT:
        return destination & ((1 << FLAT_SIZE) - 1);
      case LogicalModel.CLUSTER:
        return destination & ((1 << CLUSTER_SIZE) - 1);
      case LogicalModel.X2APIC: {
        const left = this.maxId - this.firstSlot(destination) + 1;
        return left <= 0 ? 0 : destination & (0xffff >> Math.max(0, 16 - left));
      }
      default:
        return 0;
    }
  }
}

const enum Freshness {
  CLEAN,
  UPDATING,
  DIRTY,
}

/** The map of a VM and who may rebuild it: kvm->arch.apic_map, apic_map_dirty and apic_map_lock. */
export class MapKeeper {
  /** Null: two APICs share an id, everything is scanned. */
  current: ApicMap | null = null;
  state = Freshness.CLEAN;
  /** Of the map that was built last, also where ids in conflict ended it; the lock protects it. */
  private hasModifiedId = false;
  private readonly lock: Mutex;

  constructor(private readonly set: LocalApicSet) {
    this.lock = new Mutex(set.vm.sim, "kvm->arch.apic_map_lock");
  }

  *dirty(): Step<void> {
    yield writes(this, "state");
    this.state = Freshness.DIRTY;
  }

  *rebuildIfDirty(): Step<void> {
    yield reads(this, "state");
    if (this.state === Freshness.CLEAN) return;
    yield* this.lock.lock();
    const isMine = yield* this.beginUpdate();
    if (isMine) yield* this.rebuild();
    yield* this.lock.unlock();
    for (let i = 0; isMine && i < this.set.vm.vcpus.length; i++) yield* this.set.vm.vcpus[i].requestScanIoapic();
  }

  /** False: somebody else has rebuilt the map meanwhile. */
  private *beginUpdate(): Step<boolean> {
    yield writes(this, "state");
    if (this.state === Freshness.CLEAN) return false;
    this.state = Freshness.UPDATING;
    return true;
  }

  private *rebuild(): Step<void> {
    if (this.set.options.hasOptimizedMap) {
      const map = yield* this.build();
      yield* this.publish(map);
    }
    yield writes(this, "state");
    // An update that came meanwhile leaves it dirty: whoever made it rebuilds once more.
    if (this.state === Freshness.UPDATING) this.state = Freshness.CLEAN;
  }

  private *publish(map: ApicMap | null): Step<void> {
    const { inhibits } = this.set;
    yield* inhibits.set("PHYSICAL_ID_ALIASED", map === null);
    yield* inhibits.set("LOGICAL_ID_ALIASED", map === null || map.model === LogicalModel.SCAN);
    yield* inhibits.set("APIC_ID_MODIFIED", this.hasModifiedId);
    yield writes(this, "current");
    this.current = map;
  }

  private *build(): Step<ApicMap | null> {
    const { vcpus } = this.set.vm;
    let maxId = XAPIC_IDS - 1;
    for (let i = 0; i < vcpus.length; i++) {
      const mode = yield* this.modeOf(vcpus[i].index);
      if (mode !== ApicMode.DISABLED) maxId = Math.max(maxId, vcpus[i].id);
    }
    const map = new ApicMap(maxId);
    this.hasModifiedId = false;
    for (let i = 0; i < vcpus.length; i++) {
      const isPlaced = yield* this.place(map, vcpus[i].index);
      this.hasModifiedId = map.hasModifiedId;
      if (!isPlaced) return null;
    }
    return map;
  }

  private *modeOf(index: number): Step<ApicMode> {
    const lapic = this.set.lapics[index];
    if (lapic === undefined) return ApicMode.DISABLED;
    yield reads(lapic.base, "mode");
    return lapic.base.mode;
  }

  private *place(map: ApicMap, index: number): Step<boolean> {
    const mode = yield* this.modeOf(index);
    if (mode === ApicMode.DISABLED) return true;
    const lapic = this.set.lapics[index];
    if (lapic.vcpu.id > map.maxId) return true;
    yield reads(lapic, "addressing");
    const registers = lapic.addressing;
    const id = registers[ApicReg.ID >> 2] >>> 24;
    const ldr = registers[ApicReg.LDR >> 2];
    const dfr = registers[ApicReg.DFR >> 2];
    if (!map.addPhysical(lapic, mode, id, this.set.api.use32BitIds)) return false;
    yield reads(lapic, "isSwEnabled");
    if (lapic.isSwEnabled) map.addLogical(lapic, mode, ldr, dfr);
    return true;
  }
}
shared(MapKeeper, "current", "state");
