import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { EBUSY } from "../../uapi/errno.js";
import type { Protocol } from "../protocol.js";
import * as stage from "../stages/its-stage.js";
import { ItsStage, type ItsStageOptions } from "../stages/its-stage.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// What reaches an ITS and its LPIs at once: devices' messages, commands of several vCPUs, redistributors, user space
// (gic-its.md B4, B6, B7). The LPI is 8195: event 4 of device 2, in collection 0, on vCPU 1.

const LPI = 8195;
const DEVICE = 2;
const EVENT = 4;
const TARGET = 1;

const nothing = (): null => null;

/** Two vCPUs, and the LPI mapped. */
function stageWithLpi(hazards: Partial<Hazards> | undefined, options: ItsStageOptions = {}): ItsStage {
  const made = new ItsStage({ ids: [0, 1], nrIrqs: 64, hazards, ...options });
  made.commands(stage.mapd(DEVICE, 5), stage.mapc(0, TARGET), stage.mapc(1, 0), stage.mapti(DEVICE, EVENT, LPI, 0));
  made.sim.traceTo(null);
  return made;
}

/** The device's message; its result is KVM_SIGNAL_MSI's. */
const message = (made: ItsStage): Thread => new Thread("message", "user", () => made.message(DEVICE, EVENT));

const program = (made: ItsStage, contexts: readonly Thread[], end: () => string | null): Program => ({ sim: made.sim, contexts, check: nothing, end });

/** A vCPU that has queued commands, and writes CWRITER. */
function commandAt(made: ItsStage, cpu: number, ...all: stage.Words[]): Thread {
  const cwriter = made.queueUp(...all);
  const { its } = made;
  return new Thread(`vcpu${cpu}`, "vcpu", () => made.announce(cwriter, its), cpu);
}

const command = (made: ItsStage, ...all: stage.Words[]): Thread => commandAt(made, 0, ...all);

/** After everything: a message of the event, when it must not be delivered. */
function isStale(made: ItsStage, expected: number): string | null {
  const result = run(made.message(DEVICE, EVENT));
  return result === expected ? null : `a message that comes afterwards is answered ${result}, not ${expected}`;
}

export const messageAgainstDiscard: Protocol = {
  name: "message-against-discard",
  title: "A device sends a message while a vCPU discards its event: afterwards none is delivered.",
  source: "gic-its.md B4.6, B7.3; gic.md R25, R26",
  about: ["its_command", "writes ApList.occupied"],
  program(hazards) {
    const made = stageWithLpi(hazards);
    const discard = command(made, stage.discard(DEVICE, EVENT));
    return program(made, [message(made), discard], () => isStale(made, 0));
  },
};

export const messageAgainstUnmap: Protocol = {
  name: "message-against-unmap",
  title: "A device sends a message while a vCPU unmaps the device: afterwards none is delivered, and its LPI is gone when it was taken.",
  source: "gic-its.md B4.2, B6.5; gic.md R25",
  about: ["its_command", "writes ApList.occupied"],
  program(hazards) {
    const made = stageWithLpi(hazards);
    const unmap = command(made, stage.mapd(DEVICE, 5, stage.ITT, false));
    return program(made, [message(made), unmap], () => {
      const stale = isStale(made, 0);
      made.drain(TARGET);
      return stale ?? (run(made.dist.lpis.next(LPI)) < 0 ? null : "the LPI is still there, and nobody has it");
    });
  },
};

export const cachedMessageAgainstDiscard: Protocol = {
  name: "cached-message-against-discard",
  title: "A message whose translation is remembered comes while its event is discarded: it uses no LPI that is gone.",
  source: "gic-its.md B6.5, B7.3",
  about: ["its_command", "writes ApList.occupied"],
  program(hazards) {
    const made = stageWithLpi(hazards);
    run(made.message(DEVICE, EVENT));
    made.drain(TARGET);
    const discard = command(made, stage.discard(DEVICE, EVENT));
    return program(made, [message(made), discard], () => isStale(made, 0));
  },
};

