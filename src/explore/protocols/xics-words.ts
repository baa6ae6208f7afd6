import type { Protocol } from "../protocol.js";
import { run, type Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { Thread } from "../stages/threads.js";
import { XicsStage } from "../stages/xics-stage.js";

// What the specification has reproduced of masks and of the words that user space moves: each program takes the kernel's
// outcome for the violation.

const S = 0x400;
const LSI = 0x105;
const ALL = 0xff;
const IPI = 2;
const PENDING = 0x400;
const [LEVEL_5, PENDING_5] = [0x105, PENDING | 5];

/** One message of priority 5 for server 0, which is open. */
function openStage(hazards: ConstructorParameters<typeof XicsStage>[0]): XicsStage {
  const stage = new XicsStage(hazards);
  run(stage.source(S, 5, 0));
  run(stage.guests[0].cppr(ALL));
  return stage;
}

export const staleIpi: Protocol = {
  name: "stale-ipi",
  title: "A request for an IPI is taken back before it is accepted: it is accepted all the same, and its server's word cannot be restored.",
  source: "xics.md 12.4, N2, R7",
  program(hazards = {}) {
    const stage = openStage(hazards);
    let restored = 0;
    function* request(): Step<void> {
      yield* stage.guests[1].ipi(0, 4);
      yield* stage.guests[1].ipi(0, ALL);
    }
    function* move(): Step<void> {
      restored = yield* stage.restore(0, yield* stage.save(0));
    }
    const contexts = [new Thread("vcpu1", "vcpu", request), new Thread("vmm", "user", move), new Thread("vcpu0", "vcpu", () => stage.guests[0].accept())];
    return stage.program(contexts, () => (restored === -EINVAL && stage.guests[0].taken[0] === IPI ? "R7: an IPI that nobody asks for any more is taken, and the word that shows it is refused" : null));
  },
};

export const restorePresentedLevel: Protocol = {
  name: "restore-presented-level",
  title: "A level is restored while its server's word has it presented, and falls: it is taken once more than it was raised.",
  source: "xics.md 12.4, R12",
  program(hazards = {}) {
    const stage = new XicsStage(hazards);
    run(stage.source(LSI, 0x1ff, 0));
    run(stage.restore(0, { hi: (ALL << 24) | LSI, lo: (ALL << 24) | (5 << 16) }));
    run(stage.source(LSI, PENDING | LEVEL_5, 0));
    const contexts = [new Thread("wire", "hardirq", () => stage.line(LSI, false)), new Thread("vcpu0", "vcpu", () => stage.guests[0].drain())];
    return stage.program(contexts, () => (stage.guests[0].taken.length === 2 ? "R12: the level is taken twice, and was high once" : null));
  },
};

export const maskTwice: Protocol = {
  name: "mask-twice",
  title: "Two vCPUs mask and unmask one source: it may stay masked for ever.",
  source: "xics.md 9.2, R13",
  program(hazards = {}) {
    const stage = openStage(hazards);
    function* mask(): Step<void> {
      yield* stage.intOff(S);
      yield* stage.intOn(S);
    }
    const contexts = [0, 1].map((cpu) => new Thread(`vcpu${cpu}`, "vcpu", mask));
    return stage.program(contexts, () => (stage.at(S)?.priority === ALL ? "R13: everybody has unmasked the source, and it is masked" : null));
  },
};

export const maskedLevelFalls: Protocol = {
  name: "masked-level-falls",
  title: "A masked level rises and falls before it is unmasked: it is presented although its line is low.",
  source: "xics.md 7.1 rule 5, R15",
  program(hazards = {}) {
    const stage = openStage(hazards);
    run(stage.source(LSI, LEVEL_5, 0));
    run(stage.intOff(LSI));
    function* pulse(): Step<void> {
      yield* stage.line(LSI);
      yield* stage.line(LSI, false);
    }
    const contexts = [new Thread("wire", "hardirq", pulse), new Thread("vcpu1", "vcpu", () => stage.intOn(LSI))];
    return stage.program(contexts, () => (stage.icp(0).xisr === LSI && stage.at(LSI)?.pq === "--" ? "R15: the level is presented, and its line is low" : null));
  },
};

export const sourceBeforeServer: Protocol = {
  name: "source-before-server",
  title: "A pending source is restored before its server: the server admits it, and does not present it.",
  source: "xics.md 12.3, R17",
  program(hazards = {}) {
    const stage = new XicsStage(hazards);
    function* restore(): Step<void> {
      yield* stage.source(S, PENDING_5, 0);
      yield* stage.restore(0, { hi: ALL << 24, lo: (ALL << 24) | (ALL << 16) });
    }
    return stage.program([new Thread("vmm", "user", restore)], () => {
      const { cppr, xisr } = stage.icp(0);
      return cppr === ALL && xisr === 0 && stage.at(S)?.resend === true ? "R17: a source waits for a server that would admit it" : null;
    });
  },
};

export const serverBeforeBlock: Protocol = {
  name: "server-before-block",
  title: "A server that has a source presented is restored before the source's block: its word is refused.",
  source: "xics.md 12.2, R18",
  program(hazards = {}) {
    const stage = new XicsStage(hazards);
    let restored = 0;
    function* restore(): Step<void> {
      restored = yield* stage.restore(0, { hi: (ALL << 24) | S, lo: (ALL << 24) | (5 << 16) });
      yield* stage.source(S, 5, 0);
    }
    return stage.program([new Thread("vmm", "user", restore)], () => (restored === -EINVAL ? "R18: the word of a server is refused for a source that comes later" : null));
  },
};

export const wordOverQueued: Protocol = {
  name: "word-over-queued",
  title: "User space writes the word of a source that is in service with another message queued: that message is lost.",
  source: "xics.md 5.3 step 6, R19",
  about: ["xics_eoi"],
  program(hazards = {}) {
    const stage = openStage(hazards);
    run(stage.line(S));
    const xirr = run(stage.guests[0].accept());
    run(stage.line(S));
    const contexts = [new Thread("vmm", "user", () => stage.source(S, 4, 0)), new Thread("vcpu0", "vcpu", () => stage.guests[0].eoi(xirr))];
    return stage.program(contexts, () => (stage.icp(0).xisr === 0 ? "R19: a message was queued, and is not presented at the end of the one before" : null));
  },
};

export const wordInService: Protocol = {
  name: "word-in-service",
  title: "User space makes a source more favoured by its word while it is in service: its next message is presented in the middle of that.",
  source: "xics.md 5.3 step 6, R19",
  about: ["xics_deliver"],
  program(hazards = {}) {
    const stage = openStage(hazards);
    run(stage.line(S));
    run(stage.guests[0].accept());
    const contexts = [new Thread("vmm", "user", () => stage.source(S, 4, 0)), new Thread("device", "hardirq", () => stage.line(S)), new Thread("vcpu0", "vcpu", () => stage.guests[0].accept())];
    return stage.program(contexts, () => (stage.guests[0].taken.length === 2 ? "R19: a handler of the source interrupts a handler of the source" : null));
  },
};
