import { isFile } from "../../node/explore/protocol-source.js";
import type { Task } from "./explore.js";

/** What `virq replay` needs behind a schedule that is none of a built-in protocol with one rule off; each word after a space. */
export function replayTail({ source: { subject, module, properties }, off, search: { steps } }: Task): string {
  const words = isFile(subject) || module !== null ? [subject] : [];
  if (module !== null) words.push("--module", module);
  if (off.length > 1) words.push("--without", off.join(","));
  if (steps !== undefined) words.push("--steps", String(steps));
  for (const property of properties) words.push("--property", property);
  return words.map((word) => ` ${/^[\w./:@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`}`).join("");
}
