import { Bytes, S32, S8, type StructInfo, U16, U32, U64, U8 } from "../../uapi/struct.js";
import type { Names } from "./requests.js";

type Small = U8 | S8 | U16 | U32 | S32;
type Member = Small | U64;

const isSmall = (field: unknown): field is Small => [U8, S8, U16, U32, S32].some((kind) => field instanceof kind);

/** Flat members of a structure by the names of the header. */
function membersOf(info: StructInfo): ReadonlyMap<string, Member> {
  const members = new Map<string, Member>();
  for (const [key, field] of Object.entries(info)) if (!(field instanceof Bytes) && (isSmall(field) || field instanceof U64)) members.set(key.replace(/_$/, ""), field);
  return members;
}

export const fieldNames = (info: StructInfo): readonly string[] => [...membersOf(info).keys()];

/** A structure in the argument of a request. */
export class Structure {
  private readonly members: ReadonlyMap<string, Member>;

  constructor(
    private readonly info: StructInfo,
    private readonly view: DataView,
  ) {
    this.members = membersOf(info);
  }

  /** False where there is no such field. @throws RangeError for what does not fit it */
  set(name: string, value: bigint): boolean {
    const field = this.members.get(name);
    if (field instanceof U64) field.setBig(this.view, value);
    else field?.set(this.view, Number(value));
    return field !== undefined;
  }

  /** What each field says: numbers, or the flags that it is made of. */
  texts(flags: Names): ReadonlyMap<string, string> {
    return new Map([...this.members].map(([name, field]) => [name, name === "flags" ? flagsText(field, this.view, flags) : numberText(field, this.view)]));
  }

  /** What each field says, as far as a number holds it. */
  numbers(): ReadonlyMap<string, number> {
    return new Map([...this.members].map(([name, field]) => [name, Number(valueOf(field, this.view))]));
  }

  get size(): number {
    return this.info.size;
  }
}

const valueOf = (field: Member, view: DataView): bigint => (field instanceof U64 ? field.getBig(view) : BigInt(field.get(view)));

function numberText(field: Member, view: DataView): string {
  const value = valueOf(field, view);
  return value < 4096n ? String(value) : `0x${value.toString(16)}`;
}

function flagsText(field: Member, view: DataView, flags: Names): string {
  let rest = Number(valueOf(field, view));
  const names: string[] = [];
  for (const [name, bit] of Object.entries(flags)) {
    if (bit === 0 || (rest & bit) !== bit || (bit & (bit - 1)) !== 0) continue;
    names.push(name);
    rest &= ~bit;
  }
  if (rest !== 0 || names.length === 0) names.push(String(rest >>> 0));
  return names.join("|");
}
