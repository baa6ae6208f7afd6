import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import * as K from "../../uapi/kvm.js";
import { KVM_DEV_XICS_GRP_SOURCES, KVM_XICS_LEVEL_SENSITIVE_HI, KVM_XICS_PENDING_HI, KVM_REG_PPC_ICP_STATE_HI, KVM_REG_PPC_ICP_STATE_LO, KVM_XICS_PRESENTED_HI } from "../../uapi/powerpc.js";
import type { Protocol } from "../protocol.js";
import { PaprStage } from "../stages/papr-stage.js";
import { Thread } from "../stages/threads.js";

// A guest comes to a fresh VM by system calls, while a device goes on signalling; each rule of their order is one that a VMM could break.

/** Presented at server 0 when the guest stopped; a line at server 1 that rose between the reading of that server's word and its own; sent meanwhile to server 0. The line is in a block of its own, which no scan of server 0 comes by. */
const [PRESENTED, LINE, MEANWHILE] = [0x400, 0x801, 0x402];
const MASKED = 0xff;
const XISR = 0xff_ffff;
/** Words of servers that admit everything: with {@link PRESENTED} at priority 5, and with nothing. */
const SERVERS = [
  { hi: (0xff << 24) | PRESENTED, lo: (0xff << 24) | (5 << 16) },
  { hi: 0xff << 24, lo: (0xff << 24) | (0xff << 16) },
];
/** Words of sources, and the server of each. */
const SOURCES = [
  { irq: PRESENTED, hi: 5 | KVM_XICS_PRESENTED_HI, server: 0 },
  { irq: LINE, hi: 5 | KVM_XICS_LEVEL_SENSITIVE_HI | KVM_XICS_PENDING_HI | KVM_XICS_PRESENTED_HI, server: 1 },
  { irq: MEANWHILE, hi: 4, server: 0 },
];
const TURNS = 8;

/** The VMM of the destination. */
class Restoring {
  private readonly stage: PaprStage;
  private readonly threads: Thread[] = [];

  constructor(hazards: Partial<Hazards>) {
    this.stage = new PaprStage(hazards);
  }

  /** Threads of the VMM: each makes its calls in a row, and all of one step begin when those of the step before are done. */
  calls(name: string, steps: readonly (readonly (readonly Call[])[])[]): void {
    let before: readonly Thread[] = [];
    for (const step of steps) before = step.map((calls) => this.add(step.length > 1 || this.threads.length > 0 ? `${name} ${this.threads.length}` : name, before, calls));
  }

  private add(name: string, after: readonly Thread[], calls: readonly Call[]): Thread {
    const { process, sim } = this.stage.m;
    for (const thread of after) thread.announceEnd();
    function* work(): Step<number> {
      for (let i = 0; i < after.length; i++) yield* after[i].waitFor(sim);
      let result = 0;
      for (let i = 0; i < calls.length && result === 0; i++) result = yield* process.ioctl(calls[i][0], calls[i][1], calls[i][2]);
      return result;
    }
    const thread = new Thread(name, "user", work);
    this.threads.push(thread);
    return thread;
  }

  private word(hi: number, lo: number): number {
    return this.stage.place(8, (view) => {
      view.setInt32(0, lo, true);
      view.setInt32(4, hi, true);
    });
  }

  source(irq: number, hi: number, server: number): Call {
    const word = this.word(hi, server);
    const argument = this.stage.place(K.kvm_device_attr.size, (view) => {
      K.kvm_device_attr.group.set(view, KVM_DEV_XICS_GRP_SOURCES);
      K.kvm_device_attr.attr.setNumber(view, irq);
      K.kvm_device_attr.addr.setNumber(view, word);
    });
    return [this.stage.m.device, K.KVM_SET_DEVICE_ATTR, argument];
  }

  server(cpu: number): Call {
    const word = this.word(SERVERS[cpu].hi, SERVERS[cpu].lo);
    const argument = this.stage.place(K.kvm_one_reg.size, (view) => {
      K.kvm_one_reg.id.setHalves(view, KVM_REG_PPC_ICP_STATE_LO, KVM_REG_PPC_ICP_STATE_HI);
      K.kvm_one_reg.addr.setNumber(view, word);
    });
    return [this.stage.m.cpus[cpu].fd, K.KVM_SET_ONE_REG, argument];
  }

