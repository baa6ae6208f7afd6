import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENXIO, EPERM } from "../../uapi/errno.js";
import { KVM_HAS_DEVICE_ATTR } from "../../uapi/kvm.js";
import { KVM_INTERRUPT_SET_LEVEL as SET_LEVEL, KVM_INTERRUPT_UNSET as UNSET } from "../../uapi/powerpc.js";
import { fresh, lsi, Papr, presented } from "./papr.fixture.js";

const BAD_POINTER = 0x10;

describe("xics.md 23: words, save and restore", () => {
  it("34: what a source's word may not say", () => {
    const p = Papr.base();
    expect([p.src(15, 5), p.src(0x10_0000, 5), p.src(0x1001, 5, { server: 9 }), p.src(0x1001, 5, { server: 9, masked: true })]).toEqual([-ENOENT, -ENOENT, -EINVAL, -EINVAL]);
    expect([p.src(0x1001, 0xff, { server: 9 }), p.word(0x1001)]).toEqual([0, "0x000002ff00000009"]);
  });

  it("35: a word that cannot be read leaves its block", () => {
    const p = Papr.base();
    expect(run(p.m.setSource(0x5000, 5, 0, BAD_POINTER))).toBe(-EFAULT);
    expect([p.word(0x5000), p.getXive(0x5000)]).toEqual([-ENOENT, [0, 0, 0xff]]);
  });

  it("39, 40, 41: fields of a server's word that contradict each other", () => {
    const p = Papr.base();
    p.src(0x1005, 0xff);
    expect(p.setIcp(0xff000000, 0xff050000)).toBe(-EINVAL);
    expect([p.setIcp(0xff000002, 0xff040000), p.setIcp(0xff000002, 0x04040000), p.ee(), p.setIcp(0x04000002, 0x04040000)]).toEqual([-EINVAL, 0, true, -EINVAL]);
    expect([p.setIcp(0xff001001, 0x05050000), p.setIcp(0xff001001, 0x06050000)]).toEqual([-EINVAL, 0]);
    expect([p.setIcp(0x05001001, 0xff050000), p.setIcp(0xff009000, 0x06050000)]).toEqual([-EINVAL, -EINVAL]);
  });

  it("44: a source restored before its server shows at the next EOI", () => {
    const p = fresh();
    p.src(0x1001, 5, { pending: true });
    expect([p.setIcp(0xff000000, 0xffff0000), p.icp()]).toEqual([0, "ff,ff,ff,000000,1,0"]);
    p.eoi(0xff000002);
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });

  it("45: and at once where servers come first", () => {
    const p = fresh();
    p.src(0x1001, 0xff);
    p.setIcp(0xff000000, 0xffff0000);
    p.src(0x1001, 5, { pending: true });
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });

  it("46: a message in an XISR with another queued is neither lost nor doubled", () => {
    const from = presented();
    from.line(0x1001);
    expect([from.word(0x1001), from.icpWord()]).toEqual(["0x0000180500000000", "0xff001001ff050000"]);
    const to = new Papr();
    to.src(0x1001, 0xff);
    expect([to.setIcp(0xff001001, 0xff050000), to.set(0x1001, 0x1805, 0)]).toEqual([0, 0]);
    expect([to.icp(), to.pq(0x1001), to.xirr(), to.eoi(0xff001001)]).toEqual(["ff,ff,05,001001,0,1", "PQ", "0xff001001", 0]);
    expect([to.icp(), to.pq(0x1001)]).toEqual(["ff,ff,05,001001,0,1", "P-"]);
  });

  it("47: a level in an XISR is presented once more", () => {
    const from = lsi(0);
    from.line(0x1010, SET_LEVEL);
    expect([from.word(0x1010), from.icpWord()]).toEqual(["0x00000d0500000000", "0xff001010ff050000"]);
    const to = new Papr();
    to.src(0x1010, 0xff, { lsi: true });
    to.setIcp(0xff001010, 0xff050000);
    to.set(0x1010, 0x0d05, 0);
    expect([to.icp(), to.marks(0x1010)]).toEqual(["ff,ff,05,001010,1,1", "rs"]);
    expect([to.xirr(), to.line(0x1010, UNSET), to.eoi(0xff001010), to.icp()]).toEqual(["0xff001010", 0, 0, "ff,ff,05,001010,0,1"]);
  });

  it("48: an EOI without an acceptance moves Q to P", () => {
    const p = Papr.base();
    p.src(0x1001, 5, { presented: true, queued: true });
    expect([p.eoi(0xff001001), p.icp(), p.pq(0x1001)]).toEqual([0, "ff,ff,05,001001,0,1", "P-"]);
  });

  it("49: Q alone is no service", () => {
    const p = Papr.base();
    p.src(0x1001, 5, { queued: true });
    p.line(0x1001);
    expect([p.icp(), p.pq(0x1001)]).toEqual(["ff,ff,05,001001,0,1", "P-"]);
  });

  it("50: a scan goes by numbers, not by priorities", () => {
    const p = Papr.base();
    p.cppr(0, 0);
    p.cppr(0, 1);
    p.src(0x1001, 5);
    p.src(0x2001, 4);
    p.line(0x1001);
    p.line(0x2001);
    expect(p.rm()).toEqual([4, 8]);
    p.cppr(0xff);
    expect([p.icp(), p.rm(), p.marks(0x1001)]).toEqual(["ff,ff,04,002001,1,1", [4], "rs"]);
  });
});

describe("xics.md 23: the device", () => {
  it("55: KVM_IRQ_LINE hides what KVM_IRQ_LINE_STATUS shows", () => {
    const p = Papr.base();
    expect(p.line(0x7777)).toBe(-EINVAL); // the status; the request itself gave 0
    expect(p.lines("xics_drop")).toEqual(["xics_drop(30583,no block)"]);
  });

  it("58: a vCPU has one controller, a server one vCPU; the file must be a XICS", () => {
    const p = Papr.base();
    const connect = (cpu: number, fd: number, server: number, flags = 0): number => run(p.m.connect(cpu, fd, server, flags));
    run(p.m.addVcpu(7));
    expect([connect(0, p.m.device, 3), connect(2, p.m.device, 0), connect(2, p.m.vmFd, 3), connect(2, 99, 3), connect(2, p.m.device, 3, 1)]).toEqual([-EBUSY, -EEXIST, -EPERM, -EBADF, -EINVAL]);
    expect(connect(2, p.m.device, 0x8000_0000)).toBe(0);
  });

  it("59: one XICS at a time; closed, it is gone with its servers, and may be made again", () => {
    const p = presented();
    expect(run(p.m.createXics())).toBe(-EEXIST);
    run(p.m.close(p.m.device));
    expect([p.icpWord(), p.line(0x1001)]).toEqual([-ENXIO, -ENXIO]);
    p.m.device = run(p.m.createXics());
    expect([p.m.device > 0, p.word(0x1001), p.icpWord()]).toEqual([true, -ENOENT, -ENXIO]);
    expect([run(p.m.connect(0, p.m.device, 4)), p.icpWord()]).toEqual([0, "0x00000000ffff0000"]);
  });

  it("63: which attributes there are", () => {
    const p = Papr.base();
    const has = (group: number, attr: number): number => run(p.m.attr(KVM_HAS_DEVICE_ATTR, group, attr, 0));
    expect([has(1, 15), has(1, 16), has(1, 0xf_ffff), has(1, 0x10_0000), has(1, 2 ** 32 + 16), has(2, 1)]).toEqual([-ENXIO, 0, 0, -ENXIO, -ENXIO, -ENXIO]);
  });
});
