// A whole machine, a VMM and a guest from the built library, wired by one mechanism.
import { path, perCall, WHOLE_GUEST } from "./measure.js";

/** @param {"straight" | "stepped"} tempo */
async function library(tempo) {
  const from = (name) => import(new URL(`../dist/${tempo}/${name}.js`, import.meta.url).href);
  const [step, run, profile, builtin, find, scenario, sim] = await Promise.all(
    ["sim/step", "delivery/run", "scenario/profiles", "board/builtin", "board/find-device", "scenario/scenario", "sim/sim"].map(from),
  );
  return { ...step, ...run, ...profile, ...builtin, ...find, ...scenario, ...sim };
}

const FIRST_SPI = 40;

/**
 * A platform device of the built-in board `virt` (vGICv3) or `overdrive` (vGICv2) with `spis` level or edge interrupts,
 * and a guest that serves them by `mechanism`, everything quiet. `cycle` raises one condition, of each interrupt in turn,
 * and runs until all is quiet again.
 */
function scene(lib, { board, trigger, mechanism, vcpus = 1, spis = 1 }) {
  const builtin = lib.builtinBoard(board, { assumeIommu: true });
  const template = lib.findDevice(builtin, board === "virt" ? "/virtio_mmio@a000000" : "/smb/xgmac@e0700000");
  const interrupts = Array.from({ length: spis }, (_, index) => ({ ...template.interrupts[0], index, intid: FIRST_SPI + index, trigger }));
  const registers = [{ ...template.registers[0], size: 0x10000 }];
  const device = { ...template, bus: "platform", registers, interrupts };
  const description = { ...builtin, devices: [device] };
  return start(lib, { board: description, device, interrupts, mechanism, workload: { vcpus, handlerNs: 0 }, profile: lib.DEFAULT_PROFILE });
}

/** The NVMe-class function of the built-in board `pc`, whose pin is interrupt 0 and whose first message 1, as {@link scene}. */
function pcScene(lib, { irq, mechanism, ...workload }) {
  const board = lib.builtinBoard("pc");
  const device = lib.findDevice(board, "01:00.0");
  return start(lib, { board, device, interrupts: [device.interrupts[irq]], mechanism, workload: { handlerNs: 0, ...workload }, profile: lib.DEFAULT_X86_PROFILE });
}

function start(lib, { board, device, interrupts, mechanism, workload, profile }) {
  const request = {
    board,
    device,
    interrupts,
    workload: lib.workloadSchema.parse(workload),
    profile: lib.COST_PROFILES.find((each) => each.name === profile),
    mechanisms: [mechanism],
  };
  const delivery = lib.Delivery.prepare(request, mechanism, interrupts);
  const { sim } = delivery.machine;
  const sources = delivery.sources.map((line) => line.source);
  let next = 0;
  const cycle = () => {
    const source = sources[next];
    next = next + 1 === sources.length ? 0 : next + 1;
    lib.run(source.raise());
    lib.run(sim.settle());
  };
  return cycle;
}

const LEVEL = { board: "virt", trigger: "level-high", mechanism: "irqfd+resample" };
const FORWARD = { board: "virt", trigger: "level-high", mechanism: "forward" };
const EDGE = { board: "virt", trigger: "edge-rising", mechanism: "irqfd" };
const KERNEL_EDGE = "600 ns (eventfd to an MSI route), 450 ns (KVM_SIGNAL_MSI)";
const arm = (what, options, beside) => async (note) => path(note, what, scene(await library("straight"), options), beside);
const pc = (what, options, beside) => async (note) => path(note, `${what}, whole PC`, pcScene(await library("straight"), options), { calls: 50_000, millions: 2, ...beside });
/** The VMM unmaps and maps the registers. */
const NEW_SLOTS = { most: undefined, remark: "a new table of memory slots each time" };

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  level: arm("level cycle with resample, vGICv3", LEVEL, { budget: 500, kernel: "8000-15000 ns", remark: WHOLE_GUEST }),
  forwarded: arm("level, forwarded, vGICv3", FORWARD, { budget: 350, remark: WHOLE_GUEST }),
  edge: arm("edge by irqfd, vGICv3", EDGE, { budget: 250, kernel: KERNEL_EDGE, remark: WHOLE_GUEST }),
  "level, vGICv2": arm("level cycle with resample, vGICv2", { ...LEVEL, board: "overdrive" }),
  "forwarded, vGICv2": arm("level, forwarded, vGICv2", { ...FORWARD, board: "overdrive" }),
  "edge, vGICv2": arm("edge by irqfd, vGICv2", { ...EDGE, board: "overdrive" }),
  async scaling(note) {
    const lib = await library("straight");
    const small = perCall(scene(lib, LEVEL));
    note("level cycle, 1 vCPU and 1 interrupt", small, "ns");
    note("level cycle, 512 vCPUs, 928 interrupts in turn", perCall(scene(lib, { ...LEVEL, vcpus: 512, spis: 928 })), "ns", { budget: 2 * small });
  },
  async stepped(note) {
    note("level cycle, stepped", perCall(scene(await library("stepped"), LEVEL), 4000), "ns", { budget: 20_000 });
  },
  irqfd: pc("message, irqfd", { mechanism: "irqfd", irq: 1 }),
  posted: pc("message, posted", { mechanism: "posted", irq: 1 }),
  message: pc("message, user space", { mechanism: "userspace", irq: 1 }),
  pin: pc("pin, level cycle with resample", { mechanism: "irqfd+resample", irq: 0 }),
  split: pc("pin, split irqchip", { mechanism: "split", irq: 0 }),
  userspace: pc("pin, user space", { mechanism: "userspace", irq: 0 }, NEW_SLOTS),
};
