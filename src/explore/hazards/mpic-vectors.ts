import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import { MpicStage, SPURIOUS } from "../stages/mpic-stage.js";
import { shown } from "./cases.js";

// Vectors of mpic.md 11 that fail without a rule: each runs one to its end.

type Off = Partial<Hazards>;

const [IPI_1_IVPR, IPI_1] = [0x10b0, 0x2_0050];

/** 9: a level that falls before it is acknowledged is gone. */
export function vector9(hazards: Off): string | null {
  return shown(() => {
    const stage = new MpicStage({ hazards });
    run(stage.set(20, 8, 0x50, 1));
    run(stage.drive(20));
    run(stage.drive(20, false));
    return [stage.line(), run(stage.take())];
  }, [0, SPURIOUS]);
}

/** 20: an IPI to two CPUs is delivered to both. */
export function vector20(hazards: Off): string | null {
  return shown(() => {
    const stage = new MpicStage({ hazards });
    run(stage.write(IPI_1_IVPR, 0x000a_0061));
    run(stage.write(IPI_1, 3));
    return [stage.line(0), stage.line(1), run(stage.take(0)), run(stage.take(1))];
  }, [1, 1, 0x61, 0x61]);
}

/** 18: an edge to two CPUs is for the first that acknowledges it. */
export function vector18(hazards: Off): string | null {
  return shown(() => {
    const stage = new MpicStage({ hazards });
    run(stage.set(3, 8, 0x43, 3));
    run(stage.drive(3));
    return [stage.line(0), stage.line(1), run(stage.take(0)), run(stage.take(1))];
  }, [1, 1, 0x43, SPURIOUS]);
}

/** 8: a level that is still high at its EOI is delivered again. */
export function vector8(hazards: Off): string | null {
  return shown(() => {
    const stage = new MpicStage({ hazards });
    run(stage.set(20, 8, 0x50, 1));
    run(stage.drive(20));
    const taken = run(stage.take());
    run(stage.eoi());
    return [taken, stage.acked, stage.line(), run(stage.take())];
  }, [0x50, [20], 1, 0x50]);
}

/** 5.1: a priority that is written above CTPR delivers what waits. */
export function priorityWhileRaised(hazards: Off): string | null {
  return shown(() => {
    const stage = new MpicStage({ hazards });
    run(stage.setIdr(3, 1));
    run(stage.write(0x1_0060, 0x0005_0043));
    run(stage.setCtpr(8));
    run(stage.drive(3));
    const before = stage.line();
    run(stage.setIvpr(3, 0x000a_0043));
    return [before, stage.line(), run(stage.take())];
  }, [0, 1, 0x43]);
}
