// The same calls on virq and on the running kernel, for `npm run bench` where /dev/kvm and koffi are there. The kernel's go
// through the FFI one by one: what the FFI costs is a figure of its own, and nothing is subtracted.
import { performance } from "node:perf_hooks";
import { tenth } from "./measure.js";

const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const [{ RunningKernel }, { SYS }, kvm, x86, { X86Calls }, { run }, { PersonError }, { ModelSystem }, { VcpuThread }, { X86Exit }] = await Promise.all(
  ["node/kvm/kernel-system", "node/kvm/syscalls", "uapi/kvm", "uapi/x86", "conform/x86/calls", "sim/step", "sim/person-error", "conform/x86/model", "kvm/vcpu-thread", "kvm/x86/guest"].map(from),
);

const RUNS = 7;
const ENTRIES = 4096;
const PIN = 10;
const MSI_GSI = 30;
const VECTOR = 0x41;
const LEVEL_VECTOR = 0x51;
/** struct kvm_run: kvm_regs, synchronised. */
const SYNC_REGS = 304;

/**
 * Nanoseconds of the clock per call, of the run that was disturbed least: CPU time would leave out what the kernel's workers
 * do for a call.
 */
function perCallClock(call, calls) {
  for (let i = 0; i < 2; i++) globalThis.gc();
  for (let i = 0; i < calls; i++) call();
  const runs = [];
  for (let r = 0; r < RUNS; r++) {
    const begin = performance.now();
    for (let i = 0; i < calls; i++) call();
    runs.push(((performance.now() - begin) * 1e6) / calls);
  }
  return Math.round(Math.min(...runs));
}

/** A VM with a vCPU, a level pin with a resampling irqfd, an MSI route with an irqfd: the scene of every figure. */
const SCENE = [
  { op: "createVm", args: {} },
  { op: "createIrqchip", args: {} },
  { op: "createVcpu", args: { id: 0 } },
  { op: "guestInit", args: {} },
  { op: "setIrqchip", args: { chip: "picMaster", state: { imr: 0xff } } },
  { op: "setIrqchip", args: { chip: "picSlave", state: { imr: 0xff } } },
  { op: "setLapic", args: { state: { svr: 0x1ff } } },
  { op: "setIrqchip", args: { chip: "ioapic", state: { redirtbl: { [PIN]: { vector: LEVEL_VECTOR, trigMode: 1 }, 4: { vector: 0x61 } } } } },
  {
    op: "setGsiRouting",
    args: {
      entries: [
        { gsi: 4, type: "irqchip", irqchip: "ioapic", pin: 4 },
        { gsi: PIN, type: "irqchip", irqchip: "ioapic", pin: PIN },
        { gsi: MSI_GSI, type: "msi", addressLo: 0xfee0_0000, data: VECTOR },
      ],
    },
  },
  { op: "eventfd", args: { as: "msi" } },
  { op: "eventfd", args: { as: "line" } },
  { op: "eventfd", args: { as: "resample" } },
  { op: "irqfd", args: { fd: "msi", gsi: MSI_GSI } },
  { op: "irqfd", args: { fd: "line", gsi: PIN, flags: ["RESAMPLE"], resamplefd: "resample" } },
];

function prepare(system) {
  const calls = new X86Calls(system);
  for (const step of SCENE) {
    const answer = run(calls.perform(step));
    if (answer.errno !== undefined) throw new Error(`${step.op}: ${answer.errno}`);
  }
  return { calls, fd: (name) => calls.descriptors.fd(name) };
}

const structure = (info, write) => {
  const view = new DataView(new ArrayBuffer(info.size));
  write(view);
  return new Uint8Array(view.buffer);
};
const MSI = structure(kvm.kvm_msi, (view) => {
  kvm.kvm_msi.address_lo.set(view, 0xfee0_0000);
  kvm.kvm_msi.data.set(view, VECTOR);
});
const LEVELS = [1, 0].map((level) =>
  structure(kvm.kvm_irq_level, (view) => {
    kvm.kvm_irq_level.irq.set(view, 4);
    kvm.kvm_irq_level.level.set(view, level);
  }),
);
const ROUTES = (() => {
  const { kvm_irq_routing: head, kvm_irq_routing_entry: record } = kvm;
  const view = new DataView(new ArrayBuffer(head.size + ENTRIES * record.size));
  head.nr.set(view, ENTRIES);
  for (let gsi = 0; gsi < ENTRIES; gsi++) {
    const at = head.size + gsi * record.size;
    record.gsi.set(view, gsi, at);
    record.type.set(view, kvm.KVM_IRQ_ROUTING_MSI, at);
    record.msi.address_lo.set(view, 0xfee0_0000, at);
    record.msi.data.set(view, VECTOR, at);
  }
  return new Uint8Array(view.buffer);
})();

