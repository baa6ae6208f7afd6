import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { H_XIRR } from "./constants.js";
import { Papr } from "./papr.fixture.js";

const S = 0x1001;
const LSI = 0x1010;
const H_CEDE = 0xe0;

/** Each effect of a call by itself, where the call has several. */
describe("KVM_SET_ONE_REG of a server (xics.md 12.2)", () => {
  it("takes the external interrupt away with what was presented", () => {
    const p = Papr.base();
    p.src(S, 5);
    p.line(S);
    expect([p.ee(), p.setIcp(0xff00_0000, 0xffff_0000), p.ee(), p.icp()]).toEqual([true, 0, false, "ff,ff,ff,000000,0,0"]);
  });

  it("with a less favoured MFRR scans at once for what failed", () => {
    const p = Papr.base();
    p.src(S, 5);
    p.cppr(4);
    p.ipi(0, 4);
    p.line(S);
    expect(p.icp()).toBe("04,04,ff,000000,1,0");
    expect([p.setIcp(0xff00_0000, 0xffff_0000), p.icp(), p.ee()]).toEqual([0, "ff,ff,05,001001,0,1", true]);
  });
});

describe("a source's word over a source that failed (xics.md 5.3 step 6, R19)", () => {
  it("takes its mark away: it is not presented by the next scan", () => {
    const p = new Papr({ servers: [0] });
    p.src(S, 5);
    p.line(S);
    expect(p.source(S)?.resend).toBe(true);
    p.src(S, 5);
    expect([p.source(S)?.resend, p.cppr(0xff), p.icp()]).toEqual([false, 0, "ff,ff,ff,000000,0,0"]);
  });
});

describe("the real-mode half (xics.md 14)", () => {
  it("H_CPPR of the priority that there is does nothing: what failed waits on", () => {
    const p = Papr.base({ realMode: true });
    p.cppr(5);
    p.src(S, 5);
    p.line(S);
    p.trace.clear();
    expect([p.cppr(5), p.icp(), p.lines("xics_icp")]).toEqual([0, "05,ff,ff,000000,1,0", []]);
  });

  it("what a hypercall left to virtual mode is that call's alone: the next one without a real-mode half is made", () => {
    const p = Papr.base({ realMode: true });
    p.src(LSI, 5, { lsi: true });
    const [trigger, resample] = [p.m.eventfd(), p.m.eventfd()];
    run(p.m.irqfd(trigger, LSI, K.KVM_IRQFD_FLAG_RESAMPLE, resample));
    run(p.m.signal(trigger));
    p.xirr();
    p.eoi(0xff00_1010); // tells the listener, outside
    expect([p.xirrX().xirr, p.icp()]).toEqual(["0xff001010", "05,ff,ff,000000,0,0"]);
  });

  it("is gone with the device", () => {
    const { m } = Papr.base({ realMode: true });
    run(m.process.close(m.device));
    expect(m.cpus.map(({ vcpu }) => vcpu.realMode)).toEqual([null, null]);
  });
});

describe.each([false, true])("a hypercall that presents something at several servers, real mode %s", (realMode) => {
  it("wakes each vCPU that has ceded (8.1 step 3)", () => {
    const p = new Papr({ servers: [0, 1, 2], realMode });
    for (const server of [0, 1, 2]) {
      p.set(0x1000 + server, 5, server);
      p.line(0x1000 + server);
    }
    for (const server of [1, 2]) {
      p.setIcp(0xff00_0000, 0xffff_0000, server);
      expect(() => run(p.m.hypercall(server, H_CEDE, []))).toThrow(/nothing yet/);
    }
    p.cppr(0xff);
    run(p.m.sim.settle());
    expect(p.m.cpus.map(({ vcpu }) => vcpu.hasCeded)).toEqual([false, false, false]);
  });
});

describe("registers and descriptors", () => {
  it("H_XIRR gives all of r4: high bits of what was there are gone", () => {
    const p = Papr.base();
    p.src(S, 5);
    p.line(S);
    expect(run(p.m.hypercall(0, H_XIRR, [2 ** 40 + 7])).r4).toBe(0xff00_1001);
  });

  it("5.2 row 2: a descriptor of another KVM device is none of a XICS", () => {
    const p = Papr.base();
    let fd = -1;
    const made = p.m.ioctlOn(p.m.vmFd, K.KVM_CREATE_DEVICE, K.kvm_create_device, (view) => K.kvm_create_device.type.set(view, K.KVM_DEV_TYPE_VFIO), (view) => (fd = K.kvm_create_device.fd.get(view)));
    expect(run(made)).toBe(0);
    run(p.m.addVcpu(2));
    expect(run(p.m.connect(2, fd, 2))).toBe(-EPERM);
  });

  it("the capabilities that every Power has for how interrupts are asked for and vCPUs connected", () => {
    const { m } = Papr.base();
    const capabilities = [K.KVM_CAP_PPC_UNSET_IRQ, K.KVM_CAP_ENABLE_CAP, K.KVM_CAP_PPC_IRQ_LEVEL];
    expect(capabilities.map((capability) => run(m.process.ioctl(m.kvm, K.KVM_CHECK_EXTENSION, capability)))).toEqual([1, 1, 1]);
  });
});
