import type { Process } from "../host/process.js";
import type { Random } from "../sim/random.js";
import { KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR } from "../uapi/kvm.js";
import { VFIO_IOMMU_TAKE_FAULT as TAKE_FAULT } from "../uapi/vfio-fault.js";
import { ARGUMENTS, MEMORY } from "../explore/stages/vfio-stage.js";

// Arguments whose words fit together, so that a request gets past its front checks. What they say may still be wrong.

/** Structures that arguments point to. */
const POINTED = ARGUMENTS + 0x200;
/** Where mmap begins: a BAR, if the process has mapped one. */
const MAPPED_BAR = 0x5000_0000;
const PAGE = 0x1000;
const DESCRIPTORS = 24;
const [GET, SET] = [1 << 16, 1 << 17];

/** Whoever makes up arguments: its dice, and what the process has. */
export class Fitting {
  constructor(
    private readonly random: Random,
    private readonly process: Process,
  ) {}

  /** The words of a request on a kind of file; null for one that has no structure, or none that fits better than another. */
  words(kind: string, request: number): readonly number[] | null {
    return TABLE[kind]?.get(request)?.(this) ?? null;
  }

  pick<T>(...list: readonly T[]): T {
    return list[this.random.below(list.length)];
  }

  below(limit: number): number {
    return this.random.below(limit);
  }

  /** A descriptor of a kind that is open; seldom one that is not. */
  fd(kind: string): number {
    if (this.below(8) === 0) return this.below(DESCRIPTORS) - 1;
    const open = Array.from({ length: DESCRIPTORS }, (_, fd) => fd).filter((fd) => this.process.file(fd)?.kind === kind);
    return open.length === 0 ? -1 : this.pick(...open);
  }

  /** A descriptor of one of the kinds that are open, each as likely as another. */
  fdOfAny(kinds: readonly string[]): number {
    const open = Array.from({ length: DESCRIPTORS }, (_, fd) => this.process.file(fd)?.kind ?? "");
    const there = kinds.filter((kind) => open.includes(kind));
    return there.length === 0 ? -1 : this.fd(this.pick(...there));
  }

  /** Whole pages: a multiple of the page size, below `pages` of them. */
  pages(pages: number): number {
    return PAGE * this.below(pages);
  }

  /** Low and high word of an address of the process's. */
  vaddr(): [number, number] {
    return [(this.below(8) === 0 ? MAPPED_BAR : MEMORY) + this.pages(8), 0];
  }

  /** Puts words where an argument can point to them. */
  point(...words: readonly number[]): [number, number] {
    words.forEach((word, i) => this.process.memory.setU32(POINTED + 4 * i, word));
    return [POINTED, 0];
  }
}

/** Where descriptors begin in what a request installs, in words. */
const FIRST_FD: Readonly<Record<string, number>> = { "vfio-device 3b6e": 5, "vfio-device 3b8c": 6, "vfio-draft-device 3b6f": 4, "vfio-draft-device 3b71": 4 };
const UNMASK = 0x10;
const MOST_FDS = 8;

/**
 * An eventfd that triggers an interrupt and unmasks it goes round for as long as its line is up, in the kernel too: what unmasks
 * has an odd descriptor here, what triggers an even one.
 */
export function keepApart({ memory }: Process, kind: string, request: number): void {
  const first = FIRST_FD[`${kind} ${request.toString(16)}`];
  if (first === undefined) return;
  const isUnmask = request === 0x3b71 || (request === 0x3b6e && (memory.getU32(ARGUMENTS + 4) & UNMASK) !== 0);
  for (let i = first; i < first + MOST_FDS; i++) {
    const word = memory.getU32(ARGUMENTS + 4 * i) | 0;
    if (word >= 0) memory.setU32(ARGUMENTS + 4 * i, isUnmask ? word | 1 : word & ~1);
  }
}

type Filler = (fit: Fitting) => readonly number[];
type Fillers = ReadonlyMap<number, Filler>;

const range = (fit: Fitting): number[] => [fit.pages(16), 0, PAGE * (1 + fit.below(4)), 0];
const mapping = (fit: Fitting): number[] => [32, fit.pick(1, 2, 3, 3, 3, 4), ...fit.vaddr(), ...range(fit)];
const unmapping = (fit: Fitting): number[] => (fit.below(4) === 0 ? [24, 2, 0, 0, 0, 0] : [24, fit.pick(0, 0, 0, 4), ...range(fit)]);

