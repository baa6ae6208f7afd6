import type { File } from "../host/file.js";
import { run } from "../sim/step.js";
import { KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR } from "../uapi/kvm.js";
import { VFIO_DEVICE_FEATURE, VFIO_DEVICE_SET_IRQS } from "../uapi/vfio.js";
import { VFIO_IOMMU_TAKE_FAULT } from "../uapi/vfio-fault.js";
import { VFIO_DEVICE_SET_IRQ_NOTIFY } from "../uapi/vfio-xen.js";
import * as errno from "../uapi/errno.js";
import { VfioCdevFile } from "./cdev.js";
import { VfioContainerFile } from "./container.js";
import { VfioDeviceFile } from "./contract.js";

/** What vfio.md lets a request on a file answer, by name; the sections beside them. */
type Row = readonly [request: number, names: string];

/** 4.1; SET_IOMMU's are those of an attach too: 17.3, 18 and 21.3. Without an IOMMU everything else is EINVAL. */
const CONTAINER: readonly Row[] = [
  [0x3b64, ""],
  [0x3b65, ""],
  [0x3b66, "EINVAL ENODEV EPERM EBUSY"],
];

/** What virq adds: the faults of its groups. */
const FAULTS: Row = [VFIO_IOMMU_TAKE_FAULT, "EINVAL EFAULT ENOENT"];

/** 17. */
const TYPE1: readonly Row[] = [
  ...CONTAINER,
  [0x3b70, "EINVAL EFAULT"],
  [0x3b71, "EINVAL EFAULT EOVERFLOW ENOENT EEXIST ENOSPC ENOMEM"],
  [0x3b72, "EINVAL EFAULT EOVERFLOW"],
  [0x3b75, "EINVAL EFAULT EACCES ENOMEM"],
  FAULTS,
];

/** 18: its two versions share what version 2 adds as ENOTTY of version 1, and the other way round. */
const SPAPR: readonly Row[] = [
  ...CONTAINER,
  FAULTS,
  // One process's memory: another's call is EPERM.
  [0x3b70, "EINVAL EFAULT ENXIO EPERM"],
  [0x3b71, "EINVAL EFAULT ENXIO EPERM ENOMEM"],
  [0x3b72, "EINVAL EFAULT ENXIO EPERM"],
  [0x3b73, "ENODEV EBUSY EPERM ENOMEM ENOTTY"],
  [0x3b74, "EPERM ENOTTY"],
  [0x3b75, "EINVAL EFAULT EBUSY ENOMEM EPERM ENOTTY"],
  [0x3b76, "EINVAL EFAULT ENOENT EBUSY EPERM ENOTTY"],
  [0x3b77, "EINVAL EFAULT ENXIO ENOSPC EPERM ENOMEM ENOTTY"],
  [0x3b78, "EINVAL EFAULT EPERM ENOTTY"],
];

/** 21.3; the exactness of type 1's version 2. */
const XEN: readonly Row[] = [
  ...CONTAINER,
  FAULTS,
  [0x3b70, "EINVAL EFAULT"],
  [0x3b71, "EINVAL EFAULT EOVERFLOW EEXIST ENOSPC ENOMEM EPERM EOPNOTSUPP"],
  [0x3b72, "EINVAL EFAULT EOVERFLOW"],
];

/** 4.3 to 4.6. */
const GROUP: readonly Row[] = [
  [0x3b67, "EINVAL EFAULT ENODEV"],
  // 4.4; the attach to an IOMMU that is there replays its mappings (17.3).
  [0x3b68, "EINVAL EFAULT EBADF ENODEV EBADFD EPERM EBUSY ENOMEM"],
  [0x3b69, "EINVAL EBUSY"],
  // 4.6; by an iommufd also what the bind answers (6), and EADDRINUSE: something is mapped where the device reserves (Linux, iopt_reserve_iova).
  [0x3b6a, "EINVAL EFAULT ENODEV EACCES EAGAIN EIO EMFILE EPERM EBUSY EADDRINUSE"],
];

