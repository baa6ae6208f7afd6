// Finds what a partial-order reduction cannot see: two steps of different contexts that touch one field, one of them writing,
// with no order between them by what they announced. Random executions of every protocol, with each rule in force and off:
// `node tools/unannounced/audit.js [EXECUTIONS] [PROTOCOL]`.
import { fileURLToPath } from "node:url";
import { instrumentedBuild } from "./instrument.js";
import { beginStep, endStep } from "./recorder.js";

/** Steps of an execution that are looked at. */
const STEPS = 1_500;

/** How likely a context is to go on: one in so many steps goes to whoever may move. */
const RESTLESS = [1, 3, 10];

/**
 * @param executions of each protocol, and of each with a rule off
 * @returns {Promise<Map<string, string>>} by field and by the files that touch it, an example
 */
export async function findUnannounced(executions, isAsked = () => true) {
  const build = instrumentedBuild();
  const from = (name) => import(new URL(name, build).href);
  const engine = { ...(await from("explore/trial.js")), ...(await from("explore/footprint.js")), ...(await from("sim/random.js")) };
  const { PROTOCOLS } = await from("explore/protocols/index.js");
  const { HAZARD_CASES } = await from("explore/hazards/index.js");
  const races = HAZARD_CASES.filter(({ kind }) => kind === "race").map(({ protocol, off }) => ({ protocol, hazards: { [off]: true } }));
  const programs = [...PROTOCOLS.map((protocol) => ({ protocol, hazards: {} })), ...races].filter(({ protocol }) => isAsked(protocol.name));
  const found = new Found();
  const random = new engine.Random(1);
  for (const { protocol, hazards } of programs)
    for (let i = 0; i < executions; i++) found.look(orderOf(execute(engine, () => protocol.program(hazards), random, RESTLESS[i % RESTLESS.length]), engine), protocol.name);
  return found.result();
}

/** One execution: of each step who made it, its footprint, and what it touched. */
function execute({ Trial, Footprint }, scenario, random, restless) {
  const trial = new Trial(scenario, { rounds: null });
  const steps = [];
  let last = -1;
  for (let movable = trial.movable(); movable !== 0 && trial.violation === null && steps.length < STEPS; movable = trial.movable()) {
    const seats = trial.actors.map((_, seat) => seat).filter((seat) => (movable & (1 << seat)) !== 0);
    const goesOn = seats.includes(last) && random.below(restless) !== 0;
    const seat = goesOn ? last : seats[random.below(seats.length)];
    const print = new Footprint();
    beginStep();
    trial.move(seat, false, print);
    steps.push({ seat, context: trial.actors[seat].context.name, print, touches: endStep(), before: null });
    last = seat;
  }
  return { steps, actors: trial.actors.length };
}

/** Gives each step the last step of each actor that comes before it, by what the footprints say. */
function orderOf({ steps, actors }, { conflicts }) {
  const last = new Array(actors).fill(-1);
  steps.forEach((step, at) => {
    const before = last[step.seat] < 0 ? new Array(actors).fill(-1) : [...steps[last[step.seat]].before];
    for (let i = at - 1; i >= 0; i--) {
      const other = steps[i];
      if (other.seat === step.seat || before[other.seat] >= i || !conflicts(other.print, step.print)) continue;
      other.before.forEach((place, actor) => (before[actor] = Math.max(before[actor], place)));
    }
    before[step.seat] = at;
    step.before = before;
    last[step.seat] = at;
  });
  return steps;
}

/** What was touched by steps without an order. */
class Found {
  pairs = new Map();
  /** What some step reads that it has not written itself: what is only written before it is read carries nothing from step to step. */
  carried = new Set();

  look(steps, protocol) {
    const known = new Map();
    steps.forEach((step, at) => {
      const written = new Map();
      for (const { object, field, isWrite, place } of step.touches) {
        const own = written.get(object) ?? new Set();
        if (!isWrite && own.has(field)) continue;
        if (isWrite) written.set(object, own.add(field));
        else this.carried.add(nameOf(object, field));
        const fields = known.get(object) ?? new Map();
        known.set(object, fields);
        const earlier = fields.get(field) ?? [];
        fields.set(field, [...earlier.filter((one) => one.seat !== step.seat || one.isWrite !== isWrite), { seat: step.seat, at, isWrite, place }]);
        for (const one of earlier) if (one.seat !== step.seat && (one.isWrite || isWrite) && step.before[one.seat] < one.at) this.note(object, field, one, { isWrite, place }, steps, at, protocol);
      }
    });
  }

  note(object, field, one, other, steps, at, protocol) {
    const files = [...new Set([one.place, other.place].map((place) => place.replace(/\.js:\d+$/, ".ts")))].sort();
    const key = `${nameOf(object, field)} in ${files.join(" and ")}`;
    const told = (step, { isWrite, place }) => `${step.context} ${isWrite ? "writes" : "reads"} it at ${place}`;
    if (!this.pairs.has(key)) this.pairs.set(key, { name: nameOf(object, field), example: `${protocol}: ${told(steps[one.at], one)}, ${told(steps[at], other)}` });
  }

  result() {
    return new Map([...this.pairs].filter(([, { name }]) => this.carried.has(name)).map(([key, { example }]) => [key, example]).sort());
  }
}

const nameOf = (object, field) => `${object.constructor?.name ?? "object"}.${/^\d+$/.test(field) ? "[]" : field}`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [executions = "30", name = ""] = process.argv.slice(2);
  for (const [key, example] of await findUnannounced(Number(executions), (protocol) => protocol.includes(name))) console.log(`${key}\n    ${example}`);
}
