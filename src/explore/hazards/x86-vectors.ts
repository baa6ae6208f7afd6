import { Pic } from "../../irqchip/x86/pic-chip.js";
import { PostedHost, PostedInterrupts } from "../../irqchip/x86/posted-interrupts.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { EEXIST } from "../../uapi/errno.js";
import { LAPIC, PcStage } from "../stages/pc-stage.js";
import { PostedStage, Sleeper } from "../stages/posted-stage.js";
import { shown } from "./cases.js";

// Vectors of x86-irqchip.md 19 that fail without a rule: each runs one to its end.

type Off = Partial<Hazards>;

const PIN = 20;
const VECTOR = 0x77;
const [LEVEL, MASKED, REMOTE_IRR] = [0x8000, 0x1_0000, 0x4000];
const STORM = 10_000;

function levelPin(hazards: Off, mask = 0): PcStage {
  const stage = new PcStage({ hazards });
  stage.setEntry(PIN, mask | LEVEL | VECTOR);
  return stage;
}

function* lowerAndRaise(stage: PcStage, sent: number[]): Step<void> {
  yield* stage.drive(PIN, 0);
  sent.push(yield* stage.drive(PIN, 1));
}

/** 5.6: a line that is raised again inside the acknowledge lands in irr, and is sent once, behind it. */
export function raisedInAcknowledge(hazards: Off): string | null {
  return shown(() => {
    const stage = levelPin(hazards);
    const sent: number[] = [];
    stage.onEnd(PIN, () => lowerAndRaise(stage, sent));
    stage.line(PIN, 1);
    return [stage.serve(), sent];
  }, [VECTOR, [-1]]);
}

/** 8.3: a vector that is only posted is among those whose end is the IOAPIC's. */
export function postedIsHandled(hazards: Off): string | null {
  return shown(() => {
    const stage = new PostedStage(hazards);
    const { pc, lapic } = stage;
    pc.setEntry(PIN, LEVEL | VECTOR);
    pc.line(PIN, 1);
    // Given to a CPU that is not there: from now on only what pends keeps the vector handled.
    pc.setEntry(PIN, LEVEL | VECTOR, 5);
    run(lapic.handled.rescan());
    pc.line(PIN, 0);
    return [pc.serve(), pc.entry(PIN) & REMOTE_IRR];
  }, [VECTOR, 0]);
}

/** Vector 40 and 5.3, 5: an unmask behind a resampler tells the owner, and delivers nothing. */
export function unmaskTellsResampler(hazards: Off): string | null {
  return shown(() => {
    const stage = levelPin(hazards, MASKED);
    const { trigger, told } = stage.resampling(PIN);
    stage.signal(trigger);
    stage.setEntry(PIN, LEVEL | VECTOR);
    return [stage.serve(), told.signals];
  }, [-1, 1]);
}

/** Vector 33: the 10,000th end in a row that finds the line high delivers nothing. */
export function vector33(hazards: Off): string | null {
  return shown(() => {
    const stage = levelPin(hazards);
    stage.line(PIN, 1);
    let served = 0;
    while (served <= STORM && stage.serve() === VECTOR) served++;
    return served;
  }, STORM);
}

/** 10.4: a load takes the vCPU off the list of the CPU that it blocked on. */
export function unlistedWhereItBlocked(hazards: Off): string | null {
  return shown(() => {
    const stage = new PostedStage(hazards);
    const host = new PostedHost(stage.pc.sim, 3, stage);
    const [one, two] = [1, 2].map((cpu) => {
      const posted = new PostedInterrupts(host, new Sleeper(cpu));
      run(posted.load(cpu));
      run(posted.put("blocking"));
      return posted;
    });
    run(one.load(2));
    const lists = [host.listed(1), host.listed(2)];
    run(two.load(2));
    return lists;
  }, [[], [2]]);
}

const initialised = (hazards: Off): PcStage => {
  const stage = new PcStage({ hazards, cpus: 1 });
  stage.out(0x20, 0x11);
  stage.out(0x21, 0x08, 0x04, 0x01, 0x00);
  stage.out(0xa0, 0x11);
  stage.out(0xa1, 0x70, 0x02, 0x01, 0x00);
  return stage;
};

/** Vectors 6 and 7: a level line that drops before its acknowledge. */
function spurious(hazards: Off, port: number, lines: number, line: number): unknown[] {
  const stage = initialised(hazards);
  stage.out(port, lines);
  const { pic } = stage;
  run(pic.setIrq(line, 0, 1));
  run(pic.setIrq(line, 0, 0));
  return [run(pic.ack()), pic.master.regs[Pic.ISR], pic.slave.regs[Pic.ISR]];
}

export const vector6 = (hazards: Off): string | null => shown(() => spurious(hazards, 0x4d1, 0x10, 12), [0x77, 4, 0]);
export const vector7 = (hazards: Off): string | null => shown(() => spurious(hazards, 0x4d0, 0x20, 5), [0x0f, 0, 0]);

/** 4.6: a line that the acknowledge listener raises again is asked for. */
export function raisedByListener(hazards: Off): string | null {
  return shown(() => {
    const stage = initialised(hazards);
    const { pic } = stage;
    stage.out(0x4d0, 0x20);
    run(pic.setIrq(5, 0, 1));
    const vector = run(pic.ack());
    run(pic.setIrq(5, 0, 0));
    stage.onEnd(5, () => pic.setIrq(5, 0, 1));
    stage.out(0x20, 0x20);
    return [vector, run(pic.hasOutput())];
  }, [0x0d, true]);
}

/** Vector 46: an edge that was delivered is no request in the record. */
export function vector46(hazards: Off): string | null {
  return shown(() => {
    const stage = new PcStage({ hazards });
    stage.setEntry(PIN, VECTOR);
    stage.line(PIN, 1);
    const other = new PcStage();
    run(other.restoreIoapic(stage.savedIoapic()));
    return [stage.serve(), other.serve()];
  }, [VECTOR, -1]);
}

/** 8.2: what was remembered is looked up again when the exit is made. */
export function exitIsTestedAgain(hazards: Off): string | null {
  return shown(() => {
    const ended: number[] = [];
    const stage = new PcStage({ hazards, mode: "split", cpus: 1, ended: (vector) => ended.push(vector) });
    run(stage.route([{ gsi: PIN, addressLo: LAPIC, data: 0xc000 | VECTOR }]));
    stage.line(PIN, 1);
    const served = stage.serve();
    run(stage.route([]));
    run(stage.cpus[0].lapic.handled.rescan());
    run(stage.cpus[0].isPending());
    return [served, ended];
  }, [VECTOR, []]);
}

/** 2: a second KVM_INTERRUPT before the first is taken is refused. */
export function interruptTwice(hazards: Off): string | null {
  return shown(() => {
    const stage = new PcStage({ hazards, mode: "split", cpus: 1 });
    return [stage.interrupt(0x41), stage.interrupt(0x42), stage.take()];
  }, [0, -EEXIST, 0x41]);
}

/** Vector 35: one end acknowledges every pin with its vector. */
export function vector35(hazards: Off): string | null {
  return shown(() => {
    const stage = new PcStage({ hazards });
    const pins = [PIN, PIN + 1];
    for (const pin of pins) {
      stage.setEntry(pin, LEVEL | VECTOR);
      stage.line(pin, 1);
    }
    stage.take();
    for (const pin of pins) stage.line(pin, 0);
    run(stage.end());
    return pins.map((pin) => stage.entry(pin) & REMOTE_IRR);
  }, [0, 0]);
}
