import { PersonError } from "../sim/person-error.js";
import { AnswerNo } from "./answer-no.js";
import { Interrupted } from "./interrupted.js";

/** What the commands that explore are, in the build that has interleavings. */
type Exploring = typeof import("./explore/commands.js");

/**
 * Runs a command of the stepped build: the command line itself is straight, and no class of one build is one of the
 * other's. A command answers true for "yes", "interrupted" for Ctrl-C; what it refuses is refused here.
 */
export async function inStepped(command: (commands: Exploring) => Promise<boolean | "interrupted">): Promise<void> {
  const commands = (await import(new URL("../../stepped/cli/explore/commands.js", import.meta.url).href)) as Exploring;
  let answer: boolean | "interrupted";
  try {
    answer = await command(commands);
  } catch (error) {
    throw error instanceof commands.PersonError ? new PersonError(error.message) : error;
  }
  if (answer === "interrupted") throw new Interrupted();
  if (!answer) throw new AnswerNo();
}
