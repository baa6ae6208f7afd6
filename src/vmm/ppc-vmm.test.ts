import { describe, expect, it } from "vitest";
import { builtinBoard } from "../board/builtin.js";
import { writeIpi, PpcSoftware, type PpcSoftwareOptions } from "../guest/ppc-software.js";
import { DeviceNodes } from "../host/device-nodes.js";
import { xicsHostFromBoard } from "../host/xics/board-host.js";
import { PpcModule } from "../kvm/powerpc/module.js";
import { Ppc } from "../kvm/powerpc/powerpc.js";
import { KvmNode } from "../kvm/system.js";
import { PpcOp } from "../guest/ppc-op.js";
import { H_CPPR, H_IPI } from "../irqchip/xics/constants.js";
import { EINVAL } from "../uapi/errno.js";
import { kvm_regs, MSR_EE } from "../uapi/powerpc.js";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run } from "../sim/step.js";
import { moveGuest, notRestorable, restoreGuest, saveGuest, stopGuest } from "./ppc-migrate.js";
import { PPC_GUEST, PpcVmm } from "./ppc-vmm.js";

const SOURCE = 0x1300;

/** A VM with a guest, on the built-in board. */
class Guests {
  readonly trace = new TraceBuffer();
  readonly sim = new Sim({ cpus: 65, trace: this.trace });
  readonly vmm: PpcVmm;

  constructor(servers: readonly number[], more: Partial<PpcSoftwareOptions> = {}, realMode = false) {
    const board = builtinBoard("pseries");
    if (board === undefined) throw new Error("pseries");
    const host = xicsHostFromBoard(this.sim, board);
    const nodes = new DeviceNodes();
    nodes.register("/dev/kvm", new KvmNode(new PpcModule(host), new Ppc(host.cpus.length, { realMode })));
    const software = new PpcSoftware({ servers, tokens: PPC_GUEST.tokens, rtas: PPC_GUEST.rtas, devices: [], idle: "cede", ...more });
    const sources = (more.devices ?? []).map(({ source }) => ({ irq: source, isLsi: false }));
    this.vmm = run(PpcVmm.start(host, nodes, { mainCpu: 1, vcpuCpus: [2, 3, 4], servers, sources, software }));
    this.vmm.run();
    run(this.sim.settle());
  }

  /** Sources that vCPUs accepted: "vCPU:source". */
  get accepted(): string[] {
    return this.trace.events.filter((event) => event.name === "guest_ack").map((event) => `${event.args[0]}:${Number(event.args[1]).toString(16)}`);
  }
}

describe.each([false, true])("a guest of the VMM on POWER, real mode %s", (realMode) => {
  it("inter-processor interrupts reach the servers that are named, whatever their numbers", () => {
    const guests = new Guests([0, 8, 0x8000], { main: (code, vcpu) => [8, 0x8000].forEach((server) => void (vcpu === 0 && writeIpi(code, server))) }, realMode);
    expect(guests.accepted.sort()).toEqual(["1:2", "2:2"]);
    run(stopGuest(guests.vmm));
    expect(run(guests.vmm.vcpus[1].icp())).toEqual({ hi: 0xff00_0000 | 0, lo: 0xffff_0000 | 0 }); // withdrawn by its taker
  });

  it("a vCPU may send itself one", () => {
    const guests = new Guests([0], { main: (code) => void writeIpi(code, 0) }, realMode);
    expect(guests.accepted).toEqual(["0:2"]);
  });

  it("a source goes to the server that the driver gave it, by RTAS", () => {
    const devices = [
      { source: SOURCE, vcpu: 1, address: PPC_GUEST.devices, accessesPerService: 0 },
      { source: SOURCE + 1, vcpu: 0, address: PPC_GUEST.devices, accessesPerService: 0 },
    ];
    const guests = new Guests([4, 5], { devices }, realMode);
    for (const irq of [SOURCE, SOURCE + 1]) run(guests.vmm.setLine(irq, true));
    run(guests.sim.settle());
    expect(guests.accepted).toEqual(["1:1300", "0:1301"]);
  });
});

