import { clearRegister, MbigenEdgePin } from "../../host/mbigen.js";
import { Ipi } from "../../host/cpu.js";
import { type IrqAction, IrqReturn, IrqType } from "../../host/irq/types.js";
import { noteInterrupt } from "../../host/spurious.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import * as uapi from "../../uapi/vfio.js";
import { Handler, HostStage } from "../stages/host-stage.js";
import { LpiStage } from "../stages/lpi-stage.js";
import { VfioStage } from "../stages/vfio-stage.js";
import { shown } from "./cases.js";

// Vectors of host-irq.md 8.1 to 8.3 that fail without a rule, and two of vfio.md: each runs one to its end.

type Off = Partial<Hazards>;

const MS = 1e6;
const STORM = 3;

function* nothing(): Step<void> {}

const idle = (): Handler => new Handler(nothing);

class Disabling implements IrqAction {
  constructor(private readonly stage: HostStage) {}
  *handler(irq: number): Step<number> {
    yield* this.stage.host.disableIrqNosync(irq);
    return IrqReturn.HANDLED;
  }
}

/** Vector 2: a lazy disable in the handler is masked by the second shot. */
export function vector2(hazards: Off): string | null {
  return shown(() => {
    const stage = new HostStage(3, 1, hazards);
    stage.request(stage.level, new Disabling(stage));
    stage.line(40, 1);
    return stage.counts(stage.level);
  }, "t2 k1 m1 u0");
}

/** Vector 3: enabling after the line fell unmasks, and resends nothing. */
export function vector3(hazards: Off): string | null {
  return shown(() => {
    const stage = new HostStage(3, 1, hazards);
    stage.request(stage.level, new Disabling(stage));
    stage.line(40, 1);
    stage.zero();
    stage.line(40, 0);
    run(stage.host.enableIrq(stage.level));
    stage.settle();
    return [stage.counts(stage.level), stage.trace.lines("irq_resend")];
  }, ["t0 k0 m0 u1", []]);
}

/** Vector 24: handled interrupts do not fill the window while none is unhandled. */
export function vector24(hazards: Off): string | null {
  return shown(() => {
    const stage = new HostStage(3, 1, hazards).untraced();
    stage.request(stage.level, idle());
    const desc = stage.desc(stage.level);
    for (let i = 0; i < 1_000_050; i++) run(noteInterrupt(desc, IrqReturn.HANDLED));
    run(noteInterrupt(desc, IrqReturn.NONE));
    return desc.irqCount;
  }, 1);
}

/** Vector 23: unhandled interrupts 200 ms apart never add up. */
export function vector23(hazards: Off): string | null {
  return shown(() => {
    const stage = new HostStage(3, 1, hazards).untraced();
    stage.request(stage.level, idle());
    const desc = stage.desc(stage.level);
    let most = 0;
    for (let i = 0; i < 200_000; i++) {
      stage.sim.spend(200 * MS);
      run(noteInterrupt(desc, IrqReturn.NONE));
      most = Math.max(most, desc.irqsUnhandled);
    }
    return [most, desc.isDisabled];
  }, [1, false]);
}

/** Vector 27: a mask without an online CPU is overwritten; nothing returns by itself. */
export function vector27(hazards: Off): string | null {
  return shown(() => {
    const stage = new HostStage(3, 1, hazards);
    stage.request(stage.edge, idle());
    run(stage.host.setAffinity(stage.edge, [2, 3]));
    const desc = stage.desc(stage.edge);
    for (const cpu of [2, 3]) run(stage.host.cpuDown(cpu));
    const moved = [desc.affinity, desc.effectiveCpu];
    for (const cpu of [2, 3]) run(stage.host.cpuUp(cpu));
    return [moved, [desc.affinity, desc.effectiveCpu]];
  }, [[[0, 1], 0], [[0, 1], 0]]);
}

/** Lowers the line when it has come often enough: a storm ends. */
class Enduring implements IrqAction {
  private runs = 0;
  constructor(private readonly stage: HostStage) {}
  *handler(): Step<number> {
    if (++this.runs === STORM) yield* this.stage.gic.setSpi(40, false);
    return IrqReturn.HANDLED;
  }
}

/** A forwarded level interrupt whose line is high. */
function forwarded(hazards: Off): HostStage {
  const stage = new HostStage(3, 1, hazards);
  stage.request(stage.level, new Enduring(stage));
  run(stage.host.setIrqVcpuAffinity(stage.level, stage));
  stage.zero();
  stage.line(40, 1);
  return stage;
}

/** Vector 31: a forwarded interrupt is acknowledged and dropped, not deactivated, and does not come again. */
export function vector31(hazards: Off): string | null {
  return shown(() => {
    const stage = forwarded(hazards);
    const lines = stage.trace.lines("host_ack", "host_eoi", "host_dir");
    return [lines, stage.gic.isActive(0, 40)];
  }, [["host_ack(0,40)", "host_eoi(0,40)"], true]);
}

/** Vector 32: masking it deactivates it. */
export function vector32(hazards: Off): string | null {
  return shown(() => {
    const stage = forwarded(hazards);
    stage.host.setUnlazy(stage.level, true);
    run(stage.host.disableIrqNosync(stage.level));
    return [stage.gic.isEnabled(0, 40), stage.gic.isActive(0, 40)];
  }, [false, false]);
}

/** Vector 49: two senders of one SGI on a GICv2 are two interrupts, each ended with its own source. */
export function vector49(hazards: Off): string | null {
  return shown(() => {
    const stage = new HostStage(2, 1, hazards);
    for (const from of [0, 2]) run(stage.host.cpus[from].sendIpi(1, Ipi.FUNCTION_CALL));
    stage.settle();
    return [stage.host.cpus[1].ipisTaken[Ipi.FUNCTION_CALL], stage.gic.isActive(1, Ipi.FUNCTION_CALL)];
  }, [2, false]);
}

/** Vectors 43 and 60: the clear bit of pin 70 is bit 6 of 0xa008, so that the pin can send again. */
export function vector60(hazards: Off): string | null {
  return shown(() => {
    const stage = new LpiStage(hazards);
    const irq = run(stage.domain.map([70, IrqType.EDGE_RISING]));
    const action = idle();
    run(stage.host.requestIrq(irq, action, 0, "sas", stage));
    const pin = new MbigenEdgePin(stage.mbigen, 70);
    for (let i = 0; i < 3; i++) {
      run(pin.pulse());
      run(stage.sim.settle());
    }
    return [clearRegister(70), action.runs, stage.mbigen.pin(70).isSent];
  }, [{ offset: 0xa008, bit: 6 }, 3, false]);
}

const { VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;

/** vfio.md vector 94: a level interrupt is masked by its handler, and signalled once. */
export function vfioVector94(hazards: Off): string | null {
  return shown(() => {
    const stage = new VfioStage({ hazards });
    const { d } = stage.ready();
    const E = stage.eventfd();
    stage.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, E);
    stage.machine.zero();
    stage.line(true);
    return [stage.take(E), stage.machine.counts(stage.machine.level)];
  }, [1, "t2 k1 m1 u0"]);
}
