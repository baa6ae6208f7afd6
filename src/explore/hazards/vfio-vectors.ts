import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import * as uapi from "../../uapi/vfio.js";
import type { MigrationDriver } from "../../vfio/migration/migration.js";
import { EVENTFD, INTX, MASK, MSI, NONE, PciStage, TRIGGER } from "../stages/pci-stage.js";
import { NUMVFS, SriovStage, VF } from "../stages/sriov-stage.js";
import { MEMORY, VfioStage } from "../stages/vfio-stage.js";
import { tracking } from "../stages/vfio-calls.js";
import { shown } from "./cases.js";

// Vectors of vfio.md that fail without a rule of section 23, and what of that section cannot happen.

type Off = Partial<Hazards>;

const LATER = 0x1000;

/** 23.10: a resume leaves what the user has masked. */
export function resume(hazards: Off): string | null {
  return shown(() => {
    const stage = new PciStage({ hazards });
    const { d } = stage.ready();
    stage.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, stage.eventfd());
    stage.setIrqs(d, INTX, NONE | MASK, 0, 1);
    run(stage.vfioA.irqs.suspend());
    run(stage.vfioA.irqs.resume());
    return stage.isDisIntx;
  }, true);
}

/** Vector 54: two vectors where four are asked for are given back. */
export function vector54(hazards: Off): string | null {
  return shown(() => {
    const stage = new PciStage({ hazards, multiMsiLimit: 2 });
    const { d } = stage.ready();
    const E = [0, 1, 2, 3].map(() => stage.eventfd());
    return [stage.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 4, ...E), stage.A.vectors.allocated, stage.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 2, E[0], E[1])];
  }, [2, 0, 0]);
}

/** Vector 74: B is another's. */
export function vector74(hazards: Off): string | null {
  return shown(() => {
    const stage = new PciStage({ hazards, separateGroups: true });
    const { d, g } = stage.ready();
    const other = stage.newProcess("other");
    const [c, h] = [stage.open("/dev/vfio/vfio", other), stage.open("/dev/vfio/13", other)];
    other.memory.setU32(LATER, c);
    stage.ioctl(h, uapi.VFIO_GROUP_SET_CONTAINER, LATER, other);
    stage.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU, other);
    stage.deviceFd(h, stage.B.name, other);
    const { resets } = stage.B.fn;
    return [stage.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g), stage.B.fn.resets - resets];
  }, [-22, 0]);
}

class Still implements MigrationDriver {
  readonly flags = uapi.VFIO_MIGRATION_STOP_COPY;
  *step(): Step<number> {
    return 0;
  }
  *save(): Step<Uint8Array> {
    return Uint8Array.of(7);
  }
  *load(): Step<boolean> {
    return true;
  }
}

/** Vector 79: the file of a state that was left reads nothing. */
export function vector79(hazards: Off): string | null {
  return shown(() => {
    const stage = new PciStage({ hazards, vfio: { migration: () => new Still() } });
    const { d } = stage.ready();
    const go = (state: number): number => stage.call(d, uapi.VFIO_DEVICE_FEATURE, 16, uapi.VFIO_DEVICE_FEATURE_SET | 2, state, 0);
    const stopCopy = go(3);
    const fd = stage.answer(12);
    const stop = go(1);
    return [stopCopy, stop, run(stage.process.read(fd, LATER, 64))];
  }, [0, 0, -19]);
}

/** Vector 86: 128 KiB where 64 may be locked. */
export function vector86(hazards: Off): string | null {
  return shown(() => {
    const stage = new VfioStage({ hazards, lockedMemoryLimit: 0x1_0000 });
    const { c } = stage.ready();
    return [stage.map(c, 0n, 0x2_0000n), stage.process.lockedMemory, stage.map(c, 0n, 0x1_0000n)];
  }, [-12, 0, 0]);
}

/** 23.27: a container that its last group has left takes any IOMMU again. */
export function emptyContainer(hazards: Off): string | null {
  return shown(() => {
    const stage = new VfioStage({ hazards });
    const { c, g, d } = stage.ready();
    stage.map(c, 0n, 0x1000n);
    stage.close(d);
    const left = [stage.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0), stage.process.lockedMemory, stage.unmap(c, 0n, 0x1000n)[0]];
    return [...left, stage.setContainer(g, c), stage.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1_IOMMU)];
  }, [0, 0, -22, 0, 0]);
}

/** Vector 106: KVM has the group's file, and its user closes everything. */
export function vector106(hazards: Off): string | null {
  return shown(() => {
    const stage = new VfioStage({ hazards });
    const { c, g, d } = stage.ready();
    stage.map(c, 0n, 0x1000n);
    const { device, add } = tracking(stage, g);
    const added = run(add());
    for (const fd of [d, g, c]) stage.close(fd);
    const held = stage.group.describeOwnership();
    stage.close(device);
    return [added, held, stage.group.describeOwnership()];
  }, [0, "user 1 user", "kernel 0 default"]);
}

/** Vector 101: a virtual function whose physical one is a VFIO user's. */
export function vector101(hazards: Off): string | null {
  return shown(() => {
    const stage = new SriovStage({ hazards });
    stage.write(NUMVFS, "1");
    stage.ready();
    return stage.deviceFd(stage.virtualGroup(), VF);
  }, -13);
}

/** 23.14: the six orders, and what each leaves. */
export function closeOrders(): string | null {
  return shown(() => ["dgc", "dcg", "gdc", "gcd", "cdg", "cgd"].map(leaves), Array.from({ length: 6 }, () => ["user 1 user", "kernel 0 default", 0, 0]));
}

function leaves(order: string): unknown[] {
  const stage = new VfioStage();
  const fds: Readonly<Record<string, number>> = stage.ready();
  stage.map(fds.c, 0n, 0x2000n);
  const before = stage.group.describeOwnership();
  for (const which of order) stage.close(fds[which]);
  return [before, stage.group.describeOwnership(), stage.process.lockedMemory, stage.open("/dev/vfio/12") >= 0 ? 0 : 1];
}

const PAGES = 6;

/** 23.20: whatever range is unmapped by version 1, every page of a mapping that is left translates, and no other. */
export function unmapsOfV1(): string | null {
  for (let first = 0; first < PAGES; first++)
    for (let count = 1; first + count <= PAGES; count++) {
      const fault = holesAfter(first, count);
      if (fault !== null) return fault;
    }
  return null;
}

function holesAfter(first: number, count: number): string | null {
  const stage = new VfioStage();
  const { c } = stage.ready(uapi.VFIO_TYPE1_IOMMU);
  const page = (n: number): bigint => BigInt(n) * 0x1000n;
  for (const at of [0, 3]) stage.map(c, page(at), page(3), MEMORY + 0x1000 * at);
  const [result, size] = stage.unmap(c, page(first), page(count));
  const bytes = new Uint8Array(1);
  const there = Array.from({ length: PAGES }, (_, n) => run(stage.dma.read(0x1000 * n, bytes)));
  const isWhole = [0, 3].every((at) => there.slice(at, at + 3).every((each) => each === there[at]));
  const left = there.filter(Boolean).length;
  const counted = Number(size >> 12n) === PAGES - left && stage.process.lockedMemory === 0x1000 * left;
  return result === 0 && isWhole && counted ? null : `UNMAP_DMA of ${count} pages from ${first} answers ${result}, ${size}: ${there.join(" ")}`;
}

