import { PaprMachine } from "../../conform/papr-machine.js";
import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import type { StructInfo } from "../../uapi/struct.js";
import type { Program } from "../trial.js";
import { ioctl, Thread } from "./threads.js";
import { XicsGuest } from "./xics-guest.js";
import type { Context } from "../../sim/context.js";

/** Memory of the VMM's for the arguments of its threads; the machine's own requests are below. */
const ARGUMENTS = 0x10_8000;

/** A VM on POWER by system calls, in which threads make system calls and guests hypercalls. */
export class PaprStage {
  readonly m: PaprMachine;
  private next = ARGUMENTS;

  constructor(hazards: Partial<Hazards>) {
    this.m = new PaprMachine({ hazards });
    run(this.m.start());
  }

  /** Source `irq` of server 0, which is open. */
  open(irq: number, hi: number): void {
    run(this.m.setSource(irq, hi, 0));
    run(this.m.hypercall(0, 0x68, [0xff]));
  }

  /** The guest of a vCPU without KVM_RUN around its hypercalls. */
  guest(cpu = 0): XicsGuest {
    const { icp } = this.m.cpus[cpu].vcpu;
    if (icp === null) throw new Error(`vCPU ${cpu} is not connected`);
    return new XicsGuest(this.m.xics, icp);
  }

  /** vCPU 0 in KVM_RUN, its guest in this hypercall. */
  hypercall(number: number, r4: number): Context {
    const { guest, thread } = this.m.cpus[0];
    guest.ask(number, [r4]);
    return thread;
  }

  /** An irqfd of a source, and its device, which signals it once. */
  irqfd(irq: number, flags = 0, resample = -1): { trigger: number; device: Thread } {
    const { m } = this;
    const trigger = m.eventfd();
    run(m.irqfd(trigger, irq, flags, resample));
    const one = this.place(8, (view) => view.setUint32(0, 1, true));
    return { trigger, device: new Thread("device", "hardirq", () => m.process.write(trigger, one, 8)) };
  }

  /** A thread in one ioctl with this structure. */
  ioctl(name: string, fd: number, request: number, info: StructInfo, fill: (view: DataView) => void): Thread {
    return ioctl(name, this.m.process, fd, request, this.place(info.size, fill));
  }

  /** The address of an argument that nobody else uses. */
  place(size: number, fill: (view: DataView) => void): number {
    const bytes = new Uint8Array(size);
    fill(new DataView(bytes.buffer));
    const address = this.next;
    this.next += (size + 7) & ~7;
    this.m.process.memory.copyOut(address, bytes);
    return address;
  }

  program(contexts: readonly Context[], end: () => string | null): Program {
    return { sim: this.m.sim, contexts, check: () => null, end };
  }
}
