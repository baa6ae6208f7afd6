import { type ChipRule, CHIP_RULE_ROWS, chipRules, type X86Compat } from "../../irqchip/x86/chip-rules.js";
import { diffX86 } from "./diff.js";
import type { KnownSwitch } from "./known.js";
import { SWITCHES } from "./known-switches.js";
import type { Backend } from "./targets.js";
import type { X86Target } from "./vector.js";

/** Where a kernel stands, switch by switch. */
export interface Standing {
  /** The model as the newest recorded kernel, on this one's machine. */
  readonly backend: Backend;
  /** Switches on whose other side it stands, those of the machine among them. */
  readonly other: readonly KnownSwitch[];
  /** Switches whose probe it answers as neither side would: they explain nothing. */
  readonly unclear: readonly KnownSwitch[];
}

/** Asks a kernel by the probes of the table. Both make fresh machines. */
export function askKernel(kernel: () => X86Target, model: (backend: Backend) => X86Target): Standing {
  const start: Backend = { endsAtAcceptance: false };
  let [backend, found] = [start, start];
  const [other, unclear]: KnownSwitch[][] = [[], []];
  for (const each of SWITCHES) {
    const { probe } = each;
    if (probe === undefined) continue;
    const isAs = (one: Backend): boolean => diffX86(probe, { model: () => model(one), kernel }).outcome === "same";
    if (isAs(found)) continue;
    const flipped = each.flip(found);
    if (!isAs(flipped)) {
      unclear.push(each);
      continue;
    }
    other.push(each);
    found = flipped;
    if (each.isOfMachine === true) backend = each.flip(backend);
  }
  return { backend, other, unclear };
}

const isRule = (name: string): name is ChipRule => name in CHIP_RULE_ROWS;

/** Switches that the rules of a kernel have on the other side than the newest recorded one's. */
export function movedBy(compat: X86Compat): KnownSwitch[] {
  const [asked, newest] = [chipRules(compat), chipRules("newest")];
  return SWITCHES.filter(({ name }) => isRule(name) && asked[name] !== newest[name]);
}

/** Switches on whose other side the kernel stands, seen from a model that follows these rules on its machine. */
export function foreignTo({ other, unclear }: Standing, compat: X86Compat): KnownSwitch[] {
  const moved = movedBy(compat);
  return SWITCHES.filter((each) => each.probe !== undefined && each.isOfMachine !== true && !unclear.includes(each) && other.includes(each) !== moved.includes(each));
}
