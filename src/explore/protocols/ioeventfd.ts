import { BusKind } from "../../kvm/io-bus.js";
import { run, type Step } from "../../sim/step.js";
import { KVM_IOEVENTFD, KVM_IOEVENTFD_FLAG_DEASSIGN, kvm_ioeventfd } from "../../uapi/kvm.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import { close, ioctl, Thread } from "../stages/threads.js";

const ADDRESS = 0x1000;
const SIZE = 4;

function argument(stage: CoreStage, fd: number, flags: number): number {
  const view = new DataView(new ArrayBuffer(kvm_ioeventfd.size));
  kvm_ioeventfd.fd.set(view, fd);
  kvm_ioeventfd.addr.setNumber(view, ADDRESS);
  kvm_ioeventfd.len.set(view, SIZE);
  kvm_ioeventfd.flags.set(view, flags);
  return stage.place(new Uint8Array(view.buffer));
}

export const removeAgainstWrite: Protocol = {
  name: "remove-ioeventfd-against-write",
  title: "A guest writes where an ioeventfd is being removed, which is closed as soon as the removal returns: nothing freed is touched.",
  source: "kvm-irq-core.md 9.4, H30",
  about: ["eventfd_signal"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const { process, vmFd, core } = stage;
    const fd = stage.eventfd();
    const context = stage.context(fd);
    const added = run(process.ioctl(vmFd, KVM_IOEVENTFD, argument(stage, fd, 0)));
    if (added !== 0) throw new Error(`KVM_IOEVENTFD: ${added}`);
    const remove = ioctl("remove", process, vmFd, KVM_IOEVENTFD, argument(stage, fd, KVM_IOEVENTFD_FLAG_DEASSIGN));
    let isTaken = false;
    function* write(): Step<void> {
      isTaken = yield* core.buses.guestWrite(BusKind.MMIO, null, ADDRESS, SIZE, 1, 0);
    }
    return stage.program([remove, close(process, fd, [remove]), new Thread("write", "vcpu", write)], {
      end() {
        if (remove.result !== 0) return `the removal answers ${remove.result}`;
        if (context.isAlive) return "the context outlives its last holder";
        return context.signals === Number(isTaken) ? null : "a write that was taken was not signalled";
      },
    });
  },
};
