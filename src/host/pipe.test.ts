import { describe, expect, it } from "vitest";
import { Sim } from "../sim/sim.js";
import { run } from "../sim/step.js";
import { EAGAIN, EINVAL, EMFILE, EPIPE, ESPIPE } from "../uapi/errno.js";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../uapi/eventfd.js";
import { pipe2 } from "./pipe.js";
import { Process } from "./process.js";
import { Thread } from "./thread.fixture.js";

const BUFFER = 0x10000;
const NONBLOCK = 0x800;

function world(flags: number) {
  const sim = new Sim();
  const process = new Process(sim, "vmm");
  process.memory.map(BUFFER, 0x20000);
  const ends = pipe2(process, flags);
  if (typeof ends === "number") throw new Error("no pipe");
  const mask = (fd: number): number => {
    const file = process.file(fd);
    if (file === null) throw new Error("closed");
    return run(file.poll(null));
  };
  return { sim, process, reader: ends[0], writer: ends[1], mask };
}

describe("a pipe", () => {
  it("carries bytes in order and says when it is ready", () => {
    const { process, reader, writer, mask } = world(NONBLOCK);
    expect(run(process.read(reader, BUFFER, 4))).toBe(-EAGAIN);
    expect([mask(reader), mask(writer)]).toEqual([0, EPOLLOUT]);
    process.memory.setU32(BUFFER, 0x04030201);
    expect(run(process.write(writer, BUFFER, 4))).toBe(4);
    expect(mask(reader)).toBe(EPOLLIN);
    expect(run(process.read(reader, BUFFER + 8, 3))).toBe(3);
    expect(run(process.read(reader, BUFFER + 11, 3))).toBe(1);
    expect(process.memory.getU32(BUFFER + 8)).toBe(0x04030201);
  });

  it("is full at 64 KiB and takes a short write whole or not at all", () => {
    const { process, reader, writer, mask } = world(NONBLOCK);
    expect(run(process.write(writer, BUFFER, 65_536 - 16))).toBe(65_536 - 16);
    expect(run(process.write(writer, BUFFER, 17))).toBe(-EAGAIN);
    expect(mask(writer)).toBe(0);
    expect(run(process.write(writer, BUFFER, 8000))).toBe(16);
    expect(run(process.read(reader, BUFFER, 65_536))).toBe(65_536);
  });

  it("ends for the reader without a writer and breaks for the writer without a reader", () => {
    const { process, reader, writer, mask } = world(0);
    run(process.close(writer));
    expect(mask(reader)).toBe(EPOLLHUP);
    expect(run(process.read(reader, BUFFER, 4))).toBe(0);
    const other = world(0);
    run(other.process.close(other.reader));
    expect(other.mask(other.writer)).toBe(EPOLLOUT | EPOLLERR);
    expect(run(other.process.write(other.writer, BUFFER, 4))).toBe(-EPIPE);
  });

  it("blocks a reader until bytes come", () => {
    const { sim, process, reader, writer } = world(0);
    sim.wake(
      new Thread("writer", function* () {
        yield* process.write(writer, BUFFER, 5);
      }),
      10,
    );
    expect(run(process.read(reader, BUFFER + 64, 8))).toBe(5);
  });

  it("has no position, refuses unknown flags and needs two descriptors", () => {
    const { process, reader, writer } = world(0);
    expect(run(process.read(reader, BUFFER, 1, 0))).toBe(-ESPIPE);
    expect(run(process.write(writer, BUFFER, 1, 0))).toBe(-ESPIPE);
    expect(pipe2(process, 1)).toBe(-EINVAL);
    const small = new Process(new Sim(), "small", { descriptorLimit: 1 });
    expect(pipe2(small)).toBe(-EMFILE);
    expect(small.freeDescriptors()).toBe(1);
  });
});
