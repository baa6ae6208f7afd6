import { readFileSync } from "node:fs";
import { PersonError } from "../sim/person-error.js";

/** A text file's contents. @throws PersonError when it cannot be read */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new PersonError(`${path}: cannot be read (${error instanceof Error && "code" in error ? String(error.code) : "unknown error"})`);
  }
}
