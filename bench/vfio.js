// VFIO's figures (issue 7, 6): what a user waits for when it maps memory and sets up interrupts, and what a device pays for a page.
import { hundredth, median, milliseconds, tenth } from "./measure.js";

const GIB = 2 ** 30;
const RAM = 0x1_0000_0000;
const ARGUMENTS = 0x1000;
const VECTORS = 2048;
const WALKS = 2_000_000;
const PARTS =
  "explore/stages/pci-stage host/process sim/sim host/gic/gic-host host/gic/gicv3 host/its/its-host host/xen/msi-domain host/xen/physical-irqs host/xen/event-channels host/smmu host/iommu/group host/device-nodes host/sysfs host/driver-binding host/eventfd host/pci/pci-root host/pci/pci-device device/pci/bar device/pci/function device/pci/capabilities vfio/vfio vfio/iommu/type1 vfio/backends/pci/driver";

const at = (path) => new URL(`../dist/straight/${path}.js`, import.meta.url).href;

/** The parts of the built library that the scenes are made of, under their own names. */
async function library() {
  const [stage, process_, ...rest] = await Promise.all(PARTS.split(" ").map((name) => import(at(name))));
  return { PciStage: stage.PciStage, ...Object.assign({}, process_, ...rest) };
}

/** A container with type 1 version 2, and a process with 4 GiB of memory in pages of a size. */
function mapper({ PciStage, Process }, pageSize) {
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
async function setIrqs(note, domain, what, budget) {
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
  note(`SET_IRQS of ${VECTORS} MSI-X vectors${what}, other eventfds for all`, hundredth(median(sets)), "ms", { budget });
  note("  the one that allocates their host interrupts", hundredth(median(enables)), "ms", { budget });
  note("  the one that ends them", hundredth(median(clears)), "ms", { budget });
  note("  the first in this process, compilers' threads included", hundredth(first), "ms");
}

async function mapDma(note, what, pageSize, budget) {
  const { map, unmap } = mapper(await library(), pageSize);
  const maps = [];
  for (let i = 0; i < 9; i++) {
    maps.push(milliseconds(() => map(0x1_0000_0000, GIB)));
    unmap(0x1_0000_0000, GIB);
  }
  note(`MAP_DMA of 1 GiB in ${what} pages`, hundredth(median(maps)), "ms", { budget });
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  setIrqs: (note) => setIrqs(note, "xen", "", 2),
  "setIrqs, its": (note) => setIrqs(note, "its", " behind an ITS, 8 commands for each"),
  "4 KiB": (note) => mapDma(note, "4 KiB", 4096, 60),
  "2 MiB": (note) => mapDma(note, "2 MiB", 2 ** 21, 1),
  async unmapDma(note) {
    const { map, unmap } = mapper(await library(), 4096);
    const [quarter, whole] = [GIB, 4 * GIB].map((size) => {
      const all = [];
      for (let i = 0; i < 7; i++) {
        map(0x1_0000_0000, size);
        all.push(milliseconds(() => unmap(0x1_0000_0000, size)));
      }
      return hundredth(median(all));
    });
    note("UNMAP_DMA of 262,144 pages", quarter, "ms");
    note("UNMAP_DMA of 1,048,576 pages", whole, "ms", { remark: `4 times as much is ${hundredth(4 * quarter)}` });
  },
  async translation(note) {
    const { map, world } = mapper(await library(), 4096);
    map(0x1_0000_0000, GIB);
    const domain = world.pciGroup.current();
    const { mappedBytes, tableBytes } = domain.usage();
    note("memory of the tables, a page of 4 KiB", hundredth(tableBytes / (mappedBytes / 4096)), "B", { budget: 16 });
    let [place, sum] = [1, 0];
    const walks = () => {
      for (let i = 0; i < WALKS; i++) {
        place = (Math.imul(place, 1103515245) + 12345) & 0x3fff_ffff;
        sum += domain.walk(1, place);
      }
    };
    walks();
    note("DMA translation, any page of 1 GiB", tenth((median(Array.from({ length: 5 }, () => milliseconds(walks))) / WALKS) * 1e6), "ns", { budget: 40 });
    if (sum === 0) throw new Error("nothing was translated");
  },
};
