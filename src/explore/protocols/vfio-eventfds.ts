import type { Registers } from "../stages/vfio-stage.js";
import { Command, Pci } from "../../arch/pci/config-registers.js";
import { reads } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Step } from "../../sim/step.js";
import * as uapi from "../../uapi/vfio.js";
import type { Protocol } from "../protocol.js";
import { CONFIG, EVENTFD, PciStage, REQ, TRIGGER } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import { contextOf, IrqCalls, QuietAfter, signalling } from "../stages/vfio-calls.js";
import type { Program } from "../trial.js";

// vfio.md 11, 12.6: eventfds of a function that are no interrupt of it: those that write its registers, and those that ask for it.

const VALUE = 0x3000;

const nothing = (): null => null;

/** A thread in a call after whose return nothing is written. */
class SilentAfter extends Thread {
  private atReturn = -1;

  constructor(
    name: string,
    private readonly registers: Registers,
    call: () => Step<number>,
  ) {
    super(name, "user", () => this.callAndLook(call), 2);
  }

  private *callAndLook(call: () => Step<number>): Step<number> {
    const result = yield* call();
    yield reads(this.registers, "registers");
    this.atReturn = this.registers.log.length;
    return result;
  }

  get isBroken(): boolean {
    return this.registers.log.length !== this.atReturn;
  }
}

/** A register of BAR 0 that an eventfd writes, its memory decoding; signalled against a call. */
function written(hazards: Partial<Hazards> | undefined, callOf: (stage: PciStage, d: number) => () => Step<number>, isAnswer: (result: number) => boolean): Program {
  const stage = new PciStage({ hazards });
  const { d } = stage.ready();
  const E = stage.eventfd();
  stage.configWrite(d, Pci.COMMAND, 2, Command.MEMORY);
  if (stage.call(d, uapi.VFIO_DEVICE_IOEVENTFD, 32, uapi.VFIO_DEVICE_IOEVENTFD_32, 0x10, 0, 1, 0, E, 0) !== 0) throw new Error("no ioeventfd");
  stage.machine.untraced();
  const call = new SilentAfter("user", stage.bar0, callOf(stage, d));
  return {
    sim: stage.sim,
    contexts: [signalling(stage, E), call],
    check: nothing,
    end() {
      if (!isAnswer(call.result)) return `12.6: the call answers ${call.result}`;
      return call.isBroken ? "12.6: an ioeventfd writes after the call has returned" : null;
    },
  };
}

export const ioeventfdAgainstMemoryOff: Protocol = {
  name: "ioeventfd-against-memory-off",
  title: "Memory decoding is switched off while an eventfd that writes a register is signalled: nothing is written afterwards.",
  source: "vfio.md 12.6, 23.21",
  about: ["writes Registers.registers", "eventfd_signal"],
  program(hazards): Program {
    const memoryOff = (stage: PciStage, d: number): (() => Step<number>) => {
      stage.process.memory.setU32(VALUE, 0);
      return () => stage.process.write(d, VALUE, 2, CONFIG + Pci.COMMAND);
    };
    return written(hazards, memoryOff, (result) => result === 2);
  },
};

export const ioeventfdAgainstClose: Protocol = {
  name: "ioeventfd-against-close",
  title: "A function is closed for good while an eventfd that writes a register of it is signalled: nothing is written afterwards.",
  source: "vfio.md 12.2, 12.6",
  about: ["writes Registers.registers", "eventfd_signal"],
  program(hazards): Program {
    return written(hazards, (stage, d) => () => stage.process.close(d), (result) => result === 0);
  },
};

export const requestAgainstReplace: Protocol = {
  name: "request-against-replace",
  title: "The host asks for a device back while its user replaces the eventfd that tells: one of the two is told, and the old one nothing after the call.",
  source: "vfio.md 5.5, 11",
  about: ["eventfd_signal"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const { d } = stage.ready();
    const [E, E2] = [stage.eventfd(), stage.eventfd()];
    stage.setIrqs(d, REQ, EVENTFD | TRIGGER, 0, 1, E);
    stage.machine.untraced();
    const replace = new QuietAfter("SET_IRQS", contextOf(stage, E), new IrqCalls(stage, d).prepare({ index: REQ, flags: EVENTFD | TRIGGER, fds: [E2] }));
    const request = new Thread("request", "user", () => stage.vfioA.askForRelease(0), 1);
    return {
      sim: stage.sim,
      contexts: [request, replace],
      check: nothing,
      end() {
        if (replace.isBroken) return "11: the old eventfd is signalled after the call has returned";
        const told = stage.count(E) + stage.count(E2);
        return replace.result === 0 && told === 1 ? null : `11: SET_IRQS ${replace.result}, told ${told} times`;
      },
    };
  },
};
