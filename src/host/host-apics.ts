import type { IrqPort } from "../arch/irq-port.js";
import { writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import type { CpuController, Ipi } from "./cpu.js";

/**
 * The local APICs of an x86 host, as far as its CPUs interrupt one another: one request bit per {@link Ipi}, edge, gone
 * with the acknowledge. The host's vectors for them (0xfd, 0xfb, 0xf2, 0xf1) mean nothing to a guest.
 */
export class HostApics implements CpuController {
  private readonly ports: (IrqPort | null)[];
  /** By CPU. */
  private readonly requests: Int32Array;

  constructor(readonly cpus: number) {
    this.ports = Array.from({ length: cpus }, () => null);
    this.requests = new Int32Array(cpus);
  }

  connect(cpu: number, port: IrqPort): void {
    this.ports[cpu] = port;
  }

  /** Has no point of its own: the CPU that samples it has announced its wire. */
  isSignalled(cpu: number): boolean {
    return this.requests[cpu] !== 0;
  }

  *send(to: number, ipi: Ipi): Step<void> {
    yield writes(this, "irr");
    const before = this.requests[to];
    this.requests[to] = before | (1 << ipi);
    const port = this.ports[to];
    if (before === 0 && port !== null) yield* port.irq(true);
  }

  /** The IPI that is acknowledged, -1: none. */
  *acknowledge(cpu: number): Step<number> {
    yield writes(this, "irr");
    const bits = this.requests[cpu];
    if (bits === 0) return -1;
    this.requests[cpu] = bits & (bits - 1);
    return 31 - Math.clz32(bits & -bits);
  }
}
