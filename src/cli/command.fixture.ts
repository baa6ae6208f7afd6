import { vi } from "vitest";
import { main } from "./main.js";

/** One call of the command: what it printed, and its exit status. */
export async function virq(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const streams = [
    vi.spyOn(process.stdout, "write").mockImplementation((text) => ((out += String(text)), true)),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => ((err += String(text)), true)),
  ];
  const status = await main(["node", "virq", ...args]);
  for (const stream of streams) stream.mockRestore();
  return { status, out, err };
}
