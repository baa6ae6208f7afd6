import { ItsVOp, opcodeOf, sequenceOf, vpeidOf } from "../../arch/gic/its-command.js";
import { moveIrq } from "../../host/irq/affinity.js";
import { ItsHost } from "../../host/its/its-host.js";
import { ItsVm, ItsVpe } from "../../host/its/its-vm.js";
import { unmapVmOn, mapVmOn } from "../../host/its/vpe-map.js";
import { allocateVcpuIrqs } from "../../host/its/vpes.js";
import { Outcome } from "../../host/gic/its/translation.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { Sleep } from "../../kvm/vcpu-core.js";
import type { Protocol } from "../protocol.js";
import { DirectMachine, type DirectOptions } from "../stages/direct-machine.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// vPEs on physical CPUs and on ITSs (gic-v4.md C1.7, C5): residency, doorbells, moves. The VLPI is 8200 of vCPU 1.

const LPI = 8200;
const EVENT = 7;
const TARGET = 1;

const nothing = (): null => null;

const ENABLE_GRP1 = 2;

function machineOf(hazards: Partial<Hazards> | undefined, options: DirectOptions = {}): DirectMachine {
  const m = new DirectMachine({ trace: false, spiCount: 32, hazards, ...options });
  if (options.hw === "v4.1") m.gicd(0, ENABLE_GRP1); // its doorbells ring for groups that are on
  return m;
}

const device = (m: DirectMachine, index = 0): Thread => new Thread("device", "hardware", () => m.sendStep(index));

export const loadElsewhereAgainstMessage: Protocol = {
  name: "load-elsewhere-against-message",
  title: "A device sends a message while its vCPU is loaded on another CPU than before: the guest there is told.",
  source: "gic-v4.md C1.7, C5.1; gic.md R11",
  about: ["vpe_move", "vpe_resident"],
  program(hazards) {
    const m = machineOf(hazards);
    m.direct(EVENT);
    m.load(TARGET, 2);
    m.put(TARGET, 2);
    const load = new Thread("vcpu1", "vcpu", () => m.vgic.load(TARGET, 1), 1);
    return { sim: m.sim, contexts: [load, device(m)], check: nothing, end: () => (m.isUntold(TARGET, 1) ? "R11: a VLPI is pending and enabled, and its guest is not told" : null) };
  },
};

export const entryWhileParsing: Protocol = {
  name: "entry-while-parsing",
  title: "A vCPU is loaded and enters its guest while the redistributor still reads its pending table: the guest finds what is pending.",
  source: "gic-v4.md C1.2, C5.1; gic.md R12",
  about: ["vpe_resident", "writes Ichv3.IRQ"],
  program(hazards) {
    const m = machineOf(hazards, { parsesLate: true });
    m.direct(EVENT);
    m.send();
    const vif = m.itsHost.gic.ich(2);
    let taken = 0;
    function* enter(): Step<void> {
      yield* m.vgic.load(TARGET, 2);
      vif.vmcr = 0xf0000002 | 0;
      yield* m.vgic.flush(TARGET);
      taken = yield* vif.acknowledge(1);
    }
    return { sim: m.sim, contexts: [new Thread("vcpu1", "vcpu", enter, 2)], check: nothing, end: () => (taken === LPI ? null : `R12: the guest acknowledges ${taken} although VLPI ${LPI} is pending`) };
  },
};

export const preemptedWhileParsing: Protocol = {
  name: "vpe-leaves-while-parsing",
  title: "A vCPU is loaded and preempted at once, before it enters its guest: the redistributor is done with its pending table before the vPE leaves.",
  source: "gic-v4.md C1.2, C5.1",
  about: ["vpe_resident", "vpe_away"],
  program(hazards) {
    const m = machineOf(hazards, { hw: "v4.1", parsesLate: true });
    m.direct(EVENT);
    function* pass(): Step<void> {
      yield* m.vgic.load(TARGET, 2);
      yield* m.vgic.put(TARGET);
    }
    const frame = m.itsHost.gic.vlpis(2);
    const contexts = [new Thread("vcpu1", "vcpu", pass, 2), device(m)];
    return { sim: m.sim, contexts, check: nothing, end: () => (frame.misuses === 0 ? null : "GICR_VPENDBASER is written while it is Dirty") };
  },
};

/** A vCPU that waits is woken by one VLPI, and another comes while it takes that and waits again. */
function waiting(hazards: Partial<Hazards> | undefined, options: DirectOptions): Program {
  const m = machineOf(hazards, { guest: { idle: "wfi" }, ...options });
  m.config(LPI + 1, 0xa1);
  m.mapti(8, LPI + 1, TARGET);
  for (const event of [EVENT, 8]) m.direct(event);
  for (const cpu of m.host.cpus) cpu.isShared = true;
  m.boot();
  run(m.sendStep(0)); // its doorbell is on its way
  const [, vcpu] = m.vcpus;
  return {
    sim: m.sim,
    contexts: [m.threads[TARGET], device(m, 1)],
    check: nothing,
    end() {
      const left = [LPI, LPI + 1].filter((intid) => m.vpeBit(TARGET, intid) === 1);
      if (left.length === 0) return null;
      return `VLPI ${left[0]} waits while its vCPU ${vcpu.sleep === Sleep.WAITING ? "sleeps" : "runs"}`;
    },
  };
}