export const queueOfTwoVcpus: Protocol = {
  name: "queue-of-two-vcpus",
  title: "Two vCPUs write CWRITER behind the same two commands: each is executed once.",
  source: "gic-its.md B4; gic.md R42",
  about: ["its_command"],
  program(hazards) {
    const made = stageWithLpi(hazards);
    const cwriter = made.queueUp(stage.int(DEVICE, EVENT), stage.sync());
    const [first, second] = [0, 1].map((cpu) => new Thread(`vcpu${cpu}`, "vcpu", () => made.announce(cwriter), cpu));
    made.sim.traceTo(made.trace);
    made.trace.clear();
    return program(made, [first, second], () => {
      const executed = made.trace.events.filter(({ name }) => name === "its_command").length;
      return executed === 2 ? null : `R42: ${executed} commands are executed, of two`;
    });
  },
};

/** A redistributor's EnableLPIs, written by its vCPU. */
function* enableLpis(made: ItsStage, isOn: boolean): Step<void> {
  yield* made.redistributor(TARGET).mmioWrite(made.vm.vcpus[TARGET], 0, 4, isOn ? 1 : 0, 0);
}

export const messageAgainstEnable: Protocol = {
  name: "message-against-enable-lpis",
  title: "A message comes while EnableLPIs is set and the pending table is read: Linux may lose it (R41).",
  source: "gic-its.md B6.3; gic.md R41",
  program(hazards) {
    const made = stageWithLpi(hazards);
    run(enableLpis(made, false));
    const send = message(made);
    const enable = new Thread("vcpu1", "vcpu", () => enableLpis(made, true), 1);
    return program(made, [send, enable], () => (send.result === 1 && made.drain(TARGET).length === 0 ? "R41: the scan erases a message that was taken on" : null));
  },
};

export const messageAgainstDisable: Protocol = {
  name: "message-against-disable-lpis",
  title: "A message comes while EnableLPIs is cleared: Linux may remember its translation behind that, and deliver the next one (R40).",
  source: "gic-its.md B7.3; gic.md R40",
  program(hazards) {
    const made = stageWithLpi(hazards);
    const disable = new Thread("vcpu1", "vcpu", () => enableLpis(made, false), 1);
    return program(made, [message(made), disable], () => isStale(made, -EBUSY));
  },
};

export const messageAgainstItsDisable: Protocol = {
  name: "message-against-its-disable",
  title: "A message comes while the ITS is switched off: Linux may remember its translation behind that, and deliver the next one (R44).",
  source: "gic-its.md B2.1, B7.3; gic.md R44",
  program(hazards) {
    const made = stageWithLpi(hazards);
    const disable = new Thread("vcpu0", "vcpu", () => made.its.mmioWrite(made.vm.vcpus[0], 0, 4, 0, 0));
    return program(made, [message(made), disable], () => isStale(made, -EBUSY));
  },
};

export const commandsAgainstItsDisable: Protocol = {
  name: "commands-against-its-disable",
  title: "One vCPU's commands are executed while another switches the ITS off: the queue stops between two commands, and no translation is remembered.",
  source: "gic-its.md B2.1, B4; gic.md R44",
  program(hazards) {
    const made = stageWithLpi(hazards);
    const work = command(made, stage.int(DEVICE, EVENT), stage.sync());
    const disable = new Thread("vcpu1", "vcpu", () => made.its.mmioWrite(made.vm.vcpus[1], 0, 4, 0, 0), 1);
    return program(made, [work, disable], () => isStale(made, -EBUSY));
  },
};

export const clearOfRunningVcpu: Protocol = {
  name: "clear-of-running-vcpu",
  title: "A vCPU clears an LPI that another has in a list register: Linux has it pending again (R55).",
  source: "gic-its.md B4.8; gic.md R55",
  program(hazards) {
    const made = stageWithLpi(hazards);
    run(made.message(DEVICE, EVENT));
    made.enter(TARGET);
    const clear = command(made, stage.clear(DEVICE, EVENT));
    const leave = new Thread("vcpu1", "vcpu", () => made.vm.exit(made.vm.vcpus[TARGET]), 1);
    return program(made, [clear, leave], () => {
      const [taken] = made.drain(TARGET);
      return taken === undefined ? null : `R55: LPI ${taken} is taken after it was cleared`;
    });
  },
};

