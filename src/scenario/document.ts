import { LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { PersonError } from "../sim/person-error.js";

/**
 * Reads a YAML document against a schema. What is wrong is said in one sentence with file, line and path.
 *
 * @param text the document
 * @param file its name, for messages
 * @throws PersonError
 */
export function readDocument<T>(schema: z.ZodType<T>, text: string, file: string): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [broken] = document.errors;
  if (broken) {
    const why = broken.code === "RESOURCE_EXHAUSTION" ? "its collections are nested too deeply: write it flatter" : `not YAML: ${broken.message}`;
    throw new PersonError(`${file}:${lines.linePos(broken.pos[0]).line}: ${why}`);
  }
  const result = schema.safeParse(plain(document, file));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue.path.map(String);
  const line = lines.linePos(rangeStart(document, path)).line;
  const where = path.length === 0 ? "the document" : path.join(".");
  throw new PersonError(`${file}:${Math.max(line, 1)}: ${where}: ${issue.message}`);
}

/** The document as plain values. Aliases that multiply without end are the one thing that only shows here. */
function plain(document: ReturnType<typeof parseDocument>, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    throw new PersonError(`${file}: its aliases cannot be resolved: ${error.message}`);
  }
}

/** Offset of the node at `path`, or of the nearest one above it. */
function rangeStart(document: ReturnType<typeof parseDocument>, path: readonly string[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const node: unknown = document.getIn(path.slice(0, depth), true);
    if (typeof node === "object" && node !== null && "range" in node && Array.isArray(node.range)) return Number(node.range[0]);
  }
  return 0;
}
