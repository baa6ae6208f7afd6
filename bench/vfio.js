// VFIO's figures (issue 7, 6): what a user waits for when it maps memory and sets up interrupts, and what a device pays for a page.
import { hundredth, median, milliseconds, tenth } from "./measure.js";

const GIB = 2 ** 30;
const RAM = 0x1_0000_0000;
const ARGUMENTS = 0x1000;
/** Where mappings begin: in every backend's window. */
const FIRST = 0;
const VECTORS = 2048;
const WALKS = 2_000_000;
const PARTS =
  "explore/stages/pci-stage host/process sim/sim host/gic/gic-host host/gic/gicv3 host/its/its-host host/xen/msi-domain host/xen/physical-irqs host/xen/event-channels host/smmu host/iommu/group host/device-nodes host/sysfs host/driver-binding host/eventfd host/pci/pci-root host/pci/pci-device device/pci/bar device/pci/function device/pci/capabilities vfio/vfio vfio/iommu/type1 vfio/iommu/spapr vfio/iommu/xen host/xen/hypervisor vfio/backends/pci/driver";

const at = (path) => new URL(`../dist/straight/${path}.js`, import.meta.url).href;

/** The parts of the built library that the scenes are made of, under their own names. */
async function library() {
  const [stage, process_, ...rest] = await Promise.all(PARTS.split(" ").map((name) => import(at(name))));
  return { PciStage: stage.PciStage, ...Object.assign({}, process_, ...rest) };
}

/** IOMMU backends by what SET_IOMMU calls them. */
const BACKENDS = { "type 1": 3, "SPAPR v1": 2, "SPAPR v2": 7, Xen: 0x58454e, iommufd: 3 };
const WINDOW = { windowStart: 0n, windowSize: BigInt(4 * GIB), dynamicPageSizes: 0x11000n, maxLevels: 4 };
const [MAP_DMA, UNMAP_DMA, ENABLE, REGISTER_MEMORY] = [0x3b71, 0x3b72, 0x3b73, 0x3b75];

/** A container with an IOMMU backend, and a process with 4 GiB of memory in pages of a size. */
function mapper({ PciStage, Process, XenHypervisor, XenIommuBackend, SpaprBackend }, pageSize, backend = "type 1") {
  const world = new PciStage({ tce: WINDOW });
  const xen = new XenHypervisor(world.sim);
  xen.addGuest(5);
  world.vfio.registerIommu(new SpaprBackend(world.sim));
  world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, 5));
  const isIommufd = backend === "iommufd";
  const [c, g] = [world.open(isIommufd ? "/dev/iommu" : "/dev/vfio/vfio"), world.open("/dev/vfio/12")];
  world.setContainer(g, c);
  world.ioctl(c, 0x3b66, BACKENDS[backend]);
  // An iommufd has a page table from the first device on.
  if (isIommufd) world.deviceFd(g, world.A.name);
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
  if (backend === "SPAPR v1") call(ENABLE, 0, 0);
  if (backend === "SPAPR v2") call(REGISTER_MEMORY, 24, 0, RAM, 4 * GIB);
  const map = (iova, size) => call(MAP_DMA, 32, 3, RAM, iova, size);
  const unmap = (iova, size) => call(UNMAP_DMA, 24, 0, iova, size);
  return { world, map, unmap };
}

/** What a function's messages go through: a hypervisor's interrupts, which ask little of their host, or an ITS and its commands. */
const DOMAINS = {
  xen(parts, sim) {
    const host = new parts.GicHost(sim, booted(new parts.GicV3({ cpus: 4, interrupts: 288 })));
    host.msi = new parts.XenMsiDomain(host.irqs, new parts.PhysicalIrqs(sim, new parts.EventChannels(sim)));
    return host;
  },
  its: (parts, sim) => parts.ItsHost.create(sim, 4).host,
};

function booted(gic) {
  gic.boot();
  return gic;
}

