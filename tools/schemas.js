// `node tools/schemas.js` (after a build): the JSON Schema of what each command prints or reads, from its zod schema, into /schema.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** File in /schema, built module, its export, whether the schema is of what is read or of what is printed, and what repeats becomes. */
const SCHEMAS = [
  ["boards.schema.json", "cli/boards-schema.js", "boardsOutput", "output"],
  ["compare.schema.json", "delivery/result.js", "comparisonSchema", "output"],
  ["compare-backend.schema.json", "delivery/backends/result.js", "backendComparisonSchema", "output"],
  ["scenario.schema.json", "scenario/scenario.js", "scenarioSchema", "input"],
  ["profile.schema.json", "scenario/profile.js", "profileSchema", "input"],
  ["conform.schema.json", "cli/conform-schema.js", "conformOutput", "output"],
  ["conform-diff.schema.json", "cli/conform-diff-schema.js", "conformDiffOutput", "output"],
  ["conform-known.schema.json", "cli/conform-known.js", "conformKnownOutput", "output"],
  ["explore.schema.json", "cli/explore/schema.js", "exploreOutput", "output"],
  ["explore-list.schema.json", "cli/explore/schema.js", "exploreListOutput", "output"],
  ["museum.schema.json", "cli/explore/schema.js", "museumOutput", "output"],
  ["replay.schema.json", "cli/explore/schema.js", "replayOutput", "output"],
  ["vfio.schema.json", "cli/vfio/schema.js", "vfioOutput", "output"],
  ["exploration.schema.json", "scenario/exploration.js", "explorationSchema", "input"],
  ["conformance-file.schema.json", "conform/vector.js", "conformanceFile", "output"],
  ["kvm-conformance-file.schema.json", "conform/x86/vector.js", "kvmConformanceFile", "output", "ref"],
];

/** The text of each published schema by its file name. */
export async function schemaTexts() {
  const texts = new Map();
  for (const [file, module, name, io, reused = "inline"] of SCHEMAS) {
    const schema = (await import(new URL(`../dist/straight/${module}`, import.meta.url).href))[name];
    texts.set(file, `${JSON.stringify(z.toJSONSchema(schema, { io, reused }), null, 2)}\n`);
  }
  return texts;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(join(root, "schema"), { recursive: true });
  for (const [file, text] of await schemaTexts()) writeFileSync(join(root, "schema", file), text);
}