/**
 * The kernel's figures in nanoseconds of the clock, or the sentence that says why there are none.
 * @returns {Promise<string | {[figure: string]: number}>}
 */
async function kernelFigures() {
  const kernel = await RunningKernel.open().catch((error) => error);
  if (kernel instanceof PersonError) return kernel.message;
  if (kernel instanceof Error) throw kernel;
  const { system } = kernel;
  const process = kernel.process();
  const { calls, fd } = prepare(process);
  const [vm, msi] = [fd("vm"), fd("msi")];
  // Structures stay where they are in the arena: a call is a call.
  const at = { msi: 0x2_0000, high: 0x2_0100, low: 0x2_0200, one: 0x2_0300 };
  system.bytes.set(MSI, at.msi);
  system.bytes.set(LEVELS[0], at.high);
  system.bytes.set(LEVELS[1], at.low);
  system.memory.setBigUint64(at.one, 1n, true);
  const address = (offset) => system.base + offset;
  const resample = resampleCycle(system, process.vcpu(fd("vcpu0")), fd, address(at.one));
  const figures = {
    ffi: perCallClock(() => system.call(SYS.gettid), 100_000),
    signalMsi: perCallClock(() => system.ioctl(vm, kvm.KVM_SIGNAL_MSI, address(at.msi)), 50_000),
    irqLine: perCallClock(() => {
      system.ioctl(vm, kvm.KVM_IRQ_LINE, address(at.high));
      system.ioctl(vm, kvm.KVM_IRQ_LINE, address(at.low));
    }, 20_000) / 2,
    eventfdMsi: perCallClock(() => system.call(SYS.write, msi, address(at.one), 8), 50_000),
    resample,
    routing: perCallClock(() => {
      if (system.ioctlWith(vm, kvm.KVM_SET_GSI_ROUTING, ROUTES) < 0) throw new Error("KVM_SET_GSI_ROUTING");
    }, 50),
  };
  run(calls.close());
  await kernel.close();
  return figures;
}

/*
 * The guest of the cycle, by hand, in real mode with flat segments:
 *   loop:    sti; hlt; cli; out 0xe3, al; jmp loop
 *   handler: mov [ebx], eax (EBX the EOI register, EAX 0); iret
 */
const LOOP = [0xfb, 0xf4, 0xfa, 0xe6, 0xe3, 0xeb, 0xf9];
const HANDLER = [0x67, 0x66, 0x89, 0x03, 0xcf];
const LOOP_AT = 0x5000;
const HANDLER_AT = 0x5100;

/** The device writes the trigger; the guest is woken from HLT, ends the interrupt in its handler, leaves; the VMM reads the resamplefd. */
function resampleCycle(system, guest, fd, one) {
  const [vcpu, line, resample] = ["vcpu0", "line", "resample"].map(fd);
  const { memory, run: runPage } = guest;
  system.bytes.set(LOOP, memory + LOOP_AT);
  system.bytes.set(HANDLER, memory + HANDLER_AT);
  system.memory.setUint16(memory + LEVEL_VECTOR * 4, HANDLER_AT, true);
  const { kvm_regs } = x86;
  const registers = runPage + SYNC_REGS;
  kvm_regs.rip.setNumber(system.memory, LOOP_AT, registers);
  kvm_regs.rax.setNumber(system.memory, 0, registers);
  kvm_regs.rbx.setNumber(system.memory, 0xfee0_00b0, registers);
  kvm.kvm_run.kvm_dirty_regs.setNumber(system.memory, 1, runPage);
  return perCallClock(() => {
    system.call(SYS.write, line, one, 8);
    const left = system.ioctl(vcpu, kvm.KVM_RUN, 0);
    const signalled = system.call(SYS.read, resample, one + 8, 8);
    if (left !== 0 || signalled !== 8) throw new Error(`the cycle broke: KVM_RUN ${left}, read ${signalled}`);
  }, 5000);
}

/** The guest of {@link resampleCycle} on a modelled vCPU, instruction by instruction. */
class LoopGuest {
  entryOf() {
    return HANDLER_AT;
  }
  run(vcpu) {
    if (vcpu.isInterrupted()) return X86Exit.EXTERNAL_INTERRUPT;
    const { regs } = vcpu;
    for (;;) {
      const window = vcpu.boundary();
      if (window !== X86Exit.IDLE) return window;
      switch (regs.rip) {
        case LOOP_AT: // sti
          regs.interruptFlag = true;
          regs.shadow = 1;
          regs.rip++;
          break;
        case LOOP_AT + 1: // hlt
          regs.shadow = 0;
          regs.rip++;
          return X86Exit.HLT;
        case LOOP_AT + 2: // cli
          regs.interruptFlag = false;
          regs.rip++;
          break;
        case LOOP_AT + 3: // out, and back to the loop
          regs.rip = LOOP_AT;
          return access(vcpu, X86Exit.IO_INSTRUCTION, 0xe3, 1);
        case HANDLER_AT:
          regs.rip++;
          return access(vcpu, X86Exit.EPT_MISCONFIG, 0xfee0_00b0, 4);
        default:
          regs.interruptReturn();
      }
    }
  }
}