/** SET_IRQS of all vectors of a function that has as many as there can be, and the end of them, as a library's user calls it. */
function vectors(parts, domain) {
  const sim = new parts.Sim({ cpus: 5 });
  const host = DOMAINS[domain](parts, sim);
  const msix = { vectors: VECTORS, tableBar: 0, tableOffset: 0, pbaBar: 0, pbaOffset: 0x8000 };
  const bars = [{ index: 0, size: 0x1_0000, kind: "mem32", registers: parts.NO_REGISTERS }];
  const fn = new parts.PciFunction({ name: "0000:09:00.0", requesterId: 0x900, vendor: 0x8086, device: 0x10d3, classCode: 0x020000, bars, capabilities: [parts.msixCapability(msix)], msix });
  const root = new parts.PciRoot(host, new parts.Smmu(sim, "smmuv3"));
  const nodes = new parts.DeviceNodes();
  const vfio = new parts.Vfio(host, nodes);
  const bus = new parts.Bus("pci");
  const sysfs = new parts.Sysfs(sim);
  vfio.registerIommu(new parts.Type1Backend(sim));
  bus.addDriver(new parts.VfioPciDriver(vfio));
  bus.addDevice(new parts.PciDevice(root, fn, { bus: root.addBus(9, false), group: new parts.IommuGroup(sim, 30, { reserved: [parts.SW_MSI_REGION] }) }));
  root.plug(fn, null);
  sysfs.addBus(bus);
  sysfs.write(`/sys/bus/pci/devices/${fn.name}/driver_override`, "vfio-pci");
  sysfs.write("/sys/bus/pci/drivers_probe", fn.name);
  const user = new parts.Process(sim, "user", { descriptorLimit: 2 * VECTORS });
  user.memory.map(ARGUMENTS, 0x4000);
  const [c, g] = [nodes.open(user, "/dev/vfio/vfio"), nodes.open(user, "/dev/vfio/30")];
  const call = (fd, request, what = ARGUMENTS) => {
    const result = user.ioctl(fd, request, what);
    if (result < 0) throw new Error(`ioctl ${request.toString(16)}: ${result}`);
    return result;
  };
  user.memory.setU32(ARGUMENTS, c);
  call(g, 0x3b68);
  call(c, 0x3b66, 3);
  [...`${fn.name}\0`].forEach((letter, i) => user.memory.setU8(ARGUMENTS + i, letter.charCodeAt(0)));
  const d = call(g, 0x3b6a);
  const fds = Array.from({ length: VECTORS }, () => parts.eventfd2(user, 0, 0));
  const setIrqs = (flags, count) => {
    [20 + (flags & 4) * count, flags, 2, 0, count].forEach((word, i) => user.memory.setU32(ARGUMENTS + 4 * i, word));
    if (flags & 4) fds.forEach((fd, i) => user.memory.setU32(ARGUMENTS + 20 + 4 * i, fd));
    call(d, 0x3b6e);
  };
  return { set: () => setIrqs(0x24, VECTORS), clear: () => setIrqs(0x21, 0) };
}

/** SET_IRQS: the budget is for warm code, as everywhere; what a process's first call costs, compilers included, is told beside it. */
async function setIrqs(note, domain, what) {
  const irqs = vectors(await library(), domain);
  const first = milliseconds(irqs.set);
  for (let i = 0; i < 60; i++) {
    irqs.set();
    irqs.clear();
  }
  const [enables, sets, clears] = [[], [], []];
  for (let i = 0; i < 31; i++) {
    enables.push(milliseconds(irqs.set));
    sets.push(milliseconds(irqs.set));
    clears.push(milliseconds(irqs.clear));
  }
  note(`SET_IRQS of ${VECTORS} MSI-X vectors${what}, other eventfds for all`, hundredth(median(sets)), "ms", { budget: 2 });
  note("  the one that allocates their host interrupts", hundredth(median(enables)), "ms", { budget: 2 });
  note("  the one that ends them", hundredth(median(clears)), "ms", { budget: 2 });
  note("  the first in this process, compilers' threads included", hundredth(first), "ms");
}

async function mapDma(note, backend, what, pageSize, budget) {
  const { map, unmap } = mapper(await library(), pageSize, backend);
  const maps = [];
  for (let i = 0; i < 9; i++) {
    maps.push(milliseconds(() => map(FIRST, GIB)));
    unmap(FIRST, GIB);
  }
  note(`MAP_DMA of 1 GiB in ${what} pages, ${backend}`, hundredth(median(maps)), "ms", { budget });
}

