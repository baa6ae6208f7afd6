import { PersonError } from "../../sim/person-error.js";
import type { Step } from "../../sim/step.js";
import type { Names, Request } from "./requests.js";
import type { Session } from "./session.js";
import { fieldNames, Structure } from "./structure.js";

/** Words of 32 bits behind a structure. */
const MOST_WORDS = 4096;

/** What a structure says afterwards. */
export interface Told {
  /** Of that, what the line has not given it: as a person reads it. */
  fields: Record<string, string>;
  /** Every number, by field. */
  values: ReadonlyMap<string, number>;
}

/** Requests with the arguments that a line gives them. */
export class RequestCall {
  /** @param address where the argument lies in the process */
  constructor(
    private readonly session: Session,
    private readonly address: number,
  ) {}

  /** The request's answer. @throws PersonError */
  *make({ name, number, argument }: Request, fd: number, words: readonly string[], told: Told): Step<number> {
    const { session, address } = this;
    const { process } = session;
    const expected = argument.kind === "none" || (argument.kind === "number" && words.length === 0) ? 0 : 1;
    if (argument.kind !== "structure" && words.length !== expected) throw new PersonError(`ioctl ${name}: it takes ${expected === 0 ? "nothing more" : `a ${argument.kind}`}`);
    switch (argument.kind) {
      case "none":
        return yield* process.ioctl(fd, number, 0);
      case "number":
        return yield* process.ioctl(fd, number, expected === 0 ? 0 : session.number(words[0]));
      case "value":
        return yield* process.ioctl(fd, number, argument.names[words[0]] ?? session.number(words[0]));
      case "descriptor":
        process.memory.setU32(address, session.number(words[0]) >>> 0);
        return yield* process.ioctl(fd, number, address);
      case "string":
        process.memory.copyOut(address, new TextEncoder().encode(`${words[0]}\0`));
        return yield* process.ioctl(fd, number, address);
      case "structure":
        return yield* this.withStructure(name, number, argument, fd, words, told);
    }
  }

  private *withStructure(name: string, number: number, { info, flags }: Extract<Request["argument"], { kind: "structure" }>, fd: number, words: readonly string[], told: Told): Step<number> {
    const { process } = this.session;
    const data = this.dataOf(name, words);
    const bytes = new Uint8Array(info.size + 4 * data.length);
    const view = new DataView(bytes.buffer);
    const structure = new Structure(info, view);
    structure.set("argsz", BigInt(bytes.length));
    structure.set("size", BigInt(info.name.startsWith("iommu_") ? info.size : 0));
    for (const word of words) this.setField(name, structure, word, flags, fieldNames(info));
    data.forEach((value, i) => view.setInt32(info.size + 4 * i, value | 0, true));
    const given = structure.texts(flags);
    process.memory.copyOut(this.address, bytes);
    const result = yield* process.ioctl(fd, number, this.address);
    process.memory.copyIn(this.address, bytes);
    for (const [field, text] of structure.texts(flags)) if (text !== given.get(field)) told.fields[field] = text;
    data.forEach((value, i) => {
      const now = view.getInt32(info.size + 4 * i, true);
      if (now !== (value | 0)) told.fields[`data[${i}]`] = String(now);
    });
    told.values = structure.numbers();
    return result;
  }

  private setField(request: string, structure: Structure, word: string, flags: Names, known: readonly string[]): void {
    const at = word.indexOf("=");
    const [field, text] = [word.slice(0, at), word.slice(at + 1)];
    if (field === "data") return;
    const isKnown = at > 0 && known.includes(field);
    if (!isKnown) throw new PersonError(`ioctl ${request}: "${word}" gives none of its fields ${known.join(", ")} a value; data=WORD,... is what follows the structure`);
    try {
      structure.set(field, this.valueOf(text, flags));
    } catch (error) {
      if (error instanceof RangeError) throw new PersonError(`ioctl ${request}: ${error.message}`);
      throw error;
    }
  }

  /** Numbers and names with | between them. */
  private valueOf(text: string, flags: Names): bigint {
    if (/^(0x[0-9a-f]+|\d+)$/i.test(text)) return BigInt(text);
    return text.split("|").reduce((sum, part) => sum | BigInt(flags[part] ?? this.session.number(part)), 0n);
  }

  private dataOf(name: string, words: readonly string[]): readonly number[] {
    const text = words.find((word) => word.startsWith("data="))?.slice("data=".length) ?? "";
    if (text === "") return [];
    const values = text.split(",").map((word) => this.session.number(word));
    if (values.length > MOST_WORDS) throw new PersonError(`ioctl ${name}: ${values.length} words of data are more than the ${MOST_WORDS} that a line has room for`);
    return values;
  }
}
