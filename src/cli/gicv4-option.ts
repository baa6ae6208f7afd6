import { type Command, Option } from "commander";

/** `--gicv4`: what no tree says. */
export function addGicv4Option(command: Command): Command {
  return command.addOption(new Option("--gicv4 <version>", "take the board's GICv3 with ITSs for a GICv4, which no tree says").choices(["4.0", "4.1"]));
}
