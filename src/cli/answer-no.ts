/** Thrown by a command that has said everything and whose answer is "no": exit status 1. */
export class AnswerNo extends Error {}
