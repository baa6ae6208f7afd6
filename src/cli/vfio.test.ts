import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { virq } from "./command.fixture.js";
import { type VfioOutput, vfioOutput } from "./vfio/schema.js";

const folder = mkdtempSync(join(tmpdir(), "virq-vfio-"));
afterAll(() => rmSync(folder, { recursive: true }));

function script(...lines: string[]): string {
  const file = join(folder, "session.txt");
  writeFileSync(file, lines.join("\n"));
  return file;
}

async function session(lines: readonly string[], ...options: string[]): Promise<VfioOutput["lines"]> {
  const { status, out } = await virq("vfio", script(...lines), "--json", ...options);
  expect(status).toBe(0);
  return vfioOutput.parse(JSON.parse(out)).lines;
}

const BUS = "/sys/bus/pci";
const NAME = "0000:01:00.0";

describe("virq vfio", () => {
  it("the others of the device's group are there, each its host driver's: the group is not viable until they are let go (2.5, 2.7, 4.3)", async () => {
    const [own, other] = ["0000:01:00.0", "0000:01:00.1"];
    const board = ["--board", "overdrive", "--pci", "01:00.0,pin=1,msi=8,under=00:02.1", "--pci", "01:00.1,msi=4,under=00:02.1", "--device", "/smb/pcie@f0000000/01:00.0"];
    const lines = [`echo ${own} > ${BUS}/devices/${own}/driver/unbind`, `echo vfio-pci > ${BUS}/devices/${own}/driver_override`, `echo ${own} > ${BUS}/drivers_probe`, "ls /sys/kernel/iommu_groups/3/devices", "c = open /dev/vfio/vfio", "g = open /dev/vfio/3", "ioctl g SET_CONTAINER c", `echo ${other} > ${BUS}/devices/${other}/driver/unbind`, "ioctl g SET_CONTAINER c"];
    const answers = await session(lines, ...board);
    expect(answers.map(({ result }) => result).slice(3)).toEqual([`${own} ${other}`, 0, 1, "-EPERM", 13, 0]);
    const whole = await session(["assign", "ioctl device GET_PCI_HOT_RESET_INFO argsz=64", "release"], ...board);
    expect(whole.filter(({ result }) => typeof result === "string" && result.startsWith("-"))).toEqual([]);
    expect([whole.find(({ line }) => line.includes("HOT_RESET"))?.fields, whole.at(-1)?.line, whole.at(-1)?.result]).toMatchObject([{ count: "2" }, `readlink ${BUS}/devices/${other}/driver`, `${BUS}/drivers/native`]);
  });

  it.each(["pc", "d05", "pseries"])("assign and release are the steps of vfio.md 2.7 and their reverse: on %s the device interrupts, and is its host driver's again (21.5, point 12)", async (board) => {
    const { status, out } = await virq("vfio", "--board", board, "--json");
    expect(status).toBe(0);
    const { lines } = vfioOutput.parse(JSON.parse(out));
    const results = new Map(lines.map(({ line, result }) => [line, result]));
    expect(lines.filter(({ result }) => typeof result === "string" && result.startsWith("-"))).toEqual([]);
    expect(results.get("count trigger")).toBe(1);
    expect(lines.find(({ line }) => line === "ioctl group GET_STATUS")?.fields).toEqual({ flags: "VIABLE" });
    expect(lines.at(-1)?.result).toBe("/sys/bus/pci/drivers/native");
  });

  it("says that an IOMMU is assumed, and nothing of one that the board has", async () => {
    const { out } = await virq("vfio", script("eventfd"), "--board", "d05");
    expect(out.split("\n")).toEqual(["# the tree names no IOMMU for this device: one is assumed (--assume-iommu)", "eventfd", "  = 0", ""]);
    expect((await virq("vfio", script("eventfd"))).out).toBe("eventfd\n  = 0\n");
  });

  it("is a verb a step: what fails says its errno, and the next goes on", async () => {
    const answers = await session([
      "g = open /dev/vfio/1 # no driver of VFIO's has it yet",
      `echo vfio-pci > ${BUS}/devices/${NAME}/driver_override`,
      `echo ${NAME} > ${BUS}/devices/${NAME}/driver/unbind`,
      `echo ${NAME} > ${BUS}/drivers_probe`,
      `cat ${BUS}/devices/${NAME}/driver_override`,
      "g = open /dev/vfio/1",
      `ioctl g GET_DEVICE_FD ${NAME}`,
      "ioctl g VFIO_GROUP_SET_CONTAINER g",
      "ioctl 77 RESET",
      "m = memory 8192",
      "poke m 4 0x1234",
      "peek m 2",
      "peek 4096 2",
    ]);
    expect(answers.map(({ result }) => result)).toEqual(["-ENOENT", 9, 13, 13, "vfio-pci", 0, "-EINVAL", "-EBADFD", "-EBADF", 0x1000_0000, 4, "0x1234", "-EFAULT"]);
  });

  it("a line that has to wait does so while the others go on, and says so; what nobody ends waits for ever, exit status 1", async () => {
    const unbind = `echo ${NAME} > ${BUS}/drivers/vfio-pci/unbind`;
    const answers = await session(["assign", unbind, "close trigger", "close device"]);
    const line = answers.find((each) => each.line === unbind);
    expect([line?.result, line?.passedBy]).toEqual([13, 2]);
    const { status, out } = await virq("vfio", script("assign", unbind));
    expect([status, out.split("\n").at(-2)]).toEqual([1, "  = waits for ever"]);
  });

  it("22.1: rmmod of a driver is refused while its device is open; it takes the device away from it, and modprobe gives it back", async () => {
    const module = "/sys/module/vfio_pci";
    const answers = await session(["assign", `cat ${module}/refcnt`, "rmmod vfio_pci", "close device", "close group", `cat ${module}/refcnt`, "rmmod vfio_pci", `cat ${module}/refcnt`, "open /dev/vfio/1", "modprobe vfio_pci", `readlink ${BUS}/devices/${NAME}/driver`, "rmmod nothing", "modprobe nothing"]);
    expect(answers.slice(-12).map(({ result }) => result)).toEqual(["1", "-EAGAIN", 0, 0, "0", 0, "-ENOENT", "-ENODEV", 0, `${BUS}/drivers/vfio-pci`, "-ENOENT", "-ENOENT"]);
  });

  it("--backend xen: a vector is bound to an event channel of the guest, and no host handler runs (21.4)", async () => {
    const { status, out } = await virq("vfio", "--board", "pc", "--backend", "xen", "--json");
    expect(status).toBe(0);
    const { lines } = vfioOutput.parse(JSON.parse(out));
    expect(lines.filter(({ result }) => typeof result === "string" && result.startsWith("-"))).toEqual([]);
    expect(lines.find(({ line }) => line.includes("SET_IRQ_NOTIFY"))?.fields).toEqual({ "data[1]": "1" });
    expect(lines.find(({ line }) => line === "take 1")?.result).toBe(1);
    expect((await virq("vfio", "--board", "pc", "--backend", "platform")).err).toMatch(/^virq: --backend platform: .* is a PCI function; leave --backend away, or name another with --device\n$/);
  });

  it("registers that are mapped are loaded and stored; what no longer decodes is a SIGBUS (14)", async () => {
    const answers = await session(["assign", "mm = mmap device 0 4096", "peek mm 4", "poke mm 4 7", "write device 0x70000000004 2 0", "peek mm 4", "poke mm 8 1"]);
    expect(answers.slice(-5).map(({ result }) => result)).toEqual(["0x00000001", 4, 2, "SIGBUS", "SIGBUS"]);
  });

  it("a request goes by its number, too; ls shows the nodes, echo -n writes no line's end", async () => {
    const answers = await session(["assign", "ioctl container 0x3b64", "ioctl container 0x3b65 1", "ls /dev/vfio", `echo -n vfio-pci > ${BUS}/devices/${NAME}/driver_override`]);
    expect(answers.slice(-4).map(({ result }) => result)).toEqual([0, 1, "1 devices vfio", 8]);
  });

  it("what was answered before a line that nobody can perform is shown", async () => {
    const { status, out, err } = await virq("vfio", script("g = open /dev/vfio/77", "ioctl g RESET", "eventfd"));
    expect([status, out]).toEqual([2, "g = open /dev/vfio/77\n  = -ENOENT\n"]);
    expect(err).toContain('line 2: "g" is no number, and no line before it that succeeded has that name');
  });

  it.each([
    ["pc", [], "0x0000000000200000", 256],
    ["d05", [], "0x0000000000200000", 0xf980],
    ["pseries", [], "0x0000000000200000", 8],
    ["midway", ["--device", "/soc/ethernet@fff50000"], "0x0000000000200000", 0],
    ["pc", ["--backend", "xen"], "0x0000000000200000", 256],
  ] as const)("on %s %j the device reads and writes what is mapped; what is not ends its DMA, and TAKE_FAULT tells (issue of VFIO, 3)", async (board, options, iova, stream) => {
    const lines = ["assign", "poke ram 4 0x11223344", "dma read 0 4", "dma write 0x10 2 0xbeef", "peek 0x10000010 2", `dma write ${iova} 4 1`, "fault = ioctl container IOMMU_TAKE_FAULT", "ioctl container IOMMU_TAKE_FAULT"];
    const answers = (await session(lines, "--board", board, ...options)).slice(1 - lines.length);
    expect(answers.map(({ result }) => result)).toEqual([4, "0x11223344", 2, "0xbeef", "terminated", 0, "-ENOENT"]);
    expect(answers.at(-2)?.fields).toMatchObject({ flags: "WRITE", iova: "0x200000", ...(stream === 0 ? {} : { stream: stream < 4096 ? String(stream) : `0x${stream.toString(16)}` }) });
  });

  it("a function that may not master its bus does no DMA, and no IOMMU has a fault of it", async () => {
    const answers = await session(["assign", "write device 0x70000000004 2 2", "dma read 0 4", "ioctl container IOMMU_TAKE_FAULT"]);
    expect(answers.slice(-2).map(({ result }) => result)).toEqual(["terminated", "-ENOENT"]);
  });

  it("steps 1 to 7 of 22.2 with KVM's irqfd: the interrupt is KVM's to take, and the KVM-VFIO device holds the group", async () => {
    const lines = [
      "assign",
      "kvm = open /dev/kvm",
      "vm = ioctl kvm KVM_CREATE_VM",
      "ioctl vm KVM_CREATE_IRQCHIP",
      "resample = eventfd",
      "ioctl device SET_IRQS flags=DATA_NONE|ACTION_MASK index=0 start=0 count=1",
      "ioctl vm KVM_IRQFD fd=trigger gsi=10 flags=RESAMPLE resamplefd=resample",
      "ioctl device SET_IRQS flags=DATA_EVENTFD|ACTION_UNMASK index=0 start=0 count=1 data=resample",
      "ioctl device SET_IRQS flags=DATA_NONE|ACTION_UNMASK index=0 start=0 count=1",
      "count trigger",
      "device_of_kvm = ioctl vm KVM_CREATE_DEVICE type=VFIO",
      "slot = memory 4",
      "poke slot 4 group",
      "ioctl device_of_kvm.fd KVM_SET_DEVICE_ATTR group=FILE attr=FILE_ADD addr=slot",
      "ioctl device_of_kvm.fd KVM_SET_DEVICE_ATTR group=FILE attr=FILE_ADD addr=slot",
      "ioctl device_of_kvm.fd KVM_HAS_DEVICE_ATTR group=DEVICE attr=DEVICE_FORWARD_IRQ",
      "close device",
      "close group",
      "open /dev/vfio/1",
      "close device_of_kvm.fd",
      "close vm",
      "open /dev/vfio/1",
    ];
    const results = (await session(lines)).slice(1 - lines.length).map(({ result }) => result);
    expect(results).toEqual([4, 5, 0, 6, 0, 0, 0, 0, "-EAGAIN", 0, expect.any(Number), 4, 0, "-EEXIST", "-ENXIO", 0, 0, "-EBUSY", 0, 0, expect.any(Number)]);
  });

  it.each([
    ["modern", "1 devices vfio", "SET_IOMMU TYPE1v2"],
    ["v5", "1 vfio", "SET_IOMMU TYPE1v2"],
    ["fwd2014", "1 devices vfio", "SET_IOMMU TYPE1v2"],
    ["draft2011", "1", "DRAFT_GROUP_GET_IOMMU_FD"],
  ])("--vfio-profile %s: the steps are those of its interface, and the device interrupts (0.4, 21.6)", async (profile, nodes, step) => {
    const answers = await session(["assign", "ls /dev/vfio", "release"], "--vfio-profile", profile);
    expect(answers.filter(({ result }) => typeof result === "string" && result.startsWith("-"))).toEqual([]);
    expect(answers.some(({ line }) => line.includes(step))).toBe(true);
    const results = new Map(answers.map(({ line, result }) => [line, result]));
    expect([results.get("count trigger"), results.get("ls /dev/vfio"), answers.at(-1)?.result]).toEqual([1, nodes, "/sys/bus/pci/drivers/native"]);
  });

  it("--vfio-profile v5 has the kernel's answers of that time: features up to migration's, type 6, no iommufd", async () => {
    const asked = ["open /dev/iommu", "ioctl container CHECK_EXTENSION 6", "ioctl device FEATURE flags=0x60003"];
    const answers = async (profile: string): Promise<unknown[]> => (await session(["assign", ...asked], "--vfio-profile", profile)).slice(-asked.length).map(({ result }) => result);
    expect(await answers("v5")).toEqual(["-ENOENT", 1, "-ENOTTY"]);
    expect(await answers("modern")).toEqual([4, 0, 0]);
  });

  it("--vfio-profile draft2011 is for PCI functions", async () => {
    expect((await virq("vfio", "--board", "pseries", "--vfio-profile", "draft2011")).err).toContain("is for PCI functions of vfio-pci's");
  });

  it("registers and configuration space are read and written where GET_REGION_INFO says", async () => {
    const answers = await session(["assign", "read device 0x70000000000 2", "read device 0x70000000004 2", "ioctl device GET_REGION_INFO index=7"]);
    expect(answers.slice(-3).map(({ result }) => result)).toEqual(["0x8086", "0x0006", 0]);
    expect(answers.at(-1)?.fields).toMatchObject({ flags: "READ|WRITE", offset: "0x70000000000" });
  });

  it.each([
    [["bind x"], 'line 1: "bind" is no verb'],
    [["", "ioctl 0 GET_STATE"], 'line 2: "GET_STATE" is no request'],
    [["echo x /sys"], 'echo is written "echo [-n] [TEXT] > PATH"'],
    [["ioctl d RESET"], 'line 1: "d" is no number, and no line before it that succeeded has that name'],
    [["ioctl 0 IOMMU_MAP_DMA address=0"], "gives none of its fields argsz, flags, vaddr, iova, size a value"],
    [["ioctl 0 GET_IRQ_INFO index=0x100000000"], "does not fit"],
    [["memory 0"], "from 1 to"],
    [["raise 99"], "has no interrupt 99"],
    [["take 1"], "with --backend xen only"],
    [["ioctl 0 99 1 2"], "ioctl 99: it takes a number"],
    [["dma peek 0 4"], 'dma is written "dma read IOVA BYTES'],
    [["dma write 0 4"], 'dma is written "dma read IOVA BYTES'],
    [["dma read -1 4"], "an address from 0 on"],
  ])("%j is refused with the place, exit status 2", async (lines, sentence) => {
    const { status, err } = await virq("vfio", script(...lines));
    expect([status, err.split("\n").length]).toEqual([2, 2]);
    expect(err).toContain(sentence);
  });

  it("--list names every verb and every request", async () => {
    const { out } = await virq("vfio", "--list");
    for (const name of ["assign, release", "echo [-n] [TEXT] > PATH", "VFIO_DEVICE_SET_IRQS argsz flags index start count", "IOMMU_IOAS_MAP"]) expect(out).toContain(name);
  });
});
