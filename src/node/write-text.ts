import { writeFileSync } from "node:fs";
import { PersonError } from "../sim/person-error.js";

/** Writes a text file. @throws PersonError when it cannot be written */
export function writeText(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new PersonError(`${path}: cannot be written (${error instanceof Error && "code" in error ? String(error.code) : "unknown error"})`);
  }
}
