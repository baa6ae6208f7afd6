import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { Thread } from "../stages/threads.js";
import { XicsStage } from "../stages/xics-stage.js";

/** The first sources of blocks 1 and 2. */
const S = 0x400;
const T = 0x401;
const U = 0x800;
const LSI = 0x105;
const ALL = 0xff;
const name = (irq: number): string => `source 0x${irq.toString(16)}`;

/** Servers 0 and 1 admit nothing; the sources that are named have priority 5 and server 0. */
function stageOf(hazards: ConstructorParameters<typeof XicsStage>[0], ...irqs: readonly number[]): XicsStage {
  const stage = new XicsStage(hazards);
  for (const irq of irqs) run(stage.source(irq, 5, 0));
  return stage;
}

export const failAgainstLower: Protocol = {
  name: "fail-against-lower",
  title: "A message fails at a server whose guest lowers its priority at once: it is presented all the same.",
  source: "xics.md 8.3 step 10, N8, R1",
  about: ["xics_deliver", "xics_resend"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    const device = new Thread("device", "hardirq", () => stage.line(S));
    const guest = new Thread("vcpu0", "vcpu", () => stage.guests[0].cppr(ALL));
    return stage.program([device, guest], () => (stage.icp(0).xisr === S ? null : `R1: ${name(S)} sleeps`));
  },
};

export const twoFailAgainstScan: Protocol = {
  name: "two-fail-against-scan",
  title: "Messages of two blocks fail while the guest scans: what is marked is in the resend map when all is done.",
  source: "xics.md 8.3 step 10, N5, R2",
  about: ["xics_deliver", "xics_resend"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S, U);
    const one = new Thread("device", "hardirq", () => stage.line(S));
    const two = new Thread("device2", "hardirq", () => stage.line(U));
    const guest = new Thread("vcpu0", "vcpu", () => stage.guests[0].cppr(3));
    return stage.program([one, guest, two], () => {
      const { needResend, resendBlocks } = stage.icp(0);
      for (const irq of [S, U]) if (stage.at(irq)?.resend === true && !(needResend && resendBlocks.includes(irq >> 10))) return `R2: ${name(irq)} is marked, and no scan will look at its block`;
      return null;
    });
  },
};

export const twoScanners: Protocol = {
  name: "two-scanners",
  title: "Two servers scan one block: a message that waits for one of them is presented once.",
  source: "xics.md 8.4, N9, R3",
  about: ["xics_resend", "xics_eoi"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.source(T, 5, 1));
    run(stage.line(S));
    run(stage.line(T));
    function* serve(): Step<void> {
      yield* stage.guests[0].cppr(ALL);
      yield* stage.guests[0].drain();
    }
    const contexts = [new Thread("vcpu0", "vcpu", serve), new Thread("vcpu1", "vcpu", () => stage.guests[1].cppr(ALL))];
    return stage.program(contexts, () => once(stage, "R3"));
  },
};

/** S was raised once, and server 0 has looked until nothing was left: taken, or presented, once. */
function once(stage: XicsStage, hazard: string): string | null {
  const times = stage.guests[0].taken.filter((irq) => irq === S).length + (stage.icp(0).xisr === S ? 1 : 0);
  return times === 1 ? null : `${hazard}: ${name(S)} was raised once and is presented ${times} times`;
}

export const entryAgainstScan: Protocol = {
  name: "entry-against-scan",
  title: "A guest sets the entry of a message that waits while its server scans: it is presented once.",
  source: "xics.md 9.2, N9, R4",
  about: ["xics_deliver", "xics_resend"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.line(S));
    function* serve(): Step<void> {
      yield* stage.guests[0].cppr(ALL);
      yield* stage.guests[0].drain();
    }
    const contexts = [new Thread("vcpu1", "vcpu", () => stage.setXive(S, 0, 5)), new Thread("vcpu0", "vcpu", serve)];
    return stage.program(contexts, () => once(stage, "R4"));
  },
};

export const moveAgainstReject: Protocol = {
  name: "move-against-reject",
  title: "A presented message moves to another server while its own rejects it: it is presented there.",
  source: "xics.md 8.3 step 3, R6",
  about: ["xics_deliver", "writes StageVcpu.external"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.guests[0].cppr(ALL));
    run(stage.guests[1].cppr(ALL));
    run(stage.line(S));
    const contexts = [new Thread("vcpu0", "vcpu", () => stage.guests[0].cppr(3)), new Thread("vcpu1", "vcpu", () => stage.setXive(S, 1, 5))];
    return stage.program(contexts, () => (stage.icp(1).xisr === S ? null : `R6: ${name(S)} is of server 1, and is not presented there`));
  },
};