function access({ trap }, exit, address, size) {
  trap.address = address;
  trap.isWrite = true;
  trap.size = size;
  trap.low = trap.high = 0;
  return exit;
}

/** Calls KVM_RUN once for each wake. */
class RunOnce extends VcpuThread {
  returned = false;
  userspace(result) {
    this.returned = result === 0;
    return false;
  }
}

function modelledCycle(system, fd, one) {
  const { process, sim } = system;
  const { vcpu } = process.file(fd("vcpu0"));
  vcpu.guest = new LoopGuest();
  vcpu.regs.rip = LOOP_AT;
  const thread = new RunOnce(vcpu, process, fd("vcpu0"), 1);
  const [line, resample] = ["line", "resample"].map(fd);
  const counter = new Uint8Array(8);
  const cycle = () => {
    run(system.write(line, one));
    thread.returned = false;
    sim.wake(thread, 0);
    run(sim.settle());
    const signalled = run(system.read(resample, counter));
    if (!thread.returned || signalled !== 8) throw new Error(`the cycle broke: KVM_RUN returned: ${thread.returned}, read ${signalled}`);
  };
  return perCallClock(cycle, 20_000);
}

/** The same calls on virq, by the same system-call interface, in nanoseconds of the clock. */
function modelFigures() {
  const system = new ModelSystem({ endsAtAcceptance: false });
  const { calls, fd } = prepare(system);
  const [vm, msi] = [fd("vm"), fd("msi")];
  const one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
  // As in the kernel's process: structures stay where they are, a call is a call.
  const arena = system.place(Buffer.concat([MSI, ...LEVELS]));
  const at = { msi: arena, high: arena + MSI.length, low: arena + MSI.length + LEVELS[0].length };
  const resample = modelledCycle(system, fd, one);
  const figures = {
    signalMsi: perCallClock(() => run(system.ioctl(vm, kvm.KVM_SIGNAL_MSI, at.msi)), 50_000),
    irqLine: perCallClock(() => {
      run(system.ioctl(vm, kvm.KVM_IRQ_LINE, at.high));
      run(system.ioctl(vm, kvm.KVM_IRQ_LINE, at.low));
    }, 20_000) / 2,
    eventfdMsi: perCallClock(() => run(system.write(msi, one)), 50_000),
    resample,
    routing: perCallClock(() => {
      if (run(system.ioctl(vm, kvm.KVM_SET_GSI_ROUTING, ROUTES)) < 0) throw new Error("KVM_SET_GSI_ROUTING");
    }, 50),
  };
  run(calls.close());
  return figures;
}

/** What, the figure, and the system calls in it: each costs the kernel's side an FFI call. */
const SIDE_BY_SIDE = [
  ["KVM_SIGNAL_MSI", "signalMsi", 1],
  ["KVM_IRQ_LINE", "irqLine", 1],
  ["write of an eventfd, irqfd to an MSI route", "eventfdMsi", 1],
  ["level cycle with resample, IOAPIC: eventfd to resamplefd", "resample", 3],
  ["KVM_SET_GSI_ROUTING with 4,096 entries", "routing", 1],
];

/** "350 ns, 3.5 times virq's; 152 ns and 1.5 times net of the FFI", which takes the system call's own entry away too. */
function besideModel(modelled, inKernel, ffi) {
  const times = (ns) => `${tenth(ns / modelled)} times`;
  const net = Math.round(inKernel - ffi);
  return `here ${inKernel} ns, ${times(inKernel)} virq's; net of the FFI ${net} ns, ${times(net)}`;
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  async kernel(note) {
    const modelled = modelFigures();
    const kernel = await kernelFigures();
    const isThere = typeof kernel !== "string";
    for (const [what, figure, calls] of SIDE_BY_SIDE)
      note(`${what}, x86`, modelled[figure], "ns", isThere ? { kernel: besideModel(modelled[figure], kernel[figure], calls * kernel.ffi) } : undefined);
    if (isThere) note("  of each system call in the kernel's figures, FFI and entry", kernel.ffi, "ns");
    else note(`beside the running kernel: no, ${kernel}`, 0, "");
  },
};