  /** An irqfd, and the device that signals it once, whoever listens. */
  irqfd(irq: number): { call: Call; device: Thread } {
    const { m } = this.stage;
    const trigger = m.eventfd();
    const argument = this.stage.place(K.kvm_irqfd.size, (view) => {
      K.kvm_irqfd.fd.set(view, trigger);
      K.kvm_irqfd.gsi.set(view, irq);
    });
    const one = this.stage.place(8, (view) => view.setUint32(0, 1, true));
    return { call: [m.vmFd, K.KVM_IRQFD, argument], device: new Thread("device", "hardirq", () => m.process.write(trigger, one, 8)) };
  }

  program(device: Thread): ReturnType<PaprStage["program"]> {
    return this.stage.program([...this.threads, device], () => this.refused() ?? this.lost());
  }

  private refused(): string | null {
    const call = this.threads.find(({ result }) => result !== 0);
    return call === undefined ? null : `the kernel refuses ${call.name} with ${call.result}: the guest cannot run`;
  }

  /** The vCPUs run: a source of the guest's is accepted where an external interrupt says so, its line falls, it is ended. */
  private lost(): string | null {
    const taken = new Map<number, number>();
    for (let turn = 0; turn < TURNS; turn++) run(this.turn(turn % this.stage.m.cpus.length, taken));
    const of = (irq: number): number => taken.get(irq) ?? 0;
    if (of(PRESENTED) !== 1) return `what was presented when the guest stopped is taken ${of(PRESENTED)} times`;
    // Twice where it is sent in the middle of the irqfd's assignment, which looks at the counter as well (kvm-irq-core.md 2.3, AS13).
    if (of(MEANWHILE) !== 1 && of(MEANWHILE) !== 2) return `a message that was sent while the guest was restored is taken ${of(MEANWHILE)} times`;
    return of(LINE) > 0 ? null : "a line is high, and its vCPU is never interrupted";
  }

  private *turn(cpu: number, taken: Map<number, number>): Step<void> {
    const { m } = this.stage;
    const { vcpu } = m.cpus[cpu];
    const guest = this.stage.guest(cpu);
    const isInterrupted = yield* vcpu.isRunnable();
    if (!isInterrupted) return;
    const xirr = yield* guest.accept();
    const irq = xirr & XISR;
    if (irq === 0) return;
    taken.set(irq, (taken.get(irq) ?? 0) + 1);
    if (irq === LINE) yield* m.xics.input(LINE, false);
    yield* guest.eoi(xirr);
  }
}

export const restoreOrder: Protocol = {
  name: "restored-on-xics",
  title: "A guest is restored in the order of xics.md 12.3, while a device signals: what was presented, what was pending and what comes meanwhile are each taken.",
  source: "xics.md 12.3, N8, N9, R17, R18, R19",
  about: ["xics_icp"],
  program(hazards = {}) {
    const restoring = new Restoring(hazards);
    const creation = SOURCES.map(({ irq, hi }) => restoring.source(irq, MASKED | (hi & KVM_XICS_LEVEL_SENSITIVE_HI), 0));
    const servers = SERVERS.map((_, cpu) => restoring.server(cpu));
    const sources = SOURCES.map(({ irq, hi, server }) => restoring.source(irq, hi, server));
    const { call, device } = restoring.irqfd(MEANWHILE);
    restoring.calls("vmm", steps(hazards, { creation, servers, sources, irqfd: [call] }));
    return restoring.program(device);
  },
};

type Call = readonly [fd: number, request: number, address: number];
type Part = "creation" | "servers" | "sources" | "irqfd";

/** Parts of the restore in their order, or, of the two that a rule orders, in both at once: two threads of the VMM. */
function steps(hazards: Partial<Hazards>, calls: Readonly<Record<Part, readonly Call[]>>): readonly (readonly (readonly Call[])[])[] {
  const { creation, servers, sources, irqfd } = calls;
  if (hazards.serversBeforeBlocks === true) return [[creation, servers], [[...sources, ...irqfd]]];
  if (hazards.sourcesBeforeServers === true) return [[creation], [servers, sources], [irqfd]];
  if (hazards.irqfdsBeforeSources === true) return [[[...creation, ...servers]], [sources, irqfd]];
  return [[[...creation, ...servers, ...sources, ...irqfd]]];
}
