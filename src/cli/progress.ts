const SILENT_MS = 1000;
const EVERY_MS = 200;

/** One line on the terminal's error stream, once a command has taken longer than a second. */
export class Progress {
  private readonly began = performance.now();
  private shownAt = 0;

  show(text: string): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.began < SILENT_MS || now - this.shownAt < EVERY_MS) return;
    this.shownAt = now;
    process.stderr.write(`\r\u001b[K${text}`);
  }

  clear(): void {
    if (this.shownAt > 0) process.stderr.write("\r\u001b[K");
  }
}
