/** Exit status of a command that Ctrl-C ended before it was done: 128 and the signal's number, as shells count. */
export const INTERRUPTED = 130;

/** Thrown by a command that was interrupted and has said how far it came. */
export class Interrupted extends Error {}
