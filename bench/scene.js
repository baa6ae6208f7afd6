// The scenes that the benchmarks drive: a machine, a VMM and a guest from the built library, wired by one mechanism.

/** @param {"straight" | "stepped"} tempo */
export async function library(tempo) {
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
export function scene(lib, { board, trigger, mechanism, vcpus = 1, spis = 1 }) {
  const builtin = lib.builtinBoard(board, { assumeIommu: true });
  const template = lib.findDevice(builtin, board === "virt" ? "/virtio_mmio@a000000" : "/smb/xgmac@e0700000");
  const interrupts = Array.from({ length: spis }, (_, index) => ({ ...template.interrupts[0], index, intid: FIRST_SPI + index, trigger }));
  const registers = [{ ...template.registers[0], size: 0x10000 }];
  const device = { ...template, bus: "platform", registers, interrupts };
  const description = { ...builtin, devices: [device] };
  return start(lib, { board: description, device, interrupts, mechanism, workload: { vcpus, handlerNs: 0 }, profile: lib.DEFAULT_PROFILE });
}

/** The NVMe-class function of the built-in board `pc`, whose pin is interrupt 0 and whose first message 1, as {@link scene}. */
export function pcScene(lib, { irq, mechanism, ...workload }) {
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
  return { cycle, sources };
}