const used = () => {
  for (let i = 0; i < 2; i++) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** What the process has more of with 256 MiB mapped than before: tables as they have grown, lists and accounts. */
async function memory(note, backend) {
  const { map, unmap } = mapper(await library(), 4096, backend);
  map(FIRST, 2 ** 20);
  unmap(FIRST, 2 ** 20);
  const before = used();
  map(FIRST, GIB / 4);
  note(`  of each page of 4 KiB, memory, ${backend}`, tenth((used() - before) / (GIB / 4 / 4096)), "B", { budget: 16 });
  unmap(FIRST, GIB / 4);
}

async function hugeMemory(note) {
  const { map, unmap } = mapper(await library(), 2 ** 21);
  map(4 * GIB, 2 ** 21);
  unmap(4 * GIB, 2 ** 21);
  const before = used();
  map(4 * GIB, 4 * GIB);
  note("  of each page of 2 MiB, memory", tenth((used() - before) / 2048), "B");
  unmap(4 * GIB, 4 * GIB);
}

/** Mappings of a page each, as many as a container may have. */
const MAPPINGS = 65_535;

async function manyMappings(note) {
  const { map, unmap } = mapper(await library(), 4096);
  const each = (count, call) => (milliseconds(() => Array.from({ length: count }, (_, i) => call(FIRST + 8192 * i, 4096))) * 1000) / count;
  const few = [map, unmap].map((call) => each(MAPPINGS / 16, call));
  const before = used();
  const mapped = each(MAPPINGS, map);
  const bytes = (used() - before) / MAPPINGS;
  const all = [mapped, each(MAPPINGS, unmap)];
  for (const [i, what] of ["MAP_DMA", "UNMAP_DMA"].entries())
    note(`${what} of a page, each of ${MAPPINGS.toLocaleString("en")}`, tenth(all[i]), "us", { remark: `each of a sixteenth of them ${tenth(few[i])}` });
  note("  of a mapping of one page, memory", Math.round(bytes), "B", { remark: "its request, its pin and its account besides its page" });
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  setIrqs: (note) => setIrqs(note, "xen", ", Xen's"),
  "setIrqs, its": (note) => setIrqs(note, "its", " behind an ITS, 8 commands for each"),
  "4 KiB": (note) => mapDma(note, "type 1", "4 KiB", 4096, 60),
  "2 MiB": (note) => mapDma(note, "type 1", "2 MiB", 2 ** 21, 1),
  "SPAPR v1": (note) => mapDma(note, "SPAPR v1", "4 KiB", 4096, 60),
  "SPAPR v2": (note) => mapDma(note, "SPAPR v2", "4 KiB", 4096, 60),
  Xen: (note) => mapDma(note, "Xen", "4 KiB", 4096, 60),
  iommufd: (note) => mapDma(note, "iommufd", "4 KiB", 4096, 60),
  "iommufd, 2 MiB": (note) => mapDma(note, "iommufd", "2 MiB", 2 ** 21, 1),
  ...Object.fromEntries(Object.keys(BACKENDS).map((backend) => [`memory, ${backend}`, (note) => memory(note, backend)])),
  "memory, 2 MiB": hugeMemory,
  manyMappings,
  async unmapDma(note) {
    const { map, unmap } = mapper(await library(), 4096);
    const [quarter, whole] = [GIB, 4 * GIB].map((size) => {
      const all = [];
      for (let i = 0; i < 7; i++) {
        map(4 * GIB, size);
        all.push(milliseconds(() => unmap(4 * GIB, size)));
      }
      return hundredth(median(all));
    });
    note("UNMAP_DMA of 262,144 pages", quarter, "ms");
    note("UNMAP_DMA of 1,048,576 pages", whole, "ms", { remark: `4 times as much is ${hundredth(4 * quarter)}` });
  },
  async translation(note) {
    const { map, world } = mapper(await library(), 4096);
    map(FIRST, GIB);
    const domain = world.pciGroup.current();
    let [place, sum] = [FIRST, 0];
    const walks = () => {
      for (let i = 0; i < WALKS; i++) {
        place = (Math.imul(place, 1103515245) + 12345) & 0x3fff_ffff;
        sum += domain.walk(0, place);
      }
    };
    walks();
    note("DMA translation, any page of 1 GiB", tenth((median(Array.from({ length: 5 }, () => milliseconds(walks))) / WALKS) * 1e6), "ns", { budget: 40 });
    if (sum === 0) throw new Error("nothing was translated");
    const { IommuDma } = await import(at("host/iommu/dma"));
    const dma = new IommuDma(world.smmu, world.pciGroup, 0x600);
    const word = new Uint8Array(4);
    const transactions = () => {
      for (let i = 0; i < WALKS; i++) {
        place = (Math.imul(place, 1103515245) + 12345) & 0xff_fffc;
        if (!dma.read(place, word)) throw new Error("a transaction was terminated");
      }
    };
    transactions();
    note("  a device's read of 4 bytes in 16 MiB, with the page of the process that it lies in", tenth((median(Array.from({ length: 5 }, () => milliseconds(transactions))) / WALKS) * 1e6), "ns");
  },
};
