import { writeRouter } from "../../irqchip/gic/vgic-state.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { Thread } from "../stages/threads.js";
import { VgicStage } from "../stages/vgic-stage.js";
import type { Program } from "../trial.js";

// The virtual GIC's lists (gic-v3.md A9): vCPUs that are out of the guest, and what moves an SPI between them.

const SPI = 40;

const nothing = (): null => null;

/** Three vCPUs; the SPI is enabled and goes to the first. */
function stageWithSpi(hazards?: Partial<Hazards>): VgicStage {
  const stage = new VgicStage({ ids: [0, 1, 2], nrIrqs: 64, hazards });
  stage.sim.traceTo(null);
  stage.enable(SPI);
  return stage;
}

/** A vCPU's write of IROUTER, and whether the interrupt was where `was` says when it took effect. */
class Route extends Thread {
  constructor(
    private readonly stage: VgicStage,
    private readonly to: number,
    private readonly was: () => boolean,
  ) {
    super("IROUTER", "vcpu", () => this.write());
  }

  /** The write is made under the interrupt's lock, and what is asked here changes only under that lock. */
  private *write(): Step<number> {
    const irq = this.stage.irq(SPI);
    yield* writeRouter(this.stage.dist, irq, this.to);
    yield* irq.lock.lock();
    const result = this.was();
    yield* irq.lock.unlock();
    return result ? 1 : 0;
  }

  /** Of the moment at which the call had taken effect. */
  get wasThere(): boolean {
    return this.result === 1;
  }
}

export const queueAgainstRoute: Protocol = {
  name: "queue-against-route",
  title: "An SPI is injected while its guest routes it to another vCPU: once routed, it is put on no other list.",
  source: "gic-v3.md A9.2, gic.md R30",
  about: ["vgic_update_irq_pending", "writes ApList.occupied"],
  program(hazards): Program {
    const stage = stageWithSpi(hazards);
    const irq = stage.irq(SPI);
    const route = new Route(stage, 1, () => irq.vcpu !== null);
    const inject = new Thread("inject", "user", () => stage.vgic.inject(-1, SPI, true, null));
    const end = (): string | null => {
      const isRight = irq.vcpu === stage.cpu(route.wasThere ? 0 : 1);
      return isRight || irq.vcpu === stage.cpu(1) ? null : "R30: put on the list of a vCPU that was no longer its target";
    };
    return { sim: stage.sim, contexts: [inject, route], check: nothing, end };
  },
};

export const moveAgainstRoute: Protocol = {
  name: "move-against-route",
  title: "A vCPU hands an SPI on to its new target while the guest routes it to a third: it is moved to the third, or had been moved before.",
  source: "gic-v3.md A9.5, gic.md R31",
  about: ["writes ApList.occupied"],
  program(hazards): Program {
    const stage = stageWithSpi(hazards);
    stage.inject(SPI);
    const irq = stage.irq(SPI);
    run(writeRouter(stage.dist, irq, 1));
    const route = new Route(stage, 2, () => irq.vcpu === stage.cpu(1));
    const move = new Thread("vcpu0", "vcpu", () => stage.vgic.processUpdate(0));
    const end = (): string | null => {
      if (irq.vcpu === stage.cpu(2)) return null;
      if (irq.vcpu === stage.cpu(1) && route.wasThere) return null;
      return irq.vcpu === stage.cpu(0) ? "R31: left behind on the list of the first vCPU" : "R31: moved to a vCPU that was no longer its target";
    };
    return { sim: stage.sim, contexts: [move, route], check: nothing, end };
  },
};
