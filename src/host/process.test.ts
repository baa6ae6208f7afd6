import { describe, expect, it } from "vitest";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { EBADF, EINVAL, EMFILE, ENODEV, ENOTTY } from "../uapi/errno.js";
import { File } from "./file.js";
import { Process } from "./process.js";

class Probe extends File {
  readonly kind = "probe";
  constructor(
    readonly name: string,
    readonly log: string[],
  ) {
    super();
  }
  override *read(_process: Process, _address: number, length: number, offset: number | null): Step<number> {
    this.log.push(`read ${length} at ${offset}`);
    return length;
  }
  override *release(): Step<void> {
    this.log.push(`release ${this.name}`);
  }
}

/** Closes its own descriptor while a call on it is in flight. */
class SelfCloser extends Probe {
  fd = -1;
  override *ioctl(process: Process): Step<number> {
    yield* process.close(this.fd);
    this.log.push("still here");
    return 0;
  }
}

function world() {
  const trace = new TraceBuffer();
  const sim = new Sim({ trace });
  return { sim, trace, log: [] as string[], process: new Process(sim, "vmm") };
}

describe("descriptors", () => {
  it("are given lowest first and refused at the limit", () => {
    const { sim, log } = world();
    const process = new Process(sim, "small", { descriptorLimit: 2 });
    expect([process.install(new Probe("a", log)), process.install(new Probe("b", log))]).toEqual([0, 1]);
    expect(process.install(new Probe("c", log))).toBe(-EMFILE);
    expect(process.hasFreeDescriptor()).toBe(false);
    run(process.close(0));
    expect(process.dup(1)).toBe(0);
    expect(process.dup(7)).toBe(-EBADF);
  });

  it("keep a file open until the last copy in any process is closed", () => {
    const { sim, process, log } = world();
    const receiver = new Process(sim, "receiver");
    const fd = process.install(new Probe("a", log));
    const sent = process.sendFile(fd, receiver);
    expect(run(process.close(fd))).toBe(0);
    expect(run(process.close(fd))).toBe(-EBADF);
    expect(log).toEqual([]);
    run(receiver.close(sent));
    expect(log).toEqual(["release a"]);
  });

  it("close in ascending order at exit", () => {
    const { process, log } = world();
    for (const name of ["a", "b", "c"]) process.install(new Probe(name, log));
    run(process.close(1));
    run(process.exit());
    expect(log).toEqual(["release b", "release a", "release c"]);
  });

  it("are held by a call in flight", () => {
    const { process, log } = world();
    const file = new SelfCloser("a", log);
    file.fd = process.install(file);
    expect(run(process.ioctl(file.fd, 1, 0))).toBe(0);
    expect(log).toEqual(["still here", "release a"]);
  });
});

describe("system calls", () => {
  it("give EBADF without a file and the file's own refusal with one", () => {
    const { process, log, trace } = world();
    const fd = process.install(new Probe("a", log));
    expect(run(process.ioctl(9, 1, 0))).toBe(-EBADF);
    expect(run(process.read(-1, 0, 1))).toBe(-EBADF);
    expect(run(process.write(fd, 0, 1))).toBe(-EINVAL);
    expect(run(process.mmap(fd, 4096, 0))).toBe(-ENODEV);
    expect(run(process.ioctl(fd, 77, 0))).toBe(-ENOTTY);
    expect(trace.lines("sys_ioctl")).toEqual([`sys_ioctl(${fd},77,${-ENOTTY})`]);
  });

  it("pass a position on, and refuse a negative one", () => {
    const { process, log } = world();
    const fd = process.install(new Probe("a", log));
    expect(run(process.read(fd, 0, 3))).toBe(3);
    expect(run(process.read(fd, 0, 4, 16))).toBe(4);
    expect(run(process.read(fd, 0, 4, -1))).toBe(-EINVAL);
    expect(log).toEqual(["read 3 at null", "read 4 at 16"]);
  });
});