export const latchBehindDisable: Protocol = {
  name: "latch-behind-disable",
  title: "LPIs of a vCPU are switched off with one pending, and on again with PTZ: an INV delivers the old message in Linux (R56).",
  source: "gic-v3.md A6.3; gic.md R56",
  program(hazards) {
    const made = stageWithLpi(hazards);
    run(made.message(DEVICE, EVENT));
    const inv = made.queueUp(stage.inv(DEVICE, EVENT));
    function* restart(): Step<void> {
      yield* enableLpis(made, false);
      yield* made.redistributor(TARGET).mmioWrite(made.vm.vcpus[TARGET], 0x78, 8, stage.PENDING + 0x10000, 1 << 30);
      yield* enableLpis(made, true);
      yield* made.announce(inv);
    }
    return program(made, [new Thread("vcpu1", "vcpu", restart, 1)], () => (made.drain(TARGET).length === 0 ? null : "R56: a message of before the disable is delivered"));
  },
};

export const messageAgainstSavePending: Protocol = {
  name: "message-against-save-pending",
  title: "A device that user space did not stop sends a message while the pending tables are saved: the saved state may not have it (R57).",
  source: "gic-its.md B9.4; gic.md R57",
  program(hazards) {
    const made = stageWithLpi(hazards);
    const send = message(made);
    const save = new Thread("vmm", "user", () => made.savePendingStep());
    return program(made, [send, save], () => (send.result === 1 && !made.isSaved(LPI, TARGET) ? "R57: a message that was taken on is in no table" : null));
  },
};

export const saveAgainstRun: Protocol = {
  name: "save-against-run",
  title: "User space saves the tables while a vCPU maps two events: both are saved or neither is, or the save is refused.",
  source: "gic-its.md B9.1; gic.md R45",
  about: ["its_command", "writes PlainRam.bytes"],
  program(hazards) {
    const made = stageWithLpi(hazards);
    const [vcpu] = made.vm.vcpus;
    const events = [EVENT + 1, EVENT + 2];
    const cwriter = made.queueUp(...events.map((event) => stage.mapti(DEVICE, event, LPI + event, 0)));
    function* runGuest(): Step<void> {
      yield* vcpu.mutex.lock();
      yield* made.announce(cwriter);
      yield* vcpu.mutex.unlock();
    }
    const save = new Thread("vmm", "user", () => made.saveStep());
    return program(made, [new Thread("vcpu0", "vcpu", runGuest), save], () => {
      if (save.result !== 0) return null;
      const saved = events.filter((event) => made.peek(stage.ITT + 8 * event) !== 0n).length;
      return saved === 1 ? "R45: one of two mappings that came together is saved" : null;
    });
  },
};

export const invalidateAllAgainstInvalidate: Protocol = {
  name: "invalidate-all-against-invalidate",
  title: "A redistributor's INVALLR reads the configurations while the guest enables an LPI and sends INV: Linux may write the old one back.",
  source: "gic-its.md B6.1",
  program(hazards) {
    const made = stageWithLpi(hazards);
    made.config(LPI, 0xa0);
    made.commands(stage.inv(DEVICE, EVENT));
    made.sim.traceTo(null);
    const all = new Thread("vcpu1", "vcpu", () => made.redistributor(TARGET).mmioWrite(made.vm.vcpus[TARGET], 0xb0, 8, 0, 0), 1);
    const inv = made.queueUp(stage.inv(DEVICE, EVENT));
    function* enable(): Step<void> {
      yield* made.vm.ram.writeByte(stage.PROPERTIES + LPI - 8192, 0xa1);
      yield* made.announce(inv);
    }
    return program(made, [all, new Thread("vcpu0", "vcpu", enable)], () => {
      run(made.message(DEVICE, EVENT));
      return made.drain(TARGET).length === 0 ? "the LPI is disabled, although its INV came after its configuration" : null;
    });
  },
};

