import { BusKind } from "../../kvm/io-bus.js";
import { run } from "../../sim/step.js";
import { KVM_CREATE_PIT2, kvm_pit_config } from "../../uapi/x86.js";
import type { Protocol } from "../protocol.js";
import { close } from "../stages/threads.js";
import { X86Machine } from "../stages/x86-machine.js";

const COMMAND = 0x43;
const CHANNEL_0 = 0x40;
/** Channel 0, both bytes of the count, mode 0: one interrupt when it reaches 0. */
const ONE_SHOT = 0x30;
const COUNT = 100;

export const releaseAgainstTimer: Protocol = {
  name: "release-against-timer",
  title: "The last descriptor of a VM is closed when its PIT is about to fire: the tick is injected before, or not at all.",
  source: "kvm-irq-core.md 5.5, 6.3, H26",
  about: ["kvm_set_irq"],
  program(hazards = {}) {
    const m = new X86Machine(hazards);
    const fd = m.xf();
    const vcpuFd = m.vcpu(fd, 0);
    const made = m.ioctlOn(fd, KVM_CREATE_PIT2, kvm_pit_config, () => {});
    if (made !== 0) throw new Error(`KVM_CREATE_PIT2: ${made}`);
    const [vm, vcpu] = [m.vm(fd), m.vcpuOf(vcpuFd)];
    m.close(vcpuFd);
    for (const [port, value] of [[COMMAND, ONE_SHOT], [CHANNEL_0, COUNT], [CHANNEL_0, 0]]) run(vm.buses.guestWrite(BusKind.PIO, vcpu, port, 1, value, 0));
    m.sim.traceTo(null);
    return {
      sim: m.sim,
      contexts: [close(m.process, fd)],
      check: () => null,
      end: () => (vm.isDestroyed ? null : "the VM outlives its last descriptor"),
    };
  },
};
