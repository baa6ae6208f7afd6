/** Positive whole numbers of a command line; anything else ends it with the usage and status 2, so that no soak of nothing looks clean. */
export function countsOf(args, usage) {
  if (args.every((arg) => /^[1-9][0-9]*$/.test(arg))) return args.map(Number);
  console.error(`usage: ${usage}, each a whole number from 1 on`);
  process.exit(2);
}
