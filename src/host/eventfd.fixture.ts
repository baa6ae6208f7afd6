import { expect } from "vitest";
import { current } from "../sim/context.js";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { EPOLLIN } from "../uapi/eventfd.js";
import { type EventfdContext, EventfdFile } from "./eventfd.js";
import { WaitEntry } from "./poll.js";
import { Process } from "./process.js";

export const BUFFER = 0x10000;
export const MAX = (1n << 64n) - 1n;

export function world() {
  const trace = new TraceBuffer();
  const sim = new Sim({ trace });
  const process = new Process(sim, "vmm");
  process.memory.map(BUFFER, 4096);
  return { sim, process, trace };
}

export function write(process: Process, fd: number, value: bigint, length = 8): number {
  process.memory.setU32(BUFFER, Number(value & 0xffff_ffffn));
  process.memory.setU32(BUFFER + 4, Number(value >> 32n));
  return run(process.write(fd, BUFFER, length));
}

/** The 8 bytes read, or the errno. */
export function read(process: Process, fd: number, length = 8): bigint | number {
  const result = run(process.read(fd, BUFFER, length));
  if (result < 0) return result;
  expect(result).toBe(8);
  return (BigInt(process.memory.getU32(BUFFER + 4)) << 32n) | BigInt(process.memory.getU32(BUFFER));
}

export function fileOf(process: Process, fd: number): EventfdFile {
  const file = process.file(fd);
  if (!(file instanceof EventfdFile)) throw new Error(`descriptor ${fd} is no eventfd`);
  return file;
}

export const poll = (process: Process, fd: number): number => run(fileOf(process, fd).poll(null));
export const contextOf = (process: Process, fd: number): EventfdContext => fileOf(process, fd).context;

export class Note extends WaitEntry {
  constructor(
    readonly name: string,
    readonly log: string[],
    readonly answer = 0,
  ) {
    super();
  }
  override *wake(mask: number): Step<number> {
    this.log.push(`${this.name}:${mask}`);
    return this.answer;
  }
}

/** Takes EPOLLIN like an irqfd. */
export class Taker extends WaitEntry {
  wakes = 0;
  constructor(readonly context: EventfdContext) {
    super();
  }
  override *wake(mask: number): Step<number> {
    if ((mask & EPOLLIN) === 0) return 0;
    yield* this.context.consume();
    this.wakes++;
    return 1;
  }
}

export class Relay extends WaitEntry {
  depth = -1;
  constructor(readonly to: EventfdContext) {
    super();
  }
  override *wake(_mask: number): Step<number> {
    this.depth = current().eventfdDepth;
    yield* this.to.signal();
    return 0;
  }
}
