import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RunError } from "../../conform/papr-machine.js";
import { run } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOENT } from "../../uapi/errno.js";
import { H_EOI, H_IPI, H_IPOLL, H_PARAMETER } from "./constants.js";
import { inspectXics } from "./inspection.js";
import { Papr } from "./papr.fixture.js";
import { soakXics } from "./xics.soak.js";

const H_RTAS = 0xf000;
const TWO32 = 0x1_0000_0000;
const TOKEN = 0x2000;
const CALLS = 1_500;
const PATIENCE = 120_000;

const stateOf = (p: Papr): string => JSON.stringify(inspectXics(p.m.xics, true));

/** The error of KVM_RUN when the guest calls RTAS with this block at this address. */
function rtasError(p: Papr, address: number, words: readonly number[] = []): number | null {
  const { memory } = p.m.process;
  for (const [i, word] of words.entries()) {
    const swapped = ((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
    memory.setU32(0x4000_0000 + address + 4 * i, swapped >>> 0);
  }
  try {
    run(p.m.hypercall(0, H_RTAS, [address]));
    return 0;
  } catch (error) {
    if (error instanceof RunError) return error.result;
    throw error;
  }
}

describe("a guest's bad arguments", () => {
  it("RTAS with an argument block that is no memory ends KVM_RUN with EFAULT, and changes nothing", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    const before = stateOf(p);
    expect([rtasError(p, 0x10_0000), rtasError(p, 0xfff8)]).toEqual([-EFAULT, -EFAULT]);
    expect(stateOf(p)).toBe(before);
  });

  it("RTAS with 16 arguments or more ends KVM_RUN with EINVAL", () => {
    for (const nargs of [16, 17, 0x7fff_ffff, 0xffff_ffff]) expect(rtasError(Papr.base(), 0x1000, [TOKEN, nargs, 1])).toBe(-EINVAL);
  });

  it("RTAS with a token that nobody defined is user space's, also in a VM without a XICS; without tokens everything is", () => {
    const p = Papr.base();
    expect(run(p.m.rtas("", [1, 2, 3], 1, 0x3000))).toBeNull();
    const bare = new Papr({ hasXics: false });
    expect([bare.rtas("ibm,set-xive", [0x1001, 0, 5]), run(bare.m.rtas("", [], 1, 0x3000))]).toEqual([[-3], null]);
    for (const name of ["ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on"]) run(p.m.defineToken(name, 0));
    expect(rtasError(p, 0x10_0000)).toBe(0); // nobody looks at the block
  });

  it("every count but the right one gives -3 and nothing else", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    const before = stateOf(p);
    for (const name of ["ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on"])
      for (let nargs = 0; nargs < 6; nargs++)
        for (let nret = 1; nret < 5; nret++) {
          const right = { "ibm,set-xive": [3, 1], "ibm,get-xive": [1, 3] }[name] ?? [1, 1];
          if (nargs === right[0] && nret === right[1]) continue;
          expect(p.rtas(name, [0x1001, 0, 7, 1, 2, 3].slice(0, nargs), nret)?.[0]).toBe(-3);
        }
    expect(stateOf(p)).toBe(before);
  });

  it("hypercalls of a vCPU without a controller are user space's", () => {
    const p = new Papr({ hasXics: false });
    for (const number of [0x64, 0x68, 0x6c, 0x70, 0x74, 0x2fc]) expect(run(p.m.hypercall(0, number, [0, 0])).isUserSpace).toBe(true);
  });

  it("a server above 32 bits is nobody by its own number, and somebody by the low half", () => {
    const p = Papr.base();
    expect(run(p.m.hypercall(0, H_IPI, [TWO32 + 1, 4])).status).toBe(0);
    expect(p.icp(1)).toBe("ff,04,04,000002,0,1");
    expect(run(p.m.hypercall(0, H_IPOLL, [TWO32 + 9])).status).toBe(H_PARAMETER);
  });

  it("bits above 31 of an XIRR that is ended mean nothing", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    p.line(0x1001);
    p.xirr();
    expect([run(p.m.hypercall(0, H_EOI, [5 * TWO32 + 0xff001001])).status, p.icp()]).toEqual([0, "ff,ff,ff,000000,0,0"]);
  });

  it("any registers at all: a status of the specification, and the invariants hold", () => {
    const value = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 2, 0xff, 0x100, TWO32 - 1, TWO32, 2 ** 52, 0xff001001, 0x05000002));
    const number = fc.constantFrom(0x64, 0x68, 0x6c, 0x70, 0x74, 0x2fc);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1), number, value, value), { maxLength: 25 }), (calls) => {
        const p = Papr.base();
        p.src(0x1001, 5);
        p.src(0x1002, 3, { server: 1, lsi: true });
        for (const [cpu, call, r4, r5] of calls) {
          p.line(0x1001);
          p.line(0x1002, calls.length & 1);
          expect([0, H_PARAMETER]).toContain(run(p.m.hypercall(cpu, call, [r4, r5])).status);
          for (const { xisr, pendingPriority, cppr, out } of inspectXics(p.m.xics).icps) {
            expect(xisr === 0).toBe(pendingPriority === 0xff);
            expect(out).toBe(xisr !== 0 && pendingPriority < cppr);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("a VMM's bad arguments", () => {
  it("a source outside of 16 to 1,048,575 makes no block", () => {
    const p = Papr.base();
    for (const irq of [0, 1, 15, 0x10_0000, 0xffff_ffff, TWO32 + 16, 2 ** 52]) expect(p.src(irq, 5)).toBe(-ENOENT);
    expect(inspectXics(p.m.xics, true).sources).toEqual([]);
  });

  it("a read looks at the low half of the number alone", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    expect([p.word(TWO32 + 0x1001), p.word(15)]).toEqual(["0x0000000500000000", -ENOENT]);
  });

  it("a destination that nobody is leaves the source as it was", () => {
    const p = Papr.base();
    p.src(0x1001, 5, { lsi: true });
    p.line(0x1001);
    const before = stateOf(p);
    expect([p.src(0x1001, 5, { server: 2 }), stateOf(p)]).toEqual([-EINVAL, before]);
  });

  it("any word of a server is taken as it is consistent, or refused with nothing changed", () => {
    fc.assert(
      fc.property(fc.nat(0xff), fc.constantFrom(0, 2, 0x1001, 0x1002, 0x5000, 0xffffff), fc.nat(0xff), fc.nat(0xff), fc.nat(0xffff), (cppr, xisr, mfrr, pending, low) => {
        const p = Papr.base();
        p.src(0x1001, 0xff);
        const before = stateOf(p);
        const result = p.setIcp(((cppr << 24) | xisr) >>> 0, ((mfrr << 24) | (pending << 16) | low) >>> 0);
        const isInBlock = xisr === 0x1001 || xisr === 0x1002;
        const isConsistent = xisr === 0 ? pending === 0xff : xisr === 2 ? pending === mfrr && pending < cppr : isInBlock && pending < mfrr && pending < cppr;
        expect(result).toBe(isConsistent ? 0 : -EINVAL);
        if (!isConsistent) expect(stateOf(p)).toBe(before);
      }),
      { numRuns: 150 },
    );
  });
});

describe("a hostile guest and a hostile VMM (`node tools/soak/xics.js` has 300,000 calls)", () => {
  it("every call answers what is specified, and what is refused changes nothing", () => {
    const { calls, refusals, faults } = soakXics(CALLS, 7);
    expect([calls, faults]).toEqual([CALLS, []]);
    // Each way there is to be refused was tried.
    const ways = ["H_0x64", "H_0x6c", "H_0x70", "ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on", "SET", "SET_SOURCES", "GET_SOURCES", "ICP", "LINE", "ATTR"];
    expect(ways.filter((way) => ![...refusals.keys()].some((name) => name.startsWith(`${way} `)))).toEqual([]);
  }, PATIENCE);
});
