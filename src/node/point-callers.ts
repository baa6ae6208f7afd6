import { existsSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { fileURLToPath } from "node:url";
import { type Access, onPoint } from "../sim/access.js";
import { POINT_SITES } from "../sim/point-sites.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FRAMES = 40;

/** Places in the source by place in the built file; null where there is none. */
const known = new Map<string, string | null>();
const maps = new Map<string, SourceMap | null>();

/**
 * Runs `work` and tells of each access that it makes where the ground (a lock, a list, a work queue: src/sim) was reached
 * from: "src/kvm/irqfd.ts:41". Others stand where they are reached.
 */
export function withCallers<T>(work: (callerOf: (access: Access) => string) => T): T {
  const callers = new WeakMap<Access, string>();
  onPoint((access) => {
    if ((POINT_SITES[access.site] ?? "").startsWith("src/sim/")) callers.set(access, caller());
  });
  try {
    return work((access) => callers.get(access) ?? "");
  } finally {
    onPoint(null);
  }
}

/** The innermost frame above the ground. */
function caller(): string {
  const { prepareStackTrace, stackTraceLimit } = Error;
  Error.stackTraceLimit = FRAMES;
  Error.prepareStackTrace = (_, frames) => frames;
  try {
    const { stack } = new Error();
    if (!Array.isArray(stack)) return "";
    for (const frame of stack as readonly NodeJS.CallSite[]) {
      const place = placeOf(frame);
      if (place !== null && /^src\/explore\/\w[\w-]*\.ts/.test(place)) return ""; // the engine: nobody called
      if (place !== null && !place.startsWith("src/sim/") && !place.startsWith("src/node/")) return place;
    }
    return "";
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function placeOf(frame: NodeJS.CallSite): string | null {
  const url = frame.getFileName() ?? "";
  const file = url.startsWith("file:") ? fileURLToPath(url) : url;
  const [line, column] = [frame.getLineNumber(), frame.getColumnNumber()];
  if (!file.startsWith(ROOT) || line === null || column === null) return null;
  const key = `${file}:${line}:${column}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const origin = mapOf(file)?.findOrigin(line, column);
  const name = file.slice(ROOT.length).replace(/\.js$/, ".ts").replaceAll("\\", "/");
  const place = origin !== undefined && "lineNumber" in origin ? `src/${name}:${origin.lineNumber}` : null;
  known.set(key, place);
  return place;
}

function mapOf(file: string): SourceMap | null {
  const before = maps.get(file);
  if (before !== undefined) return before;
  const map = existsSync(`${file}.map`) ? new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8"))) : null;
  maps.set(file, map);
  return map;
}
