import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { IchVmcr } from "../../arch/gic/gich.js";
import { VgicConfig } from "../../irqchip/gic/vgic-irq.js";
import { writeRouter } from "../../irqchip/gic/vgic-state.js";
import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import { VgicStage } from "../stages/vgic-stage.js";
import { shown } from "./cases.js";

// Vectors of gic.md D3 that fail without a rule: each runs one to its end.

type Off = Partial<Hazards>;

const SPI = 40;
const TIMER = 27;

function stageWithSpi(hazards: Off, nrLr = 4): VgicStage {
  const stage = new VgicStage({ hazards, nrLr });
  stage.enable(SPI);
  return stage;
}

/** VA73: an active interrupt stays with the vCPU that has to end it. */
export function vectorVA73(hazards: Off): string | null {
  return shown(() => {
    const stage = stageWithSpi(hazards);
    stage.inject(SPI);
    const taken = stage.iar(0);
    run(writeRouter(stage.dist, stage.irq(SPI), 1));
    stage.cycle(0);
    stage.eoi(SPI, 0);
    stage.cycle(1);
    for (const vcpu of [0, 1]) stage.exit(vcpu);
    return [taken, stage.isActive(SPI)];
  }, [SPI, false]);
}

/** VA71: ICACTIVER from another vCPU reaches an interrupt that is active in a list register. */
export function vectorVA71(hazards: Off): string | null {
  return shown(() => {
    const stage = stageWithSpi(hazards);
    stage.inject(SPI);
    const taken = stage.iar(0);
    stage.changeActive(SPI, false, 1);
    stage.exit(0);
    return [taken, stage.isActive(SPI)];
  }, [SPI, false]);
}

/** A9.4: a line that drops while its interrupt is in a list register leaves nothing behind. */
export function lineThatFell(hazards: Off): string | null {
  return shown(() => {
    const stage = new VgicStage({ hazards });
    stage.enable(SPI, 0xa0, VgicConfig.LEVEL);
    stage.inject(SPI);
    stage.enter(0);
    stage.inject(SPI, false);
    stage.exit(0);
    return [stage.isPending(SPI), stage.iar()];
  }, [false, SPURIOUS_INTID]);
}

/** VA62: an edge that comes while the interrupt is active is one more after its end; two of them are one. */
export function vectorVA62(hazards: Off): string | null {
  return shown(() => {
    const stage = stageWithSpi(hazards);
    stage.inject(SPI);
    const taken = stage.iar();
    for (let i = 0; i < 2; i++) stage.inject(SPI);
    stage.cycle(0);
    const rest: number[] = [];
    for (let i = 0; i < 2; i++) {
      stage.eoi(SPI);
      rest.push(stage.iar());
    }
    return [taken, rest];
  }, [SPI, [SPI, SPURIOUS_INTID]]);
}

/** VA63: the physical interrupt behind a mapped one is released when its line is low at the end. */
export function vectorVA63(hazards: Off): string | null {
  return shown(() => {
    const stage = new VgicStage({ hazards });
    run(stage.vgic.mapPhysicalIrq(0, TIMER, TIMER));
    stage.enable(TIMER);
    run(stage.gic.setActive(0, TIMER, true));
    stage.inject(TIMER, true, 0);
    stage.cycle(0);
    stage.exit(0);
    return stage.gic.isActive(0, TIMER);
  }, false);
}

/** VA72: with EOImode 1, a DIR on another vCPU ends the interrupt. */
export function vectorVA72(hazards: Off): string | null {
  return shown(() => {
    const stage = stageWithSpi(hazards);
    for (const vcpu of [0, 1]) stage.vmcr(IchVmcr.EOIM, 0, vcpu);
    stage.inject(SPI);
    const taken = stage.iar(0);
    stage.eoi(SPI, 0);
    stage.exit(0);
    run(stage.vgic.guestDeactivate(1, SPI));
    return [taken, stage.isActive(SPI)];
  }, [SPI, false]);
}

/** VA61, in little: with one list register, the end of an interrupt outside of it is counted, and it can be taken again. */
export function vectorVA61(hazards: Off): string | null {
  return shown(() => {
    const stage = stageWithSpi(hazards, 1);
    stage.enable(41, 0x80);
    stage.inject(SPI);
    const taken = [stage.iar()];
    stage.inject(41);
    stage.cycle(0);
    taken.push(stage.iar());
    stage.eoi(41);
    stage.eoi(SPI);
    stage.exit(0);
    return [taken, stage.isActive(SPI), stage.listed(0)];
  }, [[SPI, 41], false, []]);
}

/** VA64: user space does not reach a line that the kernel owns. */
export function vectorVA64(hazards: Off): string | null {
  return shown(() => {
    const stage = new VgicStage({ hazards });
    run(stage.vgic.setOwner(0, TIMER, stage));
    stage.enable(TIMER);
    return [stage.inject(TIMER, true, 0), stage.isPending(TIMER), stage.listed(0)];
  }, [0, false, []]);
}
