import { describe, expect, it } from "vitest";
import { DeviceNodes } from "../host/device-nodes.js";
import { Ipi } from "../host/cpu.js";
import { EventfdFile } from "../host/eventfd.js";
import { type IrqAction, IrqReturn } from "../host/irq/types.js";
import { IrqBypassProducer } from "../host/irqbypass.js";
import type { MsiDevice } from "../host/msi.js";
import { X86Host } from "../host/x86/x86-host.js";
import { type X86Eoi, X86Software } from "../guest/x86-software.js";
import { KvmNode } from "../kvm/system.js";
import { X86 } from "../kvm/x86/x86.js";
import { X86Module } from "../kvm/x86/module.js";
import { VcpuX86 } from "../kvm/x86/vcpu.js";
import { KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED } from "../uapi/kvm.js";
import { VmmVcpu } from "./vmm-vcpu.js";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { X86_GUEST, X86Vmm } from "./x86-vmm.js";

class Producer extends IrqBypassProducer {}
const NO_HANDLER: IrqAction = {
  *handler(): Step<number> {
    return IrqReturn.HANDLED;
  },
};

/** A function of the host's that keeps its message. */
class Nic implements MsiDevice {
  readonly name = "nic";
  readonly deviceId = 0x10;
  private address = 0;
  private data = 0;
  constructor(private readonly host: X86Host) {}
  *writeMessage(_index: number, address: number, data: number): Step<void> {
    this.address = address;
    this.data = data;
  }
  *setMasked(): Step<void> {}
  *send(): Step<void> {
    if (this.host.msi !== null) yield* this.host.msi.write(this.deviceId, 0, this.address | 0, this.data);
  }
}

const VECTOR = 0x41;
const VCPU_CPU = 2;

/** A host of three CPUs with a guest that counts message 0x41. */
class Bench {
  readonly trace = new TraceBuffer();
  readonly sim = new Sim({ cpus: 4, trace: this.trace });
  readonly host = new X86Host(this.sim, [0, 1, 2]);
  readonly vmm: X86Vmm;
  readonly vcpu: VcpuX86;

  constructor(options: { apicv?: boolean; eoi?: X86Eoi; accesses?: number; idle?: "spin" | "hlt"; vcpus?: number; startedCpus?: number }) {
    const { vcpus = 1 } = options;
    const module = new X86Module(this.host, { apicv: options.apicv ?? false });
    const nodes = new DeviceNodes();
    nodes.register("/dev/kvm", new KvmNode(module, new X86(3, { posting: module.posting })));
    // The device's registers are nowhere: each access leaves the guest.
    const device = { vector: VECTOR, pin: null, address: X86_GUEST.devices, accessesPerService: options.accesses ?? 0 };
    const software = new X86Software({ base: X86_GUEST.code, cpus: options.startedCpus ?? vcpus, scratch: X86_GUEST.scratch, devices: [device], eoi: options.eoi ?? "x2apic", idle: options.idle ?? "spin", handlerNs: 0 });
    this.vmm = run(X86Vmm.start(this.host, nodes, { mainCpu: 1, vcpuCpus: [VCPU_CPU], vcpus, irqchip: "full", software }));
    const [thread] = this.vmm.threads;
    if (!(thread instanceof VmmVcpu) || !(thread.vcpu instanceof VcpuX86)) throw new Error("no vCPU");
    this.vcpu = thread.vcpu;
    this.vmm.run();
    this.settle();
  }

  settle(): void {
    run(this.sim.settle());
    this.trace.clear();
  }

  *message(apicId = 0): Step<void> {
    yield* this.vmm.vm.signalMsi({ address: 0xfee0_0000 + (apicId << 12), data: VECTOR });
  }

  /** An assigned device, whose message irqfd GSI 24 takes. */
  *device(): Step<Nic> {
    const { host, vmm } = this;
    const fd = vmm.eventfd();
    const file = vmm.process.file(fd);
    if (!(file instanceof EventfdFile) || host.msi === null) throw new Error("no eventfd");
    const nic = new Nic(host);
    const irq = yield* host.msi.alloc(nic, 0, 1, []);
    yield* host.requestIrq(irq, NO_HANDLER, 0, "nic", nic);
    yield* vmm.routeMessage(24, { address: 0xfee0_0000, data: VECTOR });
    yield* vmm.vm.assignIrqfd(fd, 24, -1);
    yield* host.irqBypass.registerProducer(new Producer(irq), file.context);
    return nic;
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

describe("posted interrupts of a blocked vCPU", () => {
  it("10.5: the first device that may post makes a vCPU that blocks already block anew, with the wake-up vector", () => {
    const b = new Bench({ apicv: true, idle: "hlt" });
    const before = b.host.cpus[VCPU_CPU].ipisTaken[Ipi.POSTED_WAKEUP];
    const nic = run(b.device());
    b.settle();
    expect(b.after(nic.send())).toEqual(["guest_ack(0,65)", "guest_eoi(0,65)", "kvm_eoi(0,65)", "kvm_exit(0,HLT)"]);
    expect(b.host.cpus[VCPU_CPU].ipisTaken[Ipi.POSTED_WAKEUP] - before).toBe(1);
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

describe("several vCPUs", () => {
  it.each(["xapic", "x2apic", "pv", "pic"] as const)("are started by the boot CPU, by INIT and start-up, and then halt until an interrupt comes for them: EOI by %s", (eoi) => {
    const b = new Bench({ eoi, vcpus: 3 });
    const states = b.vmm.threads.map(({ vcpu }) => (vcpu instanceof VcpuX86 ? vcpu.mpState : -1));
    expect(states).toEqual([KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_HALTED, KVM_MP_STATE_HALTED]);
    if (eoi === "pic") return;
    expect(b.after(b.message(2)).filter((line) => line.startsWith("guest_"))).toEqual(["guest_ack(2,65)", "guest_eoi(2,65)"]);
  });

  it("wait for ever where nobody starts them", () => {
    const b = new Bench({ vcpus: 2, startedCpus: 1 });
    expect(b.vmm.threads.map(({ vcpu }) => (vcpu instanceof VcpuX86 ? vcpu.mpState : -1))).toEqual([KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED]);
  });
});
