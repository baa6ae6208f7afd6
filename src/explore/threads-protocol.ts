import type { ExplorationFile } from "../scenario/exploration.js";
import { Context, type ContextKind } from "../sim/context.js";
import type { Hazards } from "../sim/hazards.js";
import { PersonError } from "../sim/person-error.js";
import type { Step } from "../sim/step.js";
import { KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE, KVM_IRQ_ROUTING_MSI } from "../uapi/kvm.js";
import type { Protocol } from "./protocol.js";
import { CoreStage } from "./stages/core-stage.js";
import type { Program } from "./trial.js";

/** One thing that a context does. */
type Action = () => Step<number | void>;

/** What a person's context does, in order. */
class Thread extends Context {
  constructor(
    name: string,
    kind: ContextKind,
    private readonly actions: readonly Action[],
  ) {
    super(name, kind, 0);
  }

  override *body(): Step<void> {
    for (let i = 0; i < this.actions.length; i++) yield* this.actions[i]();
  }
}

type Irqfd = ExplorationFile["irqfds"][string];

interface Descriptors {
  readonly fd: number;
  readonly resamplefd: number;
}

/** The verbs of an action, each with how it is written. */
const VERBS = {
  assign: "assign NAME",
  deassign: "deassign NAME",
  signal: "signal NAME",
  close: "close NAME",
  acknowledge: "acknowledge GSI",
  reroute: "reroute GSI DATA",
} as const;

/**
 * Threads around a few irqfds of one VM, as a scenario file describes them. What every program of the interrupt core must
 * keep is asked of it; the rest is the file's properties.
 *
 * @param file its name, for messages
 * @throws PersonError when an action means nothing
 */
export function threadsProtocol(exploration: ExplorationFile, file: string): Protocol {
  const protocol: Protocol = {
    name: file.replace(/^.*[/\\]|\.[^.]*$/g, ""),
    title: exploration.title ?? Object.keys(exploration.contexts ?? {}).join(", "),
    source: file,
    program: (hazards = {}) => build(exploration, file, hazards),
  };
  protocol.program();
  return protocol;
}

function build({ irqfds, contexts = {} }: ExplorationFile, file: string, hazards: Partial<Hazards>): Program {
  const stage = new CoreStage(hazards);
  const known = new Map(Object.entries(irqfds).map(([name, irqfd]) => [name, setUp(stage, irqfd)]));
  const threads = Object.entries(contexts).map(([name, lines]) => {
    const actions = lines.map((line) => {
      const where = `${file}: contexts.${name}: "${line}"`;
      return actionOf(stage, irqfds, known, line.trim().split(/\s+/), where);
    });
    return new Thread(name, kindOf(lines), actions);
  });
  return stage.program(threads);
}

/** A thread that does nothing but what a vCPU, or a handler, does is one. */
function kindOf(lines: readonly string[]): ContextKind {
  if (lines.every((line) => /^\s*acknowledge\s/.test(line))) return "vcpu";
  return lines.every((line) => /^\s*signal\s/.test(line)) ? "hardirq" : "user";
}

function setUp(stage: CoreStage, irqfd: Irqfd): Descriptors {
  const fd = stage.eventfd(irqfd.count);
  const resamplefd = irqfd.resample ? stage.eventfd() : 0;
  const pair = { trigger: stage.driver(fd), told: stage.driver(irqfd.resample ? resamplefd : fd) };
  if (irqfd.assigned) stage.assign(fd, irqfd.gsi, irqfd.resample ? KVM_IRQFD_FLAG_RESAMPLE : 0, resamplefd);
  if (irqfd.raised) stage.trigger(fd);
  if (irqfd.asks && irqfd.resample) stage.own(pair);
  return { fd, resamplefd };
}

function actionOf(stage: CoreStage, irqfds: ExplorationFile["irqfds"], known: ReadonlyMap<string, Descriptors>, words: readonly string[], where: string): Action {
  const [verb, first, second] = words;
  const form = Object.entries(VERBS).find(([name]) => name === verb)?.[1];
  if (form === undefined) throw new PersonError(`${where}: there is no such action: write ${Object.values(VERBS).join(", ")}`);
  if (words.length !== form.split(" ").length) throw new PersonError(`${where}: write ${form}`);
  if (verb === "acknowledge") {
    const pin = number(first, 7, where);
    return () => stage.core.notifyAcked(0, pin);
  }
  if (verb === "reroute") return reroute(stage, number(first, 7, where), number(second, 0xffff, where));
  const named = known.get(first);
  if (named === undefined) throw new PersonError(`${where}: there is no irqfd ${first}: name one under irqfds${known.size === 0 ? "" : ` (${[...known.keys()].join(", ")})`}`);
  if (verb === "close") return () => stage.process.close(named.fd);
  if (verb === "signal") {
    const eventfd = stage.driver(named.fd);
    return () => eventfd.signal();
  }
  const { gsi, resample } = irqfds[first];
  const flags = verb === "deassign" ? KVM_IRQFD_FLAG_DEASSIGN : resample ? KVM_IRQFD_FLAG_RESAMPLE : 0;
  return bodyOf(stage.irqfdCall(verb, { fd: named.fd, gsi, flags, resamplefd: verb === "deassign" ? 0 : named.resamplefd }));
}

/** GSIs are routed one to one; this one alone to a message. */
function reroute(stage: CoreStage, gsi: number, data: number): Action {
  return bodyOf(stage.routingCall("reroute", [{ gsi, type: KVM_IRQ_ROUTING_MSI, words: [0, 0, data] }]));
}

function bodyOf(thread: Context): Action {
  return () => thread.body();
}

function number(word: string, most: number, where: string): number {
  const value = Number(word);
  if (!/^\d+$/.test(word) || value > most) throw new PersonError(`${where}: ${word} is no whole number from 0 to ${most}`);
  return value;
}