describe("a guest that has stopped", () => {
  it("has its registers by KVM_GET_REGS, and a fresh VM takes all of them", () => {
    const guests = new Guests([0, 8]);
    run(stopGuest(guests.vmm));
    const [vcpu] = guests.vmm.vcpus;
    const regs = run(vcpu.regs());
    if (typeof regs === "number") throw new Error(`KVM_GET_REGS: ${regs}`);
    const view = new DataView(regs.buffer);
    expect([kvm_regs.gpr[13].getNumber(view), kvm_regs.msr.lo(view), kvm_regs.pc.getNumber(view) > 0]).toEqual([0, MSR_EE, true]);
    kvm_regs.gpr[31].setHalves(view, -1, 0x1234_5678);
    kvm_regs.srr0.setNumber(view, 0x700);
    expect(run(vcpu.setRegs(regs))).toBe(0);
    expect(run(vcpu.regs())).toEqual(regs);
  });

  it("with an IPI that was withdrawn after it was presented cannot be restored: the kernel's errno says so (xics.md 12.4)", () => {
    const guests = new Guests([0, 8], { main: (code, vcpu) => void (vcpu === 0 && code.op(PpcOp.EE, 0).hypercall(H_IPI, 0, 4).hypercall(H_IPI, 0, 0xff).op(PpcOp.SPIN)) });
    run(stopGuest(guests.vmm));
    const state = run(saveGuest(guests.vmm));
    run(guests.vmm.renew([1, 0]));
    expect(run(restoreGuest(guests.vmm, state))).toBe(-EINVAL);
  });

  it("with such an IPI is told before its VM is given up, and runs on there; it moves where its MFRR may be changed", () => {
    const guests = new Guests([0, 8], { main: (code, vcpu) => void (vcpu === 0 && code.op(PpcOp.EE, 0).hypercall(H_IPI, 0, 4).hypercall(H_IPI, 0, 0xff).op(PpcOp.SPIN)) });
    const { vmm } = guests;
    const before = vmm.vm.fd;
    expect([run(moveGuest(vmm, [1, 0])), vmm.vm.fd]).toEqual([-EINVAL, before]);
    run(stopGuest(vmm));
    expect(notRestorable(run(saveGuest(vmm)))).toEqual(["vCPU 0 has an inter-processor interrupt presented that its MFRR does not ask for any more: KVM_SET_ONE_REG refuses its word"]);
    const told: string[] = [];
    expect(run(moveGuest(vmm, [1, 0], { normalise: true, warn: (sentence) => told.push(sentence) }))).toBe(0);
    run(stopGuest(vmm));
    expect([told.length, run(vmm.vcpus[0].icp())]).toEqual([1, { hi: 0xff00_0002 | 0, lo: 0x0404_0000 }]);
  });

  it("restored in the order that KVM takes and that hides what is pending, is told of each such source (xics.md 12.3)", () => {
    const devices = [{ source: SOURCE, vcpu: 0, address: PPC_GUEST.devices, accessesPerService: 0 }];
    const guests = new Guests([0], { devices, main: (code) => void code.op(PpcOp.EE, 0).hypercall(H_CPPR, 0).op(PpcOp.SPIN) });
    const { vmm } = guests;
    run(vmm.setLine(SOURCE, true));
    run(stopGuest(vmm));
    const saved = run(saveGuest(vmm));
    const state = { ...saved, vcpus: saved.vcpus.map((vcpu) => ({ ...vcpu, icp: { hi: 0xff00_0000 | 0, lo: 0xffff_0000 | 0 } })) };
    const restored = (sourcesFirst: boolean): unknown[] => {
      const told: string[] = [];
      run(vmm.renew([0]));
      run(restoreGuest(vmm, state, { sourcesFirst, warn: (sentence) => told.push(sentence) }));
      return [told, ((run(vmm.vcpus[0].icp()) as { hi: number }).hi & 0xff_ffff)];
    };
    expect(restored(true)).toEqual([["source 0x1300 is pending and was restored before its server: the guest sees it at its next EOI or change of priority"], 0]);
    expect(restored(false)).toEqual([[], SOURCE]);
  });
});
