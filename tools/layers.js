// The folders of src/ from the ground up: a folder imports only itself and folders before it (design, section 3).
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

export const LAYERS = [
  "uapi",
  "sim",
  "arch",
  "board",
  "device",
  "host",
  "vfio",
  "irqchip",
  "kvm",
  "guest",
  "vmm",
  "trace",
  "scenario",
  "delivery",
  "conform",
  "snapshot",
  "explore",
  "museum",
  "node",
  "cli",
];

export const sources = (root) =>
  readdirSync(join(root, "src"), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".ts"))
    .sort();

export const isTest = (name) => /\.(test|case|fixture|soak)\.ts$/.test(name);

/** Relative imports of a file, as paths below src/. */
export function importsOf(root, name) {
  const text = readFileSync(join(root, "src", name), "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((m) => normalize(join(dirname(name), m[1])).replace(/\.js$/, ".ts"));
}

/** One sentence for each import that points up, to nowhere, or past its layer's rights. */
export function layeringFaults(root) {
  const faults = [];
  for (const name of sources(root)) {
    const folder = name.split("/")[0];
    if (!name.includes("/")) {
      const needsNode = importsOf(root, name).filter((target) => /^(node|cli)\//.test(target));
      faults.push(...needsNode.map((target) => `src/${name} is for pages too, and imports ${target}`));
      continue;
    }
    const level = LAYERS.indexOf(folder);
    if (level < 0) faults.push(`src/${name}: the folder ${folder} is not in the list of layers (tools/layers.js)`);
    for (const target of importsOf(root, name)) {
      if (!existsSync(join(root, "src", target))) faults.push(`src/${name} imports ${target}, which does not exist`);
      const below = target.split("/")[0];
      if (!target.includes("/") || isTest(name)) continue;
      if (LAYERS.indexOf(below) > level) faults.push(`src/${name} (${folder}) imports up into ${below}: ${target}`);
    }
  }
  return faults;
}

const ENTRIES = ["index.ts", "node/index.ts", "cli/main.ts"];

/** Files of src/ that no entry reaches: dead, or kept alive by their own tests alone. */
export function deadFiles(root) {
  const all = sources(root);
  const reached = new Set();
  const queue = [...ENTRIES];
  while (queue.length > 0) {
    const name = queue.pop();
    if (reached.has(name) || !existsSync(join(root, "src", name))) continue;
    reached.add(name);
    queue.push(...importsOf(root, name));
  }
  return all.filter((name) => !isTest(name) && !reached.has(name));
}
