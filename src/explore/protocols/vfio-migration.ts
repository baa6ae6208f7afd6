import { reads } from "../../sim/access.js";
import { run, type Step } from "../../sim/step.js";
import { EIO } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import type { Protocol } from "../protocol.js";
import { COUNT, MigratingStage } from "../stages/migrating-device.js";
import { Thread } from "../stages/threads.js";
import { contextOf } from "../stages/vfio-calls.js";
import type { Program } from "../trial.js";

// vfio.md 15.3, 15.4 and 23.24: a device goes on by itself while whoever migrates its guest stops it, and asks what it has written.

const REGISTER = 0x3000;
const WRITTEN = 7;

const nothing = (): null => null;

/** The device has work, `times` in a row. */
function* work({ counting }: MigratingStage, times: number): Step<void> {
  for (let i = 0; i < times; i++) yield* counting.work();
}

/** What a migration takes with it, once the device is said to be stopped. */
class Taken {
  result = -1;
  state: readonly number[] = [];
  memory = -1;
  /** Messages that the device has sent, and of them those that have reached their eventfd. */
  messages = -1;
  signals = -1;

  constructor(private readonly stage: MigratingStage) {}

  *take(): Step<void> {
    const { stage } = this;
    this.result = yield* stage.goTo(uapi.VFIO_DEVICE_STATE_STOP_COPY);
    this.memory = yield* stage.memory.copy();
    const { fn } = stage.A;
    yield reads(fn, "PCI");
    this.messages = fn.messages.sent;
    const context = contextOf(stage, stage.E);
    yield reads(context, "count");
    this.signals = Number(context.count);
    this.state = yield* stage.saved();
  }
}

export const stopAgainstDma: Protocol = {
  name: "stop-copy-against-dma",
  title: "A device is stopped for its migration while it writes memory and interrupts: what is taken is all that it did, and it does no more.",
  source: "vfio.md 15.3, 23.24",
  about: ["writes GuestByte.value", "writes DeviceGate.inside", "vfio_trigger"],
  program(hazards): Program {
    const stage = new MigratingStage(hazards);
    const taken = new Taken(stage);
    const device = new Thread("device", "hardware", () => work(stage, 2), 1);
    return {
      sim: stage.sim,
      contexts: [device, new Thread("STOP_COPY", "user", () => taken.take())],
      check: nothing,
      end() {
        const [count] = taken.state;
        if (taken.result !== 0) return `STOP_COPY: ${taken.result}`;
        if (stage.A.fn.messages.sent !== taken.messages) return "23.24: a message after the device was stopped";
        if (run(stage.memory.copy()) !== taken.memory) return "23.24: memory is written after the device was stopped";
        return taken.memory === count && taken.messages === count ? null : `15.3: the state says ${count}, memory ${taken.memory}, and ${taken.messages} messages were sent`;
      },
    };
  },
};

export const stopAgainstHandler: Protocol = {
  name: "stop-copy-against-handler",
  title: "A device is stopped for its migration when it has sent a message: the host's handler may still signal it afterwards.",
  source: "vfio.md 15.3, 23.24",
  about: ["vfio_trigger"],
  program(hazards): Program {
    const stage = new MigratingStage(hazards);
    const taken = new Taken(stage);
    const device = new Thread("device", "hardware", () => work(stage, 1), 1);
    const end = (): string | null => (stage.count(stage.E) === taken.signals ? null : "23.24: the eventfd is signalled after the device was stopped");
    return { sim: stage.sim, contexts: [new Thread("STOP_COPY", "user", () => taken.take()), device], check: nothing, end };
  },
};

export const stopAgainstWrite: Protocol = {
  name: "stop-copy-against-write",
  title: "A register is written while its device is stopped for its migration: the write is in the state, or refused.",
  source: "vfio.md 15.3",
  about: ["writes Registers.registers"],
  program(hazards): Program {
    const stage = new MigratingStage(hazards);
    const taken = new Taken(stage);
    stage.process.memory.setU32(REGISTER, WRITTEN);
    const write = new Thread("write", "user", () => stage.process.write(stage.d, REGISTER, 4, 0), 1);
    return {
      sim: stage.sim,
      contexts: [write, new Thread("STOP_COPY", "user", () => taken.take())],
      check: nothing,
      end() {
        const [, register] = taken.state;
        if (taken.result !== 0) return `STOP_COPY: ${taken.result}`;
        if (write.result === -EIO) return register === 0 ? null : "15.3: a write that was refused is in the state";
        return write.result === 4 && register === WRITTEN ? null : `15.3: write ${write.result}, and the state has ${register}`;
      },
    };
  },
};

/** Copies the page if the device has written it since the last look. */
function* copyIfDirty(stage: MigratingStage, before: number): Step<number> {
  return (yield* stage.isDirty()) ? yield* stage.memory.copy() : before;
}

export const reportAgainstDma: Protocol = {
  name: "report-against-dma",
  title: "A migration copies what the log of a device's DMA reports while the device writes: with the report after its end the copy is whole.",
  source: "vfio.md 15.4",
  about: ["writes GuestByte.value", "reads GuestByte.value"],
  program(hazards): Program {
    const stage = new MigratingStage(hazards);
    if (run(stage.startLog()) !== 0) throw new Error(`nothing is logged at ${COUNT}`);
    const device = new Thread("device", "hardware", () => work(stage, 1), 1);
    const migrate = new Thread("report", "user", () => copyIfDirty(stage, 0));
    return {
      sim: stage.sim,
      contexts: [device, migrate],
      check: nothing,
      end() {
        stage.sim.explored = false;
        const copied = run(copyIfDirty(stage, migrate.result));
        const written = run(stage.memory.copy());
        return copied === written ? null : `15.4: the copy has ${copied}, memory ${written}, and no report says so`;
      },
    };
  },
};

export const stopAgainstReset: Protocol = {
  name: "stop-copy-against-reset",
  title: "A device is reset while it is stopped for its migration: in the end it runs exactly if its state says so.",
  source: "vfio.md 12.3, 15.3",
  about: ["pci_reset", "writes DeviceGate.inside"],
  program(hazards): Program {
    const stage = new MigratingStage(hazards);
    const stop = new Thread("STOP_COPY", "user", () => stage.goTo(uapi.VFIO_DEVICE_STATE_STOP_COPY));
    const reset = new Thread("RESET", "user", () => stage.process.ioctl(stage.d, uapi.VFIO_DEVICE_RESET, 0), 1);
    return {
      sim: stage.sim,
      contexts: [reset, stop],
      check: nothing,
      end() {
        stage.sim.explored = false;
        if (stop.result !== 0 || reset.result !== 0) return `15.3: STOP_COPY ${stop.result}, RESET ${reset.result}`;
        const { migration } = stage.vfioA;
        const state = migration === null ? -1 : run(migration.currentState());
        const runs = run(stage.counting.gate.enter());
        return runs === (state === uapi.VFIO_DEVICE_STATE_RUNNING) ? null : `15.3: the state is ${state}, and the device ${runs ? "runs" : "is stopped"}`;
      },
    };
  },
};