/** 6, on a device's own file: the token's are 4.6's, the claim's 2.5's, the open's 4.6's. */
const OWN_FILE: readonly Row[] = [
  [0x3b76, "EINVAL EFAULT EBUSY EBADF EBADFD EPERM EACCES EAGAIN ENODEV EIO"],
  [0x3b77, "EINVAL EFAULT ENOENT EOPNOTSUPP EBUSY EPERM EADDRINUSE"],
  [0x3b78, "EINVAL EFAULT EOPNOTSUPP"],
];

/** On a file that a group gave. */
const GROUP_FILE: readonly Row[] = [[0x3b76, "EINVAL EFAULT"]];

/** 16; a feature that needs what this bus has not is unknown. */
const PLATFORM: readonly Row[] = [
  [0x3b6b, "EINVAL EFAULT"],
  [0x3b6c, "EINVAL EFAULT"],
  [0x3b6d, "EINVAL EFAULT"],
  [0x3b6e, "EINVAL EFAULT ENOTTY EBADF EBUSY"],
  [0x3b6f, "EINVAL"],
  [0x3b75, "EINVAL EFAULT ENOTTY"],
];

/** 7 to 15; on a character device that is not bound, everything is EINVAL (6). */
const DEVICE: readonly Row[] = [
  [0x3b6b, "EINVAL EFAULT"],
  [0x3b6c, "EINVAL EFAULT"],
  [0x3b6d, "EINVAL EFAULT"],
  // 7.5, 8.6, 8.7, 9, 10.3, 10.4, 11.
  [0x3b6e, "EINVAL EFAULT ENOTTY EBADF EBUSY ENODEV ENOSPC ERANGE"],
  [0x3b6f, "EINVAL EAGAIN"],
  [0x3b70, "EINVAL EFAULT ENODEV ENOSPC EPERM EAGAIN"],
  [0x3b71, "EINVAL EFAULT ENODEV EBADF EBUSY"],
  [0x3b74, "EINVAL EFAULT EEXIST ENOSPC EBADF ENODEV"],
  // 21.4: EPERM and ESRCH of an event channel of another guest's, or of none's; ENOSPC and EBUSY of ports. Of vfio-pci ENOTTY.
  [VFIO_DEVICE_SET_IRQ_NOTIFY, "EINVAL EFAULT ENOTTY EBADF EBUSY EPERM ESRCH ENOSPC ENODEV ERANGE"],
  // 15.1, 15.4; LOW_POWER_ENTRY_WITH_WAKEUP takes an eventfd, MIG_DEVICE_STATE gives a file.
  [0x3b75, "EINVAL EFAULT ENOTTY E2BIG EOVERFLOW EBADF EMFILE"],
];

/** 19: every request of the native interface may be too short, too long for what is known, or name what is not there. */
const NATIVE = "EINVAL EFAULT E2BIG EOPNOTSUPP ENOENT";
const IOMMUFD: readonly Row[] = [
  [0x3b64, ""],
  [0x3b65, "ENODEV"],
  [0x3b66, "EINVAL ENODEV EADDRINUSE"],
  [0x3b70, "EINVAL EFAULT ENODEV"],
  [0x3b71, "EINVAL EFAULT EOVERFLOW EEXIST ENOMEM ENODEV"],
  [0x3b72, "EINVAL EFAULT EOVERFLOW ENOENT ENODEV"],
  [0x3b80, `${NATIVE} EBUSY`],
  [0x3b81, NATIVE],
  [0x3b82, `${NATIVE} EOVERFLOW EADDRINUSE ENOMEM`],
  [0x3b83, `${NATIVE} EOVERFLOW EEXIST ENOSPC ENOMEM EPERM`],
  [0x3b84, `${NATIVE} EMSGSIZE`],
  [0x3b85, `${NATIVE} EOVERFLOW EEXIST ENOSPC ENOMEM`],
  [0x3b86, `${NATIVE} EOVERFLOW`],
  [0x3b87, `${NATIVE} EPERM EADDRINUSE`],
  [0x3b88, `${NATIVE} ENODEV`],
  [0x3b89, `${NATIVE} ENOMEM EADDRINUSE`],
  [0x3b8a, NATIVE],
  [0x3b8b, NATIVE],
  [0x3b8c, `${NATIVE} EOVERFLOW`],
  FAULTS,
];

