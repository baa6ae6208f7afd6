import { Command, CommanderError } from "commander";
import { PersonError } from "../sim/person-error.js";
import { addBoardsCommand } from "./boards.js";
import { addCompareCommand } from "./compare.js";
import { AnswerNo } from "./answer-no.js";
import { addConformCommand } from "./conform.js";
import { addExploreCommand, addMuseumCommand, addReplayCommand } from "./explore.js";
import { INTERRUPTED, Interrupted } from "./interrupted.js";
import { addRunCommand } from "./run.js";
import { version } from "./version.js";
import { addVfioCommand } from "./vfio.js";

export { watchOutput } from "./output.js";

/** What commander says of a wrong option, as every other wrong request is told. */
function oneSentence(text: string): string {
  const sentence = text.replace(/^error: /, "").trim().replace(/\s*\n\s*/g, " ").replace(/is invalid\. (.)/, (_all, first: string) => `is invalid: ${first.toLowerCase()}`);
  return `virq: ${sentence.replace(/\.$/, "")}\n`;
}

/** Runs the command line; the result is the exit status: 0 done, 1 the answer is "no", 2 the request was wrong, 130 Ctrl-C. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command("virq").description("What an interrupt costs on every delivery path, and where it is lost").version(version()).exitOverride().configureOutput({ outputError: (text, write) => write(oneSentence(text)) });
  addBoardsCommand(program);
  addCompareCommand(program);
  addRunCommand(program);
  addExploreCommand(program);
  addReplayCommand(program);
  addMuseumCommand(program);
  addConformCommand(program);
  addVfioCommand(program);
  try {
    await program.parseAsync(argv as string[]);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof AnswerNo) return 1;
    if (error instanceof Interrupted) return INTERRUPTED;
    if (error instanceof PersonError) {
      process.stderr.write(`virq: ${error.message}\n`);
      return 2;
    }
    throw error;
  }
}
