// The scenes that the benchmarks drive: a machine, a VMM and a guest from the built library, wired by one mechanism.

/** @param {"straight" | "stepped"} tempo */
export async function library(tempo) {
  const from = (name) => import(new URL(`../dist/${tempo}/${name}.js`, import.meta.url).href);
  const [step, run, profile, builtin, find, scenario, sim] = await Promise.all(
    ["sim/step", "delivery/run", "scenario/profiles", "board/builtin", "board/find-device", "scenario/scenario", "sim/sim"].map(from),
  );
  return { ...step, ...run, ...profile, ...builtin, ...find, ...scenario, ...sim };
}

/**
 * A platform device of the built-in board `virt` (vGICv3) or `overdrive` (vGICv2) with a level or an edge interrupt, and
 * a guest that serves it by `mechanism`, everything quiet. `cycle` raises one condition and runs until all is quiet again.
 */
export function scene(lib, { board, trigger, mechanism, vcpus = 1, meter = false }) {
  const description = lib.builtinBoard(board, { assumeIommu: true });
  const template = lib.findDevice(description, board === "virt" ? "/virtio_mmio@a000000" : "/smb/xgmac@e0700000");
  const interrupt = { ...template.interrupts[0], index: 0, trigger };
  const device = { ...template, bus: "platform", interrupts: [interrupt] };
  const workload = lib.workloadSchema.parse({ vcpus, handlerNs: 0 });
  const request = { board: description, device, interrupts: [interrupt], workload, profile: lib.COST_PROFILES[0], mechanisms: [mechanism] };
  const delivery = lib.Delivery.prepare(request, mechanism, [interrupt]);
  const { sim } = delivery.machine;
  if (meter) sim.traceTo(delivery.meter);
  const [{ source }] = delivery.sources;
  const cycle = () => {
    lib.run(source.raise());
    lib.run(sim.settle());
  };
  return { cycle, source, delivery };
}
