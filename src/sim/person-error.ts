/**
 * The person at the keyboard asked for something wrong: one sentence that says where, what is wrong and what to do.
 * The command line prints it and exits with status 2.
 */
export class PersonError extends Error {}
