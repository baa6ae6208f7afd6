import { SourceWord } from "../../irqchip/sources.js";
import { H_CPPR, H_EOI, H_XIRR } from "../../irqchip/xics/constants.js";
import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import { KVM_IRQFD_FLAG_RESAMPLE } from "../../uapi/kvm.js";
import { PaprStage } from "../stages/papr-stage.js";
import { XicsStage } from "../stages/xics-stage.js";
import { shown } from "./cases.js";

// Vectors of xics.md 23 that fail without a rule: each runs one to its end.

type Off = Partial<Hazards>;

const MESSAGE = 0x1001;
const LSI = 0x1010;
const ALL = 0xff;

/** Vector 3: a message of priority 5 is presented. */
function presented(hazards: Off): XicsStage {
  const stage = new XicsStage(hazards);
  run(stage.guests[0].cppr(ALL));
  run(stage.source(MESSAGE, 5, 0));
  run(stage.line(MESSAGE));
  return stage;
}

/** 26: a presentation that is rejected after its source was masked waits for int-on. */
export function vector26(hazards: Off): string | null {
  return shown(() => {
    const stage = presented(hazards);
    run(stage.intOff(MESSAGE));
    run(stage.guests[0].cppr(4));
    const word = new SourceWord();
    run(stage.device.getSource(MESSAGE, word));
    run(stage.guests[0].cppr(ALL));
    const before = stage.icp(0).xisr;
    run(stage.intOn(MESSAGE));
    return [word.hi, before, stage.icp(0).xisr];
  }, [0xe05, 0, MESSAGE]);
}

/** 31: a level that falls before it is taken stays presented. */
export function vector31(hazards: Off): string | null {
  return shown(() => {
    const stage = new XicsStage(hazards);
    run(stage.guests[1].cppr(ALL));
    run(stage.source(LSI, 0x105, 1));
    run(stage.line(LSI));
    run(stage.line(LSI, false));
    const xirr = run(stage.guests[1].accept()) >>> 0;
    run(stage.guests[1].eoi(xirr));
    return [xirr, stage.icp(1).xisr];
  }, [0xff001010, 0]);
}

/** 51: a resampling irqfd costs one more presentation and one more resample signal. */
export function vector51(hazards: Off): string | null {
  return shown(() => {
    const { m } = new PaprStage(hazards);
    run(m.hypercall(0, H_CPPR, [ALL]));
    run(m.setSource(LSI, 0x105, 0));
    const [trigger, resample] = [m.eventfd(), m.eventfd()];
    run(m.irqfd(trigger, LSI, KVM_IRQFD_FLAG_RESAMPLE, resample));
    run(m.signal(trigger));
    const taken: number[] = [];
    const signals: number[] = [];
    for (let i = 0; i < 3; i++) {
      taken.push(run(m.hypercall(0, H_XIRR, [])).r4);
      run(m.hypercall(0, H_EOI, [taken[i]]));
      signals.push(run(m.count(resample)));
    }
    return [taken, signals];
  }, [[0xff001010, 0xff001010, 0xff000000], [1, 1, 0]]);
}

/** 54: an EOI that raises the priority rejects nothing. */
export function vector54(hazards: Off): string | null {
  return shown(() => {
    const stage = presented(hazards);
    run(stage.guests[0].eoi(0x03000002));
    const { cppr, xisr, out } = stage.icp(0);
    run(stage.guests[0].cppr(ALL));
    return [cppr, xisr, out, stage.icp(0).out];
  }, [3, MESSAGE, false, true]);
}