export const requestAgainstDelivery: Protocol = {
  name: "request-against-delivery",
  title: "One changes the MFRR of a server while a message is delivered there: its external interrupt is up when something is presented.",
  source: "xics.md 8.1, N4, R8",
  about: ["xics_deliver"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.guests[0].cppr(ALL));
    const contexts = [new Thread("vcpu1", "vcpu", () => stage.guests[1].ipi(0, ALL)), new Thread("device", "hardirq", () => stage.line(S))];
    return stage.program(contexts, () => (!stage.icp(0).out || stage.vcpus[0].external ? null : `R8: ${name(S)} is presented, and no external interrupt is up`));
  },
};

export const messageAgainstEoi: Protocol = {
  name: "message-against-eoi",
  title: "A message comes again while its handler ends it: it is presented.",
  source: "xics.md 7.1, 7.2, N8, R11",
  about: ["xics_deliver", "xics_eoi"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.guests[0].cppr(ALL));
    run(stage.line(S));
    const xirr = run(stage.guests[0].accept());
    const contexts = [new Thread("device", "hardirq", () => stage.line(S)), new Thread("vcpu0", "vcpu", () => stage.guests[0].eoi(xirr))];
    return stage.program(contexts, () => (stage.icp(0).xisr === S ? null : `R11: ${name(S)} is stuck with ${stage.at(S)?.pq ?? "nothing"}`));
  },
};

export const levelAgainstEoi: Protocol = {
  name: "level-against-eoi",
  title: "A line rises while its handler ends it: it may be presented and marked at once, once more than needed.",
  source: "xics.md 7.2, N6, R10",
  about: ["xics_deliver", "xics_eoi"],
  program(hazards = {}) {
    const stage = new XicsStage(hazards);
    run(stage.source(LSI, 0x105, 0));
    run(stage.guests[0].cppr(ALL));
    run(stage.line(LSI));
    const xirr = run(stage.guests[0].accept());
    run(stage.line(LSI, false));
    const contexts = [new Thread("device", "hardirq", () => stage.line(LSI)), new Thread("vcpu0", "vcpu", () => stage.guests[0].eoi(xirr))];
    return stage.program(contexts, () => (stage.icp(0).xisr === LSI && stage.at(LSI)?.resend === true ? `R10: ${name(LSI)} is presented, and marked to be presented again` : null));
  },
};

export const blockAgainstBlock: Protocol = {
  name: "block-against-block",
  title: "Two threads create the first sources of one block: both are there.",
  source: "xics.md 5.3, R23",
  about: ["writes Xics.blocks"],
  program(hazards = {}) {
    const stage = new XicsStage(hazards);
    const contexts = [S, T].map((irq, i) => new Thread(`vmm${i}`, "user", () => stage.source(irq, ALL, 0)));
    return stage.program(contexts, () => ([S, T].every((irq) => stage.at(irq)?.exists === true) ? null : "R23: a source is lost with the block that it was created in"));
  },
};

export const blockEndAgainstScan: Protocol = {
  name: "block-end-against-scan",
  title: "One thread creates a block, another finds it, creates a source there and raises it, while the guest opens its server: the source is presented.",
  source: "xics.md 8.4, N8, R23",
  about: ["writes Xics.blocks", "xics_resend", "xics_deliver"],
  program(hazards = {}) {
    const stage = stageOf(hazards);
    function* createAndRaise(): Step<void> {
      yield* stage.source(U + 1, 5, 0);
      yield* stage.line(U + 1);
    }
    const contexts = [new Thread("vmm0", "user", () => stage.source(U, ALL, 0)), new Thread("vmm1", "user", createAndRaise), new Thread("vcpu0", "vcpu", () => stage.guests[0].cppr(ALL))];
    return stage.program(contexts, () => (stage.icp(0).xisr === U + 1 ? null : `R23: ${name(U + 1)} sleeps in a block that no scan reaches`));
  },
};

export const rejectAgainstEnd: Protocol = {
  name: "reject-against-end",
  title: "A message displaces another that its server's guest takes and ends at once: the displaced one is presented again.",
  source: "xics.md 8.3 step 8, N8, R5",
  about: ["xics_reject", "xics_eoi"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.source(U, 3, 0));
    run(stage.guests[0].cppr(ALL));
    run(stage.line(S));
    const contexts = [new Thread("device", "hardirq", () => stage.line(U)), new Thread("vcpu0", "vcpu", () => stage.guests[0].drain())];
    return stage.program(contexts, () => once(stage, "R5"));
  },
};

export const fallAgainstDelivery: Protocol = {
  name: "fall-against-delivery",
  title: "A presented level falls while a more favoured message takes its place: the message stays.",
  source: "xics.md 7.1, 7.3, R9",
  about: ["xics_deliver"],
  program(hazards = {}) {
    const stage = stageOf(hazards);
    run(stage.source(LSI, 0x105, 0));
    run(stage.source(S, 3, 0));
    run(stage.guests[0].cppr(ALL));
    run(stage.line(LSI));
    const contexts = [new Thread("wire", "hardirq", () => stage.line(LSI, false)), new Thread("device", "hardirq", () => stage.line(S))];
    return stage.program(contexts, () => (stage.icp(0).xisr === S ? null : `R9: ${name(S)} was raised, and is not presented`));
  },
};