/** kvm-irq-core.md 8: files to track, interrupts to forward (profile fwd2014). */
const KVM_DEVICE: readonly Row[] = [
  [KVM_SET_DEVICE_ATTR, "ENXIO EFAULT EBADF EINVAL EEXIST ENOENT ENODEV EAGAIN EBUSY"],
  [KVM_HAS_DEVICE_ATTR, "ENXIO EFAULT"],
];

/** 15.3: only while it copies ahead; the end that is written knows no request. */
const MIGRATION: readonly Row[] = [[0x3b79, "EINVAL EFAULT ENODEV ENOTTY"]];

const numbers = new Map<string, number>();
for (const [name, value] of Object.entries(errno)) if (typeof value === "number") numbers.set(name, value);

function numberOf(name: string): number {
  const number = numbers.get(name);
  if (number === undefined) throw new Error(`${name} is no errno`);
  return number;
}

function setOf(names: string): ReadonlySet<number> {
  return new Set(names.split(" ").filter(Boolean).map(numberOf));
}

class Answers {
  private readonly known: ReadonlyMap<number, ReadonlySet<number>>;
  private readonly others: ReadonlySet<number>;

  /** @param others what a request answers that the file does not know */
  constructor(rows: readonly Row[], others: string) {
    this.known = new Map(rows.map(([request, names]) => [request, setOf(names)]));
    this.others = setOf(others);
  }

  of(request: number): ReadonlySet<number> {
    return this.known.get(request) ?? this.others;
  }
}

/** 21.6, over what the core answers today. */
const DRAFT_GROUP: readonly Row[] = [
  [0x3b64, "EINVAL EFAULT"],
  [0x3b65, "EINVAL EFAULT EBADF EPERM EBUSY"],
  [0x3b66, "EINVAL EBUSY EPERM"],
  [0x3b67, "EINVAL EPERM EBUSY ENODEV EMFILE"],
  [0x3b68, "EINVAL EFAULT EPERM EBUSY ENODEV EMFILE EAGAIN"],
];
const DRAFT_IOMMU: readonly Row[] = [
  [0x3b69, "EINVAL EFAULT"],
  [0x3b6a, "EINVAL EFAULT EOVERFLOW EEXIST ENOSPC ENOMEM"],
  [0x3b6b, "EINVAL EFAULT EOVERFLOW"],
  FAULTS,
];
const DRAFT_DEVICE: readonly Row[] = [
  [0x3b6c, "EINVAL EFAULT"],
  [0x3b6d, "EINVAL EFAULT"],
  [0x3b6e, "EINVAL EFAULT"],
  [0x3b6f, "EINVAL EFAULT EBADF EBUSY ENODEV ENOSPC ERANGE"],
  [0x3b70, "EINVAL EFAULT"],
  [0x3b71, "EINVAL EFAULT EBADF EBUSY"],
  [0x3b72, "EINVAL EAGAIN"],
];

const NO_IOMMU = new Answers(CONTAINER, "EINVAL");
/** By an extension that only this kind of IOMMU answers. */
const BY_IOMMU: readonly (readonly [extension: number, answers: Answers])[] = [
  [1, new Answers(TYPE1, "ENOTTY")],
  // Whatever another process asks of it.
  [2, new Answers(SPAPR, "ENOTTY EPERM")],
  [0x58454e, new Answers(XEN, "ENOTTY")],
  [8, new Answers([...CONTAINER, FAULTS], "ENOTTY")],
];

