import { describe, expect, it } from "vitest";
import { DeviceNodes } from "../host/device-nodes.js";
import { Ipi } from "../host/cpu.js";
import { X86Host } from "../host/x86/x86-host.js";
import { type X86Eoi, X86Software } from "../guest/x86-software.js";
import { KvmNode } from "../kvm/system.js";
import { X86 } from "../kvm/x86.js";
import { X86Module } from "../kvm/x86-module.js";
import type { VcpuX86 } from "../kvm/x86-vcpu.js";
import { X86VmmVcpu } from "./x86-vmm-vcpu.js";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { X86_GUEST, X86Vmm } from "./x86-vmm.js";

const VECTOR = 0x41;
const VCPU_CPU = 2;

/** A host of three CPUs with a guest that counts message 0x41, spinning. */
class Bench {
  readonly trace = new TraceBuffer();
  readonly sim = new Sim({ cpus: 4, trace: this.trace });
  readonly host = new X86Host(this.sim, [0, 1, 2]);
  readonly vmm: X86Vmm;
  readonly vcpu: VcpuX86;

  constructor(options: { apicv?: boolean; eoi?: X86Eoi; accesses?: number }) {
    const module = new X86Module(this.host, { apicv: options.apicv ?? false });
    const nodes = new DeviceNodes();
    nodes.register("/dev/kvm", new KvmNode(module, new X86(3, { posting: module.posting })));
    // The device's registers are nowhere: each access leaves the guest.
    const device = { vector: VECTOR, pin: null, address: X86_GUEST.devices, accessesPerService: options.accesses ?? 0 };
    const software = new X86Software({ base: X86_GUEST.ram, scratch: X86_GUEST.ram + 0x1000, devices: [device], eoi: options.eoi ?? "x2apic", idle: "spin", handlerNs: 0 });
    this.vmm = run(X86Vmm.start(this.host, nodes, { mainCpu: 1, vcpuCpus: [VCPU_CPU], vcpus: 1, irqchip: "full", software }));
    const [thread] = this.vmm.threads;
    if (!(thread instanceof X86VmmVcpu) || !("apicv" in thread.vcpu)) throw new Error("no vCPU");
    this.vcpu = thread.vcpu as VcpuX86;
    this.vmm.run();
    this.settle();
  }

  settle(): void {
    run(this.sim.settle());
    this.trace.clear();
  }

  *message(): Step<void> {
    yield* this.vmm.vm.signalMsi({ address: 0xfee0_0000, data: VECTOR });
  }

  /** What the vCPU did after `step`. */
  after(step: Step<void>): string[] {
    run(step);
    run(this.sim.settle());
    const seen = this.trace.lines("kvm_exit", "guest_ack", "guest_eoi", "kvm_eoi");
    this.trace.clear();
    return seen.map((line) => line.replace(/^(kvm_eoi)\(0,(\d+).*$/, "$1(0,$2)"));
  }
}

describe("posted interrupts of a running vCPU", () => {
  it("a message while it runs needs no exit at all", () => {
    const b = new Bench({ apicv: true });
    for (let i = 0; i < 3; i++) expect(b.after(b.message())).toEqual(["guest_ack(0,65)", "guest_eoi(0,65)", "kvm_eoi(0,65)"]);
  });

  it("10.3: what is posted between exit and entry, which notifies nobody, is merged by the entry", () => {
    const b = new Bench({ apicv: true });
    const { vcpu } = b;
    const handleExit = vcpu.handleExit.bind(vcpu);
    vcpu.handleExit = function* (exit: number): Step<number> {
      if (vcpu.apicv !== null && vcpu.apic !== null) yield* vcpu.apicv.posted.deliver(vcpu.apic, VECTOR);
      return yield* handleExit(exit);
    };
    const seen = b.after(b.host.cpus[0].sendIpi(VCPU_CPU, Ipi.RESCHEDULE));
    expect(seen).toEqual(["kvm_exit(0,EXTERNAL_INTERRUPT)", "guest_ack(0,65)", "guest_eoi(0,65)", "kvm_eoi(0,65)"]);
    expect(b.host.cpus[VCPU_CPU].ipisTaken[Ipi.POSTED]).toBe(0);
  });
});

describe("the paravirtual end of interrupt", () => {
  it("costs no exit: KVM sees the cleared bit at the next one", () => {
    const b = new Bench({ eoi: "pv" });
    expect(b.after(b.message())).toEqual(["kvm_exit(0,EXTERNAL_INTERRUPT)", "guest_ack(0,65)", "guest_eoi(0,65)"]);
    expect(b.after(b.message())).toEqual(["kvm_exit(0,EXTERNAL_INTERRUPT)", "kvm_eoi(0,65)", "guest_ack(0,65)", "guest_eoi(0,65)"]);
  });

  it("is taken back by an exit inside the handler, which then ends its interrupt by the register", () => {
    const b = new Bench({ eoi: "pv", accesses: 1 });
    const exits = ["kvm_exit(0,EXTERNAL_INTERRUPT)", "guest_ack(0,65)", "kvm_exit(0,EPT_MISCONFIG)", "guest_eoi(0,65)", "kvm_exit(0,MSR_WRITE)", "kvm_eoi(0,65)"];
    for (let i = 0; i < 2; i++) expect(b.after(b.message())).toEqual(exits);
  });
});
