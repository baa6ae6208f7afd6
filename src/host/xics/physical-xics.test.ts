import { describe, expect, it } from "vitest";
import { Sim } from "../../sim/sim.js";
import { run } from "../../sim/step.js";
import { Ipi } from "../cpu.js";
import { PhysicalXics } from "./physical-xics.js";
import { Psi } from "./psi.js";
import { XicsHost } from "./xics-host.js";

const POLL = 0x00;
const XIRR = 0x04;
const MFRR = 0x0c;

const page = (xics: PhysicalXics, cpu = 0) => ({
  read: (offset: number, size: 1 | 4) => `0x${run(xics.read(cpu, offset, size)).toString(16)}`,
  write: (offset: number, size: 1 | 4, value: number) => run(xics.write(cpu, offset, size, value)),
});

describe("a thread's page (xics.md 17)", () => {
  it("xics.md 64: load of XIRR accepts, store ends, MFRR that was not reset is another IPI", () => {
    const { read, write } = page(new PhysicalXics(1));
    expect(read(XIRR, 1)).toBe("0x0");
    write(XIRR, 1, 0xff);
    write(MFRR, 1, 4);
    expect([read(POLL, 4), read(XIRR, 4), read(XIRR, 1)]).toEqual(["0xff000002", "0xff000002", "0x4"]);
    write(XIRR, 4, 0xff000002);
    expect(read(POLL, 4)).toBe("0xff000002");
  });

  it("keeps LINKA to LINKC, reads ones where nothing is, ignores stores of the wrong width", () => {
    const { read, write } = page(new PhysicalXics(1));
    write(0x10, 4, 0x12345678);
    write(0x18, 4, 0x9abcdef0 | 0);
    write(POLL, 4, 1);
    write(MFRR, 4, 4);
    expect([read(0x10, 4), read(0x14, 4), read(0x18, 4), read(0x08, 4), read(0x10, 1), read(MFRR, 4), read(MFRR, 1), read(POLL, 4)]).toEqual([
      "0x12345678",
      "0x0",
      "0x9abcdef0",
      "0xffffffff",
      "0xff",
      "0xffffffff",
      "0xff",
      "0x0",
    ]);
  });

  it("a source whose server is no thread waits until one takes it", () => {
    const xics = new PhysicalXics(1);
    const psi = new Psi(xics, 0x10);
    page(xics).write(XIRR, 1, 0xff);
    run(psi.writeXivr(0, 5, 3));
    run(psi.setLine(0, true));
    run(psi.writeXivr(0, 0, 3));
    expect(page(xics).read(XIRR, 4)).toBe("0xff000010");
  });
});

describe("a POWER host's CPUs", () => {
  it("all kinds of IPI share the one request: two before it is taken are one interrupt, and both are seen", () => {
    const sim = new Sim({ cpus: 2 });
    const host = new XicsHost(sim, new PhysicalXics(2));
    run(host.cpus[0].sendIpi(1, Ipi.RESCHEDULE));
    run(host.cpus[0].sendIpi(1, Ipi.FUNCTION_CALL));
    run(sim.settle());
    expect([host.cpus[1].interrupts, host.cpus[1].ipisTaken[Ipi.RESCHEDULE], host.cpus[1].ipisTaken[Ipi.FUNCTION_CALL]]).toEqual([1, 1, 1]);
    run(host.cpus[0].sendIpi(1, Ipi.RESCHEDULE));
    run(sim.settle());
    expect(host.cpus[1].interrupts).toBe(2);
  });

  it("a source that nobody expects is ended, and comes again while its line is high", () => {
    const sim = new Sim({ cpus: 1 });
    const xics = new PhysicalXics(1);
    const psi = new Psi(xics, 0x10);
    const host = new XicsHost(sim, xics);
    run(psi.writeXivr(2, 0, 5));
    run(psi.setLine(2, true));
    run(psi.setLine(2, false));
    run(sim.settle());
    expect([host.cpus[0].interrupts, page(xics).read(POLL, 4)]).toEqual([1, "0xff000000"]);
  });
});
