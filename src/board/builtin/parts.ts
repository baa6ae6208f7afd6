import { node, type NodeSource, ppi } from "./source.js";

/** CPUs started by PSCI, one node for each MPIDR. */
export function cpus(compatible: string, mpidrs: readonly number[], properties: NodeSource["properties"] = {}): NodeSource {
  const each = mpidrs.map((mpidr) => node(`cpu@${mpidr.toString(16)}`, { device_type: "cpu", compatible, reg: [mpidr], ...properties }));
  return node("cpus", { "#address-cells": [1], "#size-cells": [0] }, each);
}

/** Secure, physical, virtual and hypervisor timers: PPIs 13, 14, 11, 10 (INTIDs 29, 30, 27, 26). */
export function armTimer(compatible: string, flags: number): NodeSource {
  return node("timer", { compatible, interrupts: [13, 14, 11, 10].flatMap((number) => ppi(number, flags)) });
}

export function psci(compatible: string): NodeSource {
  return node("psci", { compatible, method: "smc" });
}

/** MPIDRs of clusters of equal size: Aff1 counts clusters, Aff0 cores. */
export function clusters(count: number, cores: number): number[] {
  return Array.from({ length: count * cores }, (_, i) => (Math.floor(i / cores) << 8) | (i % cores));
}