export const maskAgainstReject: Protocol = {
  name: "mask-against-reject",
  title: "A presented message is masked and unmasked while its server rejects it: it is presented again.",
  source: "xics.md 8.3 step 6, 9.2, N8, R14",
  about: ["xics_deliver", "xics_masked_pending"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.guests[0].cppr(ALL));
    run(stage.line(S));
    function* rejectAndOpen(): Step<void> {
      yield* stage.guests[0].cppr(3);
      yield* stage.guests[0].cppr(ALL);
    }
    function* mask(): Step<void> {
      yield* stage.intOff(S);
      yield* stage.intOn(S);
    }
    const contexts = [new Thread("vcpu0", "vcpu", rejectAndOpen), new Thread("vcpu1", "vcpu", mask)];
    return stage.program(contexts, () => (stage.icp(0).xisr === S ? null : `R14: ${name(S)} was presented before it was masked, and is lost`));
  },
};

/** Server 1 goes while a message is delivered to it and its source moves to server 0. */
function goneServer(hazards: Parameters<Protocol["program"]>[0], isMoved: boolean): { readonly stage: XicsStage; readonly contexts: readonly Thread[] } {
  const stage = new XicsStage(hazards ?? {});
  run(stage.source(S, 5, 1));
  for (const guest of stage.guests) run(guest.cppr(ALL));
  const contexts = [new Thread("close", "user", () => stage.disconnect(1)), new Thread("device", "hardirq", () => stage.line(S))];
  if (isMoved) contexts.push(new Thread("vcpu0", "vcpu", () => stage.setXive(S, 0, 5)));
  return { stage, contexts };
}

export const moveFromGoneServer: Protocol = {
  name: "move-from-gone-server",
  title: "A server goes while a message is delivered to it and its source moves to another: everybody comes to an end.",
  source: "xics.md 8.3 step 3, R16",
  about: ["xics_drop"],
  program(hazards = {}) {
    const { stage, contexts } = goneServer(hazards, true);
    return stage.program(contexts, () => null);
  },
};

export const goneServerOfMessage: Protocol = {
  name: "gone-server-of-message",
  title: "A server goes while a message is delivered to it: the message may be dropped, without a mark.",
  source: "xics.md 8.3 step 3, R16",
  about: ["xics_drop"],
  program(hazards = {}) {
    const { stage, contexts } = goneServer(hazards, false);
    return stage.program(contexts, () => (stage.at(S)?.pq === "P-" && stage.at(S)?.resend === false && stage.icpOf(1).xisr === 0 ? `R16: ${name(S)} is dropped without a mark` : null));
  },
};

export const scanAgainstAccept: Protocol = {
  name: "scan-against-accept",
  title: "Another vCPU opens a server where two messages wait: its guest may take the less favoured one first, whose number is lower.",
  source: "xics.md 8.4, R26",
  about: ["xics_resend", "xics_deliver"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    run(stage.source(U, 4, 0));
    run(stage.guests[0].cppr(ALL));
    run(stage.guests[1].ipi(0, 0x103)); // kept by the low byte, and not raised (9.1): it keeps both out
    run(stage.line(S));
    run(stage.line(U));
    const contexts = [new Thread("vcpu1", "vcpu", () => stage.guests[1].ipi(0, ALL)), new Thread("vcpu0", "vcpu", () => stage.guests[0].accept())];
    return stage.program(contexts, () => (stage.guests[0].taken[0] === S ? `R26: ${name(S)} is taken before ${name(U)}, which waited as long and is more favoured` : null));
  },
};

export const wordAgainstEntry: Protocol = {
  name: "word-against-entry",
  title: "A guest masks and unmasks a source by its firmware while user space moves it by its word: it stays where the word has it.",
  source: "xics.md 3 D7, 9.2, R19",
  about: ["reads AtomicBitmap.words", "writes IcsBlock.pq"],
  program(hazards = {}) {
    const stage = stageOf(hazards, S);
    function* mask(): Step<void> {
      yield* stage.intOff(S);
      yield* stage.intOn(S);
    }
    const contexts = [new Thread("vcpu0", "vcpu", mask), new Thread("vmm", "user", () => stage.source(S, 4, 1))];
    return stage.program(contexts, () => {
      const { server, savedPriority } = stage.at(S) ?? { server: -1, savedPriority: -1 };
      return server === 1 && savedPriority === 4 ? null : `R19: the word moved the source to server 1 with priority 4, and it is server ${server}'s with ${savedPriority}`;
    });
  },
};
