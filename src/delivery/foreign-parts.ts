import { isX86, primaryGic } from "../board/assign.js";
import type { Board } from "../board/board.js";
import { isPower } from "../board/power.js";
import { type Workload, workloadSchema } from "../scenario/scenario.js";
import { PersonError } from "../sim/person-error.js";

type Part = keyof Workload;

/** Parts of a workload that guests of one architecture alone have, with the options that say them. */
const OWN: readonly { readonly whose: string; readonly parts: Partial<Record<Part, string>>; readonly has: (board: Board) => boolean }[] = [
  { whose: "x86", parts: { eoi: "--eoi", apicv: "--apicv" }, has: isX86 },
  { whose: "Power", parts: { realMode: "--real-mode" }, has: isPower },
  { whose: "Arm", parts: { eoiMode: "--eoi-mode", sliceNs: "--slice-ns", compat: "--compat" }, has: (board) => primaryGic(board) !== null },
];
const DEFAULTS: Workload = workloadSchema.parse({});

/** @throws PersonError where a part that was said is none of the board's guests': it would be run as if it meant something */
export function refuseForeign(board: Board, said: readonly Part[]): void {
  for (const { whose, parts, has } of OWN)
    for (const part of said) {
      const option = parts[part];
      if (option !== undefined && !has(board)) throw new PersonError(`${option} (${part} of a workload) is for guests of ${whose} boards, and ${board.name} is none: leave it away`);
    }
}

/** Who halts by which instruction or call. */
const HALTS: Partial<Record<Workload["wait"], { readonly whose: string; readonly has: (board: Board) => boolean }>> = {
  hlt: { whose: "x86", has: isX86 },
  wfi: { whose: "Arm", has: (board) => primaryGic(board) !== null },
  cede: { whose: "Power", has: isPower },
};

/** @throws PersonError where the guest would wait by what only others have */
export function refuseForeignWait(board: Board, { wait }: Workload): void {
  const halt = HALTS[wait];
  if (halt !== undefined && !halt.has(board)) throw new PersonError(`--wait ${wait} (wait of a workload) is for guests of ${halt.whose} boards, and ${board.name} is none: say spin, or what its guests have`);
}

/** The parts of a workload that are not what everybody has who says nothing. */
export function partsSaid(workload: Workload): readonly Part[] {
  return (Object.keys(DEFAULTS) as Part[]).filter((part) => workload[part] !== DEFAULTS[part]);
}