/**
 * vCPU 0 and vCPU 1 have one CPU by turns and wait for interrupts: each is to take its VLPI, and no vPE to be scheduled where
 * another one still is.
 */
export const messagesIntoVcpusOfOneCpu: Protocol = {
  name: "messages-into-vcpus-of-one-cpu",
  title: "VLPIs come for two vCPUs that wait and have one CPU by turns, one of which ends early: whether resident, runnable or blocked, each takes its own.",
  source: "gic-v4.md C5.1, C5.3; gic.md R16, I8, I9",
  about: ["vpe_doorbell", "vpe_away", "guest_ack", "sched_switch"],
  program(hazards) {
    const m = machineOf(hazards, { guest: { idle: "wfi" } });
    m.config(LPI + 1, 0xa1);
    m.mapti(8, LPI + 1, 0);
    for (const event of [EVENT, 8]) m.direct(event);
    const group = m.shareCpu(2);
    m.boot();
    group.endsLeft = 1;
    const frame = m.itsHost.gic.vlpis(2);
    const before = frame.misuses;
    return {
      sim: m.sim,
      contexts: [device(m, 0), device(m, 1)],
      check: () => (frame.misuses === before ? null : "I8: a vPE is made resident where another one is"),
      end() {
        const left = [0, 1].find((vcpu) => m.vpeBit(vcpu, vcpu === 0 ? LPI + 1 : LPI) === 1);
        return left === undefined ? null : `the VLPI of vCPU ${left} waits while everything is quiet`;
      },
    };
  },
};

export const messagesIntoWaitingVcpu: Protocol = {
  name: "messages-into-waiting-vcpu",
  title: "VLPIs come for a vCPU that is woken by its doorbell and waits again (GICv4.0): it takes each.",
  source: "gic-v4.md C5; gic.md R8, R9, R13, I9",
  about: ["vpe_doorbell", "vpe_away", "guest_ack"],
  program: (hazards) => waiting(hazards, { hw: "v4.0" }),
};

export const messagesIntoWaitingVcpu41: Protocol = {
  name: "messages-into-waiting-vcpu-v4-1",
  title: "VLPIs come for a vCPU that is woken by its default doorbell and waits again (GICv4.1): it takes each.",
  source: "gic-v4.md C5; gic.md R8, R9, I9",
  about: ["vpe_doorbell", "vpe_away", "guest_ack"],
  program: (hazards) => waiting(hazards, { hw: "v4.1" }),
};

/** The vPE of a vCPU that waits leaves: is there a reason not to sleep? Who sleeps gives its CPU away. */
function* blocks(m: DirectMachine, isPreempted: boolean): Step<boolean> {
  yield* m.vgic.beginWfi(TARGET);
  if (isPreempted) {
    yield* m.vgic.put(TARGET);
    yield* m.vgic.load(TARGET, 2);
  }
  const isPending = yield* m.vgic.isPendingFor(TARGET);
  if (!isPending) yield* m.vgic.put(TARGET);
  return isPending;
}

function blocking(hazards: Partial<Hazards> | undefined, hw: "v4.0" | "v4.1", isPreempted = false): Program {
  const m = machineOf(hazards, { hw, parsesLate: true });
  m.direct(EVENT);
  m.load(TARGET, 2);
  const [, vcpu] = m.vcpus;
  vcpu.requests = 0;
  let sleeps = false;
  function* wait(): Step<void> {
    sleeps = !(yield* blocks(m, isPreempted));
  }
  return {
    sim: m.sim,
    contexts: [new Thread("vcpu1", "vcpu", wait, 2), device(m)],
    check: nothing,
    end() {
      const isLeft = sleeps && m.vpeBit(TARGET, LPI) === 1 && vcpu.requests === 0;
      return isLeft ? "I9: a VLPI is pending, its vCPU sleeps, and no doorbell has rung" : null;
    },
  };
}

export const blockAgainstMessage: Protocol = {
  name: "vpe-leaves-against-message",
  title: "A VLPI comes while the vPE of a vCPU that waits leaves its CPU (GICv4.0): PendingLast says it, or the doorbell rings.",
  source: "gic-v4.md C5.1, C5.2, C5.4; gic.md R8, R9, I9, I10",
  about: ["vpe_away", "vpe_doorbell"],
  program: (hazards) => blocking(hazards, "v4.0"),
};

export const blockAgainstMessage41: Protocol = {
  name: "vpe-leaves-against-message-v4-1",
  title: "A VLPI comes while the vPE of a vCPU that waits leaves its CPU (GICv4.1): PendingLast says it, or the default doorbell rings.",
  source: "gic-v4.md C5.1, C5.2, C5.4; gic.md R8, R9, I9, I10",
  about: ["vpe_away", "vpe_doorbell"],
  program: (hazards) => blocking(hazards, "v4.1"),
};

