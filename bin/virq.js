#!/usr/bin/env node
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const built = new URL("../dist/straight/cli/main.js", import.meta.url);
if (!existsSync(fileURLToPath(built)) && existsSync(new URL("../tools/build.js", import.meta.url))) await import("../tools/build.js");
const { main, watchOutput } = await import(built.href);
watchOutput();
process.exitCode = await main(process.argv);
