import { Cost } from "../sim/cost.js";
import type { Step } from "../sim/step.js";
import { ENOENT } from "../uapi/errno.js";
import type { Process } from "./process.js";

/** What a path in /dev leads to. */
export interface DeviceNode {
  /** open(2): the descriptor, or a negative errno. */
  open(process: Process): Step<number>;
}

/** The /dev of one host: nodes by path. */
export class DeviceNodes {
  private readonly nodes = new Map<string, DeviceNode>();

  register(path: string, node: DeviceNode): void {
    this.nodes.set(path, node);
  }

  remove(path: string): void {
    this.nodes.delete(path);
  }

  /** open(2) by path: the descriptor, -ENOENT, or what the node answers. */
  *open(process: Process, path: string): Step<number> {
    process.sim.charge(Cost.syscall);
    const node = this.nodes.get(path);
    return node === undefined ? -ENOENT : yield* node.open(process);
  }

  /** All paths, sorted. */
  paths(): string[] {
    return [...this.nodes.keys()].sort();
  }
}