/** SET_IRQS: the flags of one cell of the table, and as many elements. */
function irqSet(fit: Fitting): number[] {
  const index = fit.below(5);
  const count = index === 1 || index === 2 ? fit.below(4) : fit.pick(1, 1, 1, 0);
  const action = fit.pick(8, 0x10, 0x20, 0x20, 0x20, 0x20);
  const kind = fit.pick(1, 2, 4, 4);
  if (kind === 1) return [20, 1 | action, index, 0, fit.pick(count, 0)];
  if (kind === 2) return [20 + count, 2 | action, index, 0, count, 0x0100_0101];
  return [20 + 4 * count, 4 | action, index, index === 2 ? fit.below(3) : 0, count, ...Array.from({ length: count }, () => fit.pick(fit.fd("eventfd"), fit.fd("eventfd"), -1))];
}

/** DEVICE_FEATURE, by feature. */
function feature(fit: Fitting): number[] {
  const state = (): number => fit.pick(1, 2, 3, 4, 5, 6, 7);
  const [low, high] = fit.point(0, 0, 16 * PAGE, 0);
  return fit.pick<() => number[]>(
    () => [16, GET | 1, 0, 0],
    () => [16, GET | 2, 0, 0],
    () => [16, SET | 2, state(), 0],
    () => [16, SET | 2, state(), 0],
    () => [8, SET | 3],
    () => [16, SET | 4, fit.fd("eventfd"), 0],
    () => [8, SET | 5],
    () => [32, SET | 6, PAGE, 0, 1, 0, low, high],
    () => [8, SET | 7],
    () => [40, GET | 8, 0, 0, 16 * PAGE, 0, PAGE, 0, POINTED + 0x40, 0],
    () => [16, GET | 9, 0, 0],
    () => [8, SET | 12],
    () => [24, SET, 1, 2, 3, 4],
  )();
}

const notify = (fit: Fitting): number[] => {
  const [kind, size] = fit.pick([1, 4], [2, 8], [2, 8], [3, 24]);
  const count = fit.below(3);
  const element = size === 4 ? [fit.fd("eventfd")] : size === 8 ? [fit.pick(5, 5, 5, 6, 0x7ff4), fit.pick(0, 0, 1, 7)] : [0, 0x51, 0, 0, 0, 0];
  return [24 + size * count, kind, fit.below(3), 0, count, size, ...Array.from({ length: count }, () => element).flat()];
};

const DEVICE: Fillers = new Map<number, Filler>([
  [0x3b6b, () => [24]],
  [0x3b6c, (fit) => [fit.pick(32, 64), 0, fit.below(10)]],
  [0x3b6d, (fit) => [16, 0, fit.below(6)]],
  [0x3b6e, irqSet],
  [0x3b70, (fit) => [fit.pick(12, 28, 64), 0]],
  [0x3b71, (fit) => [16, 0, fit.pick(1, 1, 0), fit.fd("vfio-group")]],
  [0x3b74, (fit) => [28, fit.pick(1, 2, 4), 8 * fit.below(8), fit.pick(0, 2) << 8, fit.below(256), 0, fit.fd("eventfd"), 0]],
  [0x3b75, feature],
  [0x3b76, (fit) => [16, 0, fit.fd("iommufd"), 0]],
  [0x3b77, (fit) => [12, 0, 1 + fit.below(4)]],
  [0x3b78, () => [8, 0]],
  [0x3b8c, notify],
]);

const CONTAINER: Fillers = new Map<number, Filler>([
  [0x3b70, (fit) => [fit.pick(16, 24, 128)]],
  [0x3b71, mapping],
  [0x3b72, unmapping],
  // DIRTY_PAGES, and REGISTER_MEMORY.
  [0x3b75, (fit) => fit.pick([8, fit.pick(1, 2)], [48, 4, 0, 0, 4 * PAGE, 0, PAGE, 0, 8, 0, POINTED, 0], [24, 0, ...fit.vaddr(), PAGE * (1 + fit.below(4)), 0])],
  [0x3b76, () => [24, 0, MEMORY, 0, 0x1_0000, 0]],
  [0x3b77, (fit) => [40, 0, fit.pick(12, 16), 0, 0x10_0000, 0, 1, 0, 0, 0]],
  [0x3b78, (fit) => [16, 0, 0, fit.pick(0, 1 << 18)]],
  [TAKE_FAULT, () => [32, 0]],
]);

