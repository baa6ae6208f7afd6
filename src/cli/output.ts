/** A reader who goes away (`| head`) has what he wanted; output that cannot be written is said in one sentence. */
export function watchOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") {
      process.stderr.write(`virq: standard output: cannot be written (${error.code ?? error.message})\n`);
      process.exit(2);
    }
    process.exit();
  });
}