const FILES: Readonly<Record<string, Answers>> = {
  "vfio-draft-group": new Answers(DRAFT_GROUP, "ENOTTY EPERM"),
  "vfio-draft-iommu": new Answers(DRAFT_IOMMU, "ENOTTY"),
  "vfio-draft-device": new Answers(DRAFT_DEVICE, "ENOTTY"),
  "vfio-group": new Answers(GROUP, "ENOTTY"),
  iommufd: new Answers(IOMMUFD, "ENOTTY"),
  "kvm-device": new Answers(KVM_DEVICE, "ENOTTY"),
  kvm: new Answers([], "EINVAL"),
  "kvm-vm": new Answers([], "EINVAL ENOTTY"),
  "vfio-migration": new Answers(MIGRATION, "ENOTTY"),
};
const DEVICE_BY_GROUP = new Answers([...DEVICE, ...GROUP_FILE], "ENOTTY");
const DEVICE_BY_ITSELF = new Answers([...DEVICE, ...OWN_FILE], "EINVAL ENOTTY");
const PLATFORM_BY_GROUP = new Answers([...PLATFORM, ...GROUP_FILE], "ENOTTY");
const PLATFORM_BY_ITSELF = new Answers([...PLATFORM, ...OWN_FILE], "EINVAL ENOTTY");
const NO_REQUESTS = new Answers([], "ENOTTY");

/** SET_IRQS of vfio-pci, by index, and what every index may answer (7.5, 7.6): 8.6, 8.7, 9; 10.3, 10.4; 11. */
const SET_IRQS = ["EBADF EBUSY ENODEV", "EBADF ENOSPC ERANGE", "EBADF ENOSPC ERANGE", "EBADF", "EBADF"].map((own) => setOf(`EINVAL EFAULT ENOTTY ${own}`));

/** DEVICE_FEATURE, by feature (15.1, 15.4): what takes an eventfd, gives a file, or has ranges. ENOTTY where the device has not what it needs. */
const FEATURES = ["EFAULT", "EFAULT", "EFAULT EMFILE", "", "EFAULT EBADF", "", "EFAULT E2BIG EOVERFLOW", "", "EFAULT EOVERFLOW", "EFAULT", "", "", ""].map((own) => setOf(`EINVAL ENOTTY EFAULT ${own}`));

/** The errnos that a request may answer on an open file, given the words of its argument: by handler, where it has several. */
export function errnosOfIoctl(file: File, request: number, words: readonly number[]): ReadonlySet<number> {
  const known = answersOf(file).of(request);
  if (!(file instanceof VfioDeviceFile) || file.device.isPlatform) return known;
  if (request === VFIO_DEVICE_FEATURE) return FEATURES[words[1] & 0xffff] ?? setOf("EINVAL ENOTTY EFAULT");
  return request === VFIO_DEVICE_SET_IRQS ? (SET_IRQS[words[2]] ?? setOf("EINVAL EFAULT")) : known;
}

function answersOfContainer({ container }: VfioContainerFile): Answers {
  const instance = run(container.iommu());
  if (instance === null) return NO_IOMMU;
  return BY_IOMMU.find(([extension]) => run(instance.checkExtension(extension)) > 0)?.[1] ?? NO_IOMMU;
}

function answersOf(file: File): Answers {
  if (file instanceof VfioContainerFile) return answersOfContainer(file);
  if (!(file instanceof VfioDeviceFile)) return FILES[file.kind] ?? NO_REQUESTS;
  const isOwn = file instanceof VfioCdevFile;
  if (file.device.isPlatform) return isOwn ? PLATFORM_BY_ITSELF : PLATFORM_BY_GROUP;
  return isOwn ? DEVICE_BY_ITSELF : DEVICE_BY_GROUP;
}

/** open(2) of a node: 4.2; of a device's after its driver has gone, 5.5; a table that is full. */
export const OPEN_ERRNOS = setOf("ENOENT ENODEV EPERM EBUSY EMFILE");

/** read, write and mmap, by kind of file: 13.1, 14, 15.3; streams cannot seek; of an eventfd and of others, their own. */
const TRANSFERS: Readonly<Record<string, ReadonlySet<number>>> = {
  "vfio-device": setOf("EINVAL EFAULT EIO"),
  "vfio-draft-device": setOf("EINVAL EFAULT EIO"),
  "vfio-migration": setOf("EINVAL EFAULT ENODEV ENOMSG ESPIPE"),
  eventfd: setOf("EINVAL EFAULT EAGAIN ENODEV ESPIPE"),
};
const NO_TRANSFERS = setOf("EINVAL ENODEV");

export function errnosOfTransfer(kind: string): ReadonlySet<number> {
  return TRANSFERS[kind] ?? NO_TRANSFERS;
}
