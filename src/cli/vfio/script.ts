import { PersonError } from "../../sim/person-error.js";
import { type Request, requestCalled } from "./requests.js";

/** A line of a session: one step of what an administrator or a VMM does with a device (vfio.md 2.7). */
export interface Line {
  /** Where it stands, for messages. */
  readonly place: string;
  readonly text: string;
  /** What the answer is called from then on. */
  readonly name: string | null;
  readonly verb: Verb;
  readonly words: readonly string[];
  /** Of an ioctl. */
  readonly request: Request | null;
}

/** Verbs by how many words they take, and what a person reads. */
export const VERBS = {
  echo: { least: 2, most: Infinity, usage: "echo [-n] [TEXT] > PATH" },
  cat: { least: 1, most: 1, usage: "cat PATH" },
  readlink: { least: 1, most: 1, usage: "readlink PATH" },
  ls: { least: 1, most: 1, usage: "ls PATH, of /dev, of a group's devices, or of a device's vfio-dev" },
  rmmod: { least: 1, most: 1, usage: "rmmod MODULE, of a driver: vfio_pci, vfio_platform, vfio_xen_pci, native" },
  modprobe: { least: 1, most: 1, usage: "modprobe MODULE, one that rmmod has unloaded" },
  open: { least: 1, most: 1, usage: "NAME = open PATH" },
  eventfd: { least: 0, most: 0, usage: "NAME = eventfd" },
  memory: { least: 1, most: 1, usage: "NAME = memory BYTES" },
  ioctl: { least: 2, most: Infinity, usage: "[NAME =] ioctl FD REQUEST [VALUE | FIELD=VALUE ...] [data=WORD,...], or FD NUMBER [VALUE]; NAME.FIELD is then what the field says" },
  mmap: { least: 3, most: 3, usage: "NAME = mmap FD OFFSET BYTES" },
  read: { least: 3, most: 3, usage: "read FD OFFSET BYTES" },
  write: { least: 4, most: 4, usage: "write FD OFFSET BYTES VALUE" },
  peek: { least: 2, most: 2, usage: "peek ADDRESS BYTES" },
  poke: { least: 3, most: 3, usage: "poke ADDRESS BYTES VALUE" },
  count: { least: 1, most: 1, usage: "count EVENTFD" },
  take: { least: 1, most: 1, usage: "take PORT, of an event channel (--backend xen)" },
  raise: { least: 1, most: 1, usage: "raise INTERRUPT" },
  dma: { least: 3, most: 4, usage: "dma read IOVA BYTES, or dma write IOVA BYTES VALUE: what the device does by itself; what ends it, ioctl CONTAINER IOMMU_TAKE_FAULT tells" },
  close: { least: 1, most: 1, usage: "close FD" },
} as const;

export type Verb = keyof typeof VERBS;

/** Verbs that stand for several lines. */
export const COMPOSITES = ["assign", "release"] as const;
export type Composite = (typeof COMPOSITES)[number];

const isVerb = (word: string): word is Verb => Object.hasOwn(VERBS, word);
export const isComposite = (word: string): word is Composite => COMPOSITES.some((each) => each === word);

/**
 * The lines of a script; `expand` tells what a composite verb stands for. Blank lines and what follows a # are nothing.
 *
 * @throws PersonError with the place
 */
export function parseScript(text: string, source: string, expand: (composite: Composite) => readonly string[]): Line[] {
  const lines: Line[] = [];
  text.split("\n").forEach((raw, i) => {
    const line = raw.replace(/(^|\s)#.*$/, "").trim();
    if (line === "") return;
    const place = `${source}, line ${i + 1}`;
    for (const each of isComposite(line) ? expand(line) : [line]) lines.push(parseLine(each, place));
  });
  return lines;
}

function parseLine(text: string, place: string): Line {
  const named = /^([a-z][a-z0-9_]*)\s*=\s*(.*)$/i.exec(text);
  const [verb = "", ...words] = (named?.[2] ?? text).split(/\s+/);
  if (!isVerb(verb)) throw new PersonError(`${place}: "${verb}" is no verb; there are ${[...Object.keys(VERBS), ...COMPOSITES].join(", ")}`);
  const { least, most, usage } = VERBS[verb];
  if (words.length < least || words.length > most || (verb === "echo" && words.at(-2) !== ">")) throw new PersonError(`${place}: ${verb} is written "${usage}"`);
  const request = verb === "ioctl" ? requestCalled(words[1]) : null;
  if (request === undefined) throw new PersonError(`${place}: "${words[1]}" is no request; virq vfio --list names them`);
  return { place, text, name: named?.[1] ?? null, verb, words, request };
}
