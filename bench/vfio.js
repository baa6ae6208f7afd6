// VFIO's figures (issue 7, 6): what a user waits for when it maps memory and sets up interrupts, and what a device pays for a page.
const GIB = 2 ** 30;
const RAM = 0x1_0000_0000;
const ARGUMENTS = 0x1000;
const VECTORS = 2048;
const WALKS = 2_000_000;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const at = (path) => new URL(`../dist/straight/${path}.js`, import.meta.url).href;

/** Median milliseconds of CPU time of `runs` calls. */
function milliseconds(call, runs = 7) {
  const all = [];
  for (let i = 0; i < runs; i++) {
    const begin = process.cpuUsage();
    call();
    const { user, system } = process.cpuUsage(begin);
    all.push((user + system) / 1000);
  }
  return Math.round(median(all) * 100) / 100;
}

/** A container with type 1 version 2, and a process with 4 GiB of memory in pages of a size. */
function mapper({ PciStage }, { Process }, pageSize) {
  const world = new PciStage();
  const c = world.open("/dev/vfio/vfio");
  world.setContainer(world.open("/dev/vfio/12"), c);
  world.ioctl(c, 0x3b66, 3);
  const user = new Process(world.sim, "user", { lockedMemoryLimit: 2 ** 40 });
  user.memory.map(ARGUMENTS, 0x4000);
  user.memory.map(RAM, 4 * GIB, { pageSize });
  const fd = world.process.sendFile(c, user);
  const put = (...words) => words.forEach((word, i) => user.memory.setU64(ARGUMENTS + 8 + 8 * i, word));
  const call = (request, argsz, flags, ...words) => {
    user.memory.setU32(ARGUMENTS, argsz);
    user.memory.setU32(ARGUMENTS + 4, flags);
    put(...words);
    const result = user.ioctl(fd, request, ARGUMENTS);
    if (result !== 0) throw new Error(`ioctl ${request.toString(16)}: ${result}`);
  };
  const map = (iova, size) => call(0x3b71, 32, 3, RAM, iova, size);
  const unmap = (iova, size) => call(0x3b72, 24, 0, iova, size);
  return { world, map, unmap };
}

/** SET_IRQS of all vectors of a function that has as many as there can be, and the end of them. */
function vectors({ PciStage }, { Process }, parts) {
  const world = new PciStage();
  const { host } = world.machine;
  host.msi = new parts.XenMsiDomain(host.irqs, new parts.PhysicalIrqs(world.sim, new parts.EventChannels(world.sim)));
  const msix = { vectors: VECTORS, tableBar: 0, tableOffset: 0, pbaBar: 0, pbaOffset: 0x8000 };
  const bars = [{ index: 0, size: 0x1_0000, kind: "mem32", registers: world.bar0 }];
  const fn = new parts.PciFunction({ name: "0000:09:00.0", requesterId: 0x900, vendor: 0x8086, device: 0x10d3, classCode: 0x020000, bars, capabilities: [parts.msixCapability(msix)], msix });
  const bus = world.root.addBus(9, false);
  world.pciBus.addDevice(new parts.PciDevice(world.root, fn, { bus, group: new parts.IommuGroup(world.sim, 30) }));
  world.root.plug(fn, null);
  world.bind(fn.name);
  const user = new Process(world.sim, "user", { descriptorLimit: 2 * VECTORS });
  user.memory.map(ARGUMENTS, 0x4000);
  const [c, g] = [world.open("/dev/vfio/vfio", user), world.open("/dev/vfio/30", user)];
  user.memory.setU32(ARGUMENTS, c);
  world.ioctl(g, 0x3b68, ARGUMENTS, user);
  world.ioctl(c, 0x3b66, 3, user);
  const d = world.deviceFd(g, fn.name, user);
  const fds = Array.from({ length: VECTORS }, () => parts.eventfd2(user, 0, 0));
  const setIrqs = (flags, count) => {
    [20 + (flags & 4) * count, flags, 2, 0, count].forEach((word, i) => user.memory.setU32(ARGUMENTS + 4 * i, word));
    if (flags & 4) fds.forEach((fd, i) => user.memory.setU32(ARGUMENTS + 20 + 4 * i, fd));
    const result = user.ioctl(d, 0x3b6e, ARGUMENTS);
    if (result !== 0) throw new Error(`SET_IRQS: ${result}`);
  };
  return { set: () => setIrqs(0x24, VECTORS), clear: () => setIrqs(0x21, 0) };
}

/** Rows of a figure, its value, its unit and what the issue asks for. */
export async function vfioFigures() {
  const names = ["explore/stages/pci-stage", "host/process", "host/xen/msi-domain", "host/xen/physical-irqs", "host/xen/event-channels", "device/pci/function", "device/pci/capabilities", "host/pci/pci-device", "host/iommu/group", "host/eventfd", "host/iommu/domain"];
  const [stage, process_, ...rest] = await Promise.all(names.map((name) => import(at(name))));
  const parts = Object.assign({}, ...rest);
  const rows = [];
  const irqs = vectors(stage, process_, parts);
  const [enables, sets] = [[], []];
  for (let i = 0; i < 15; i++) {
    enables.push(milliseconds(irqs.set, 1));
    sets.push(milliseconds(irqs.set, 1));
    irqs.clear();
  }
  rows.push([`SET_IRQS of ${VECTORS} MSI-X vectors, other eventfds for all`, median(sets), "ms", 2]);
  rows.push([`  the first, which allocates their host interrupts`, median(enables), "ms", 2]);
  for (const [what, pageSize, budget] of [["4 KiB", 4096, 60], ["2 MiB", 2 ** 21, 1]]) {
    const { map, unmap } = mapper(stage, process_, pageSize);
    const maps = [];
    for (let i = 0; i < 9; i++) {
      maps.push(milliseconds(() => map(0x1_0000_0000, GIB), 1));
      unmap(0x1_0000_0000, GIB);
    }
    rows.push([`MAP_DMA of 1 GiB in ${what} pages`, median(maps), "ms", budget]);
  }
  const { map, unmap, world } = mapper(stage, process_, 4096);
  const [quarter, whole] = [GIB, 4 * GIB].map((size) => {
    const all = [];
    for (let i = 0; i < 7; i++) {
      map(0x1_0000_0000, size);
      all.push(milliseconds(() => unmap(0x1_0000_0000, size), 1));
    }
    return median(all);
  });
  rows.push(["UNMAP_DMA of 262,144 pages", quarter, "ms"], ["UNMAP_DMA of 1,048,576 pages", whole, "ms", `${Math.round(400 * quarter) / 100}, 4 times as much`]);
  map(0x1_0000_0000, GIB);
  const domain = world.pciGroup.current();
  const { mappedBytes, tableBytes } = domain.usage();
  rows.push(["memory of the tables, a page of 4 KiB", Math.round((tableBytes / (mappedBytes / 4096)) * 100) / 100, "B", 16]);
  let [place, sum] = [1, 0];
  const walks = () => {
    for (let i = 0; i < WALKS; i++) {
      place = (Math.imul(place, 1103515245) + 12345) & 0x3fff_ffff;
      sum += domain.walk(1, place);
    }
  };
  walks();
  rows.push(["DMA translation, any page of 1 GiB", Math.round((milliseconds(walks, 5) / WALKS) * 1e7) / 10, "ns", 40]);
  if (sum === 0) throw new Error("nothing was translated");
  return rows;
}