export const moveAllAgainstMap: Protocol = {
  name: "move-all-against-map",
  title: "A MOVALL at one ITS walks the VM's LPIs while a vCPU discards one at another ITS and maps another: nothing that is gone is moved, and the new one is delivered once.",
  source: "gic-its.md B4.11, B6.5",
  about: ["its_command", "writes ApList.occupied"],
  program(hazards) {
    const made = stageWithLpi(hazards, { itses: 2 });
    made.use(1);
    made.commands(stage.mapd(DEVICE, 5, stage.ITT + 0x10000), stage.mapc(0, TARGET), stage.mapti(DEVICE, EVENT, LPI + 1, 0));
    const map = commandAt(made, 1, stage.discard(DEVICE, EVENT), stage.mapti(DEVICE, EVENT + 1, LPI + 2, 0), stage.int(DEVICE, EVENT + 1));
    made.use(0);
    const move = command(made, stage.movall(TARGET, 0));
    made.sim.traceTo(null);
    return program(made, [move, map], () => {
      const taken = [...made.drain(TARGET), ...made.drain(0), ...made.drain(TARGET)].filter((intid) => intid === LPI + 2).length;
      return taken === 1 ? null : `the new LPI is taken ${taken} times`;
    });
  },
};

export const mapsOfOneLpi: Protocol = {
  name: "maps-of-one-lpi",
  title: "Two vCPUs map one LPI, each at an ITS of its own: it is one LPI, and lives while one of its mappings does.",
  source: "gic-its.md B1, B6.5; gic.md R28, R29",
  about: ["its_command", "writes ApList.occupied"],
  program(hazards) {
    const made = new ItsStage({ ids: [0, 1], nrIrqs: 64, hazards, itses: 2 });
    for (const n of [1, 0]) {
      made.use(n);
      made.commands(stage.mapd(DEVICE, 5, stage.ITT + 0x10000 * n), stage.mapc(0, TARGET));
    }
    made.sim.traceTo(null);
    const first = commandAt(made, 0, stage.mapti(DEVICE, EVENT, LPI, 0));
    made.use(1);
    const second = commandAt(made, 1, stage.mapti(DEVICE, EVENT, LPI, 0), stage.int(DEVICE, EVENT), stage.discard(DEVICE, EVENT));
    return program(made, [first, second], () => {
      run(made.message(DEVICE, EVENT));
      const taken = made.drain(TARGET).length;
      return taken === 1 ? null : `the LPI is taken ${taken} times, after a message by each ITS and before any was taken`;
    });
  },
};

export const queueRestoredBeforeItsPlace: Protocol = {
  name: "queue-restored-before-its-place",
  title: "User space restores CWRITER before CBASER: the commands that were outstanding are lost (R43).",
  source: "gic-its.md B2.3, B10; gic.md R43",
  program(hazards) {
    const made = stageWithLpi(hazards);
    const cwriter = made.queueUp(stage.int(DEVICE, EVENT));
    made.write("CTLR", 0n);
    function* restore(): Step<void> {
      yield* made.announce(cwriter);
      yield* made.its.mmioWrite(made.vm.vcpus[0], 0x80, 8, stage.QUEUE, 1 << 31);
    }
    return program(made, [new Thread("vmm", "user", restore)], () => (made.read("CWRITER") === BigInt(cwriter) ? null : "R43: a command that was queued before the save is not executed after it"));
  },
};

export const restoreBehindDiscard: Protocol = {
  name: "restore-behind-discard",
  title: "Tables are saved, an event is discarded while its device sends, and they are saved again and restored elsewhere: what was discarded is not there.",
  source: "gic-its.md B4.6, B9",
  about: ["its_command", "writes PlainRam.bytes"],
  program(hazards) {
    const made = stageWithLpi(hazards);
    made.commands(stage.mapti(DEVICE, EVENT + 1, LPI + 1, 0));
    made.save();
    const discard = command(made, stage.discard(DEVICE, EVENT));
    made.sim.traceTo(null);
    return program(made, [discard, message(made)], () => {
      made.save();
      const other = new ItsStage({ ids: [0, 1], nrIrqs: 64, isRaw: true });
      made.copyMemoryTo(other, [[stage.DEVICES, 0x50000], [stage.ITT, 0x1000]]);
      made.copyRegistersTo(other);
      return run(other.message(DEVICE, EVENT)) === 0 ? null : "an event that was discarded is mapped again behind the restore";
    });
  },
};
