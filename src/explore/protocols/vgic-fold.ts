import { beginActiveAccess, clearActive, clearEnabled, endActiveAccess, setEnabled, writePriority } from "../../irqchip/gic/vgic-state.js";
import { VgicConfig } from "../../irqchip/gic/vgic-irq.js";
import type { MappedIrqOps } from "../../irqchip/contract.js";
import { reads, shared, writes } from "../../sim/access.js";
import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { Thread } from "../stages/threads.js";
import { VgicStage } from "../stages/vgic-stage.js";

// What the list registers of a vCPU in its guest know, and the interrupt does not (gic-v3.md A7.3, A9.4).

const SPI = 40;
const NOTHING = 1023;

const nothing = (): null => null;

/** A guest's write of ICACTIVER on vCPU 1. */
function* clearByGuest(stage: VgicStage): Step<void> {
  yield* beginActiveAccess(stage.dist, SPI);
  yield* clearActive(stage.dist, stage.irq(SPI), stage.cpu(1));
  yield* endActiveAccess(stage.dist, SPI);
}

export const clearActiveOfRunningVcpu: Protocol = {
  name: "clear-active-of-running-vcpu",
  title: "A vCPU clears the active state of an interrupt that another has in a list register, while its device sends again: it stays cleared.",
  source: "gic-v3.md A7.3; gic.md R33",
  about: ["vgic_update_irq_pending", "writes Ichv3.LR"],
  program(hazards = {}) {
    const stage = new VgicStage({ ids: [0, 1], nrIrqs: 64, hazards });
    stage.sim.traceTo(null);
    stage.enable(SPI);
    stage.inject(SPI);
    if (stage.iar(0) !== SPI) throw new Error("the guest does not take its interrupt");
    const clear = new Thread("vcpu1", "vcpu", () => clearByGuest(stage), 1);
    const send = new Thread("device", "hardware", () => stage.vgic.inject(-1, SPI, true, null));
    return {
      sim: stage.sim,
      contexts: [clear, send],
      check: nothing,
      end() {
        stage.exit(0);
        return stage.isActive(SPI) ? "the interrupt is active again after it was cleared, and nobody will end it" : null;
      },
    };
  },
};

export const lineFallsBeforeFold: Protocol = {
  name: "line-falls-before-fold",
  title: "The line of a level interrupt falls while it is pending in a list register, and the vCPU leaves its guest without having taken it: it is not pending any more.",
  source: "gic-v3.md A9.4; gic.md R34",
  about: ["vgic_update_irq_pending", "writes Ichv3.LR"],
  program(hazards = {}) {
    const stage = new VgicStage({ ids: [0, 1], nrIrqs: 64, hazards });
    stage.sim.traceTo(null);
    stage.enable(SPI, 0x80, VgicConfig.LEVEL);
    stage.inject(SPI);
    stage.enter(0);
    const { vm, vgic } = stage;
    const [vcpu] = vm.vcpus;
    const leave = new Thread("vcpu0", "vcpu", () => vm.exit(vcpu));
    const lower = new Thread("device", "hardware", () => vgic.inject(-1, SPI, false, null));
    return {
      sim: stage.sim,
      contexts: [leave, lower],
      check: nothing,
      end() {
        const taken = stage.iar(0);
        return taken === NOTHING ? null : `the guest takes interrupt ${taken}, whose line fell before it could`;
      },
    };
  },
};

const TIMER = 27;

/** A timer that raises a level interrupt mapped to a physical one: its line is what KVM samples. */
class Timer implements MappedIrqOps {
  readonly swResample = false;
  line = true;

  *getInputLevel(): Step<boolean> {
    yield reads(this, "line");
    return this.line;
  }

  *silence(): Step<void> {
    yield writes(this, "line");
    this.line = false;
  }
}
shared(Timer, "line");

export const timerSilencedInHandler: Protocol = {
  name: "timer-silenced-in-handler",
  title: "A vCPU is preempted in the handler of its timer, which KVM looks at when the vCPU is loaded again; the handler silences the timer and ends the interrupt: it is not taken again.",
  source: "gic-v3.md A9.4; gic.md R34",
  about: ["vgic_update_irq_pending", "writes Timer.line", "writes Ichv3.LR"],
  program(hazards = {}) {
    const stage = new VgicStage({ ids: [0, 1], nrIrqs: 64, hazards });
    stage.sim.traceTo(null);
    const timer = new Timer();
    const { vm, vgic } = stage;
    const [vcpu] = vm.vcpus;
    run(vgic.mapPhysicalIrq(0, TIMER, TIMER, timer));
    stage.enable(TIMER);
    run(stage.gic.setActive(0, TIMER, true));
    stage.inject(TIMER, true, 0);
    if (stage.iar(0) !== TIMER) throw new Error("the guest does not take its timer's interrupt");
    // A preempted vCPU executes nothing: who has the mutex has the CPU.
    function* handle(): Step<void> {
      yield* vcpu.mutex.lock();
      yield* timer.silence();
      yield* vcpu.mutex.unlock();
      yield* vcpu.mutex.lock();
      yield* stage.vif(0).endOfInterrupt(1, TIMER);
      yield* vcpu.mutex.unlock();
    }
    function* preempt(): Step<void> {
      yield* vcpu.mutex.lock();
      yield* vm.exit(vcpu);
      if (yield* timer.getInputLevel()) yield* vgic.inject(0, TIMER, true, null);
      yield* vm.enter(vcpu);
      yield* vcpu.mutex.unlock();
    }
    return {
      sim: stage.sim,
      contexts: [new Thread("vcpu0's guest", "vcpu", handle), new Thread("vcpu0's thread, preempted", "vcpu", preempt)],
      check: nothing,
      end() {
        stage.exit(0);
        const taken = stage.iar(0);
        return taken === NOTHING ? null : `the guest takes interrupt ${taken} once more, although its timer is silent`;
      },
    };
  },
};

const LOW = 0xa0;
const HIGH = 0x40;

/** A guest's writes of ICENABLER, IPRIORITYR and ISENABLER on vCPU 1. */
function* changeByGuest(stage: VgicStage): Step<void> {
  const irq = stage.irq(SPI);
  yield* clearEnabled(stage.dist, irq);
  yield* writePriority(stage.dist, irq, HIGH);
  yield* setEnabled(stage.dist, irq, false);
}

export const changeOfListedInterrupt: Protocol = {
  name: "change-of-listed-interrupt",
  title: "A vCPU disables an interrupt that another has in a list register, gives it another priority and enables it, while the other leaves its guest: the change stays, and the interrupt is taken once.",
  source: "gic-v3.md A7.3, A9.4",
  about: ["writes Ichv3.LR"],
  program(hazards = {}) {
    const stage = new VgicStage({ ids: [0, 1], nrIrqs: 64, hazards });
    stage.sim.traceTo(null);
    stage.enable(SPI, LOW);
    stage.inject(SPI);
    stage.enter(0);
    const { vm } = stage;
    const change = new Thread("vcpu1", "vcpu", () => changeByGuest(stage), 1);
    const leave = new Thread("vcpu0", "vcpu", () => vm.exit(vm.vcpus[0]));
    return {
      sim: stage.sim,
      contexts: [change, leave],
      check: nothing,
      end() {
        const taken = stage.iar(0);
        if (taken !== SPI) return `the guest takes ${taken}: the interrupt is lost`;
        if (stage.rpr(0) !== HIGH) return `it is taken with priority ${stage.rpr(0)}: the change is undone`;
        stage.eoi(SPI);
        return stage.iar(0) === NOTHING ? null : "the interrupt is taken twice";
      },
    };
  },
};