export const preemptedWait: Protocol = {
  name: "vpe-leaves-twice-against-message",
  title: "A vCPU that waits is preempted before it sleeps, and a VLPI comes (GICv4.1): PendingLast says it, or the default doorbell rings.",
  source: "gic-v4.md C5.4; gic.md R10, I9",
  about: ["vpe_away", "vpe_doorbell"],
  program: (hazards) => blocking(hazards, "v4.1", true),
};

/** VMs with two vPEs each on a GICv4.0 host with an ITS list: two ITSs, none of which moves a vPE for the other. */
class ListHost {
  readonly sim: Sim;
  readonly its: ItsHost;
  readonly vms: readonly ItsVm[];

  constructor(hazards: Partial<Hazards> | undefined, vms: number) {
    this.sim = new Sim({ cpus: 5, hazards });
    this.its = ItsHost.create(this.sim, 4, { hw: "v4.0", itses: [0x08080000, 0x08280000], its: { typerHigh: NO_VMOVP } });
    this.vms = Array.from({ length: vms }, () => this.vm());
  }

  private vm(): ItsVm {
    const { driver } = this.its;
    const vm = new ItsVm(this.sim, driver.nodes.length);
    vm.vpes = [new ItsVpe(this.sim), new ItsVpe(this.sim)];
    const error = run(allocateVcpuIrqs(driver, vm));
    if (error !== 0) throw new Error(`no vPEs: ${error}`);
    for (const node of driver.nodes) run(mapVmOn(driver, node, vm));
    return vm;
  }

  /** The first vPE of a VM goes to another CPU. */
  move(vm: number, cpu: number): Thread {
    const [vpe] = this.vms[vm].vpes;
    return new Thread(`move ${vm}`, "user", () => moveIrq(this.its.host.irqs, vpe.irq, cpu), cpu);
  }
}

/** GITS_TYPER[63:32] of QEMU's, without VMOVP. */
const NO_VMOVP = 0x1f;

export const twoMoves: Protocol = {
  name: "two-vpe-moves",
  title: "The vPEs of two VMs are moved at once where each ITS is told by itself: all ITSs see the moves in one order.",
  source: "gic-v4.md C1.7; gic.md R17",
  about: ["vpe_move", "its_hw_command"],
  program(hazards) {
    const host = new ListHost(hazards, 2);
    const orders = host.its.driver.nodes.map((): number[] => []);
    for (const { its } of host.its.driver.nodes) {
      const { listener } = its;
      its.listener = {
        command(which, words, outcome) {
          if (opcodeOf(words) === ItsVOp.VMOVP) orders[which.number].push(sequenceOf(words));
          listener?.command(which, words, outcome);
        },
      };
    }
    const [first, second] = orders;
    return { sim: host.sim, contexts: [host.move(0, 1), host.move(1, 2)], check: nothing, end: () => (first.join() === second.join() ? null : `R17: one ITS moves vPEs in the order ${first.join(", ")}, the other in the order ${second.join(", ")}: each waits for the other`) };
  },
};

export const moveAgainstLastUnmap: Protocol = {
  name: "vpe-move-against-last-unmap",
  title: "A vPE is moved while the last VLPI of its VM on an ITS goes, and the vPE with it: no ITS is told of a vPE that it does not have.",
  source: "gic-v4.md C1.5, C1.7; gic.md R18",
  about: ["vpe_move", "writes GicV3.GIC"],
  program(hazards) {
    const host = new ListHost(hazards, 1);
    const { driver } = host.its;
    let fault: string | null = null;
    for (const { its } of driver.nodes)
      its.listener = {
        command(which, words, outcome) {
          if (outcome === Outcome.DONE || opcodeOf(words) !== ItsVOp.VMOVP) return;
          fault = `R18: ITS ${which.number} is told to move vPE ${vpeidOf(words)}, which is not mapped there`;
        },
      };
    const [vm] = host.vms;
    const unmap = new Thread("unmap", "user", () => unmapVmOn(driver, driver.nodes[1], vm), 3);
    return { sim: host.sim, contexts: [host.move(0, 1), unmap], check: () => fault, end: nothing };
  },
};

export const saveAgainstDoorbell: Protocol = {
  name: "save-against-doorbell",
  title: "The pending tables of a GICv4.1 guest are saved while a doorbell that rang before is still handled: it can ring again.",
  source: "gic-v4.md C6; gic.md R46",
  about: ["vpe_doorbell", "its_hw_command"],
  program(hazards) {
    const m = machineOf(hazards, { hw: "v4.1" });
    m.direct(EVENT);
    m.load(TARGET, 2);
    m.wait(TARGET, 2);
    run(m.sendStep(0)); // its doorbell is pending at CPU 2
    const { irq } = m.vpe(TARGET);
    const save = new Thread("save", "user", () => m.vgic.setAttr(m.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0));
    return {
      sim: m.sim,
      contexts: [save],
      check: nothing,
      end: () => (m.host.desc(irq)?.inProgress === true ? "the doorbell counts as being handled, and nobody handles it: it never rings again" : null),
    };
  },
};