const IOMMUFD: Fillers = new Map<number, Filler>([
  [0x3b70, (fit) => [fit.pick(16, 24, 128)]],
  [0x3b71, mapping],
  [0x3b72, unmapping],
  [0x3b80, (fit) => [8, 1 + fit.below(6)]],
  [0x3b81, () => [12, 0, 0]],
  [0x3b82, (fit) => [24, 1 + fit.below(3), 1, 0, ...fit.point(0, 0, 0xff_ffff, 0)]],
  [0x3b83, (fit) => [40, 5, 1 + fit.below(2), 1 + fit.below(2), PAGE, 0, fit.pages(16), 0, fit.pages(4), 0]],
  [0x3b84, (fit) => [32, 1 + fit.below(3), fit.pick(0, 8), 0, ...fit.point(0), 0, 0]],
  [0x3b85, (fit) => [40, 6 + fit.below(2), 1 + fit.below(2), 0, ...fit.vaddr(), PAGE * (1 + fit.below(4)), 0, fit.pages(4), 0]],
  [0x3b86, (fit) => (fit.below(2) === 0 ? [24, 1 + fit.below(3), 0, 0, -1, -1] : [24, 1 + fit.below(3), ...range(fit)])],
  [0x3b87, (fit) => [24, fit.below(2), fit.below(2), fit.pick(0, 1, 2), 0, 0]],
  [0x3b88, (fit) => [12, 1 + fit.below(3), fit.below(3)]],
  // Whoever binds a device, and then makes an address space, has them as 1 and 2, and page tables from 3 on.
  [0x3b89, (fit) => [fit.pick(24, 48), fit.pick(0, 2, 2), fit.pick(1, 1, 1 + fit.below(4)), fit.pick(2, 2, 1 + fit.below(4)), ...Array<number>(8).fill(0)]],
  [0x3b8a, (fit) => [40, 0, fit.pick(1, 1, 1 + fit.below(4)), fit.pick(0, 8), ...fit.point(0, 0), 0, 0, 0, 0]],
  [0x3b8b, (fit) => [16, fit.pick(0, 1, 1), fit.pick(4, 4, 4, 3 + fit.below(4)), 0]],
  [0x3b8c, (fit) => [48, fit.pick(4, 4, 4, 3 + fit.below(4)), fit.pick(0, 1), 0, fit.pages(4), 0, PAGE * (1 + fit.below(4)), 0, PAGE, 0, POINTED + 0x80, 0]],
  [TAKE_FAULT, () => [32, 0]],
]);

/** KVM's: files to track, and interrupts to forward. */
const KVM_DEVICE: Fillers = new Map<number, Filler>(
  [KVM_SET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR].map((request) => [
    request,
    (fit) => {
      const file = fit.fd(fit.pick("vfio-group", "vfio-device"));
      const [group, words] = fit.below(3) > 0 ? [1, [file]] : [2, [fit.fd("vfio-device"), fit.below(3), 0, fit.below(64)]];
      return [0, group, 1 + fit.below(2), 0, ...fit.point(...words)];
    },
  ]),
);

/** The interface of December 2011, whose requests have the numbers of others. */
const DRAFT_DEVICE: Fillers = new Map<number, Filler>([
  [0x3b6c, () => [16]],
  [0x3b6d, (fit) => [32, 0, fit.below(8)]],
  [0x3b6e, (fit) => [16, 0, fit.below(3)]],
  [0x3b6f, (fit) => [24, 0, ...fit.pick([0, 1], [0, 1], [1, 2], [2, 2], [fit.below(3), 0]), fit.fd("eventfd"), fit.fd("eventfd")]],
  [0x3b70, () => [16, 0, 0, 0]],
  [0x3b71, (fit) => [20, 0, 0, fit.below(2), fit.fd("eventfd")]],
]);

const TABLE: Readonly<Record<string, Fillers>> = {
  "vfio-container": CONTAINER,
  "vfio-group": new Map<number, Filler>([
    [0x3b67, () => [8]],
    [0x3b68, (fit) => [fit.fd(fit.pick("vfio-container", "vfio-container", "iommufd"))]],
  ]),
  "vfio-device": DEVICE,
  iommufd: IOMMUFD,
  "kvm-device": KVM_DEVICE,
  "vfio-migration": new Map<number, Filler>([[0x3b79, () => [24, 0]]]),
  "vfio-draft-group": new Map<number, Filler>([
    [0x3b64, () => [8]],
    [0x3b65, (fit) => [fit.fd("vfio-draft-group")]],
  ]),
  "vfio-draft-iommu": new Map<number, Filler>([
    [0x3b69, () => [32]],
    [0x3b6a, mapping],
    [0x3b6b, unmapping],
  ]),
  "vfio-draft-device": DRAFT_DEVICE,
};
