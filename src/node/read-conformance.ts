import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { type AnyVector, parseConformanceFile } from "../conform/vector.js";
import { PersonError } from "../sim/person-error.js";

/** Reads a conformance file, plain or compressed by gzip. @throws PersonError when it cannot be read */
export function readConformanceFile(path: string): AnyVector[] {
  return parseConformanceFile(textOf(path), path);
}

function textOf(path: string): string {
  try {
    const bytes = readFileSync(path);
    return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString("utf8");
  } catch (error) {
    throw new PersonError(`${path}: cannot be read (${error instanceof Error && "code" in error ? String(error.code) : "unknown error"})`);
  }
}
