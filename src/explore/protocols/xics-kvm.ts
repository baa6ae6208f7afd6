import { RTAS_BLOCK } from "../../conform/papr-machine.js";
import { H_CPPR, H_EOI } from "../../irqchip/xics/constants.js";
import { inspectXics } from "../../irqchip/xics/inspection.js";
import { H_RTAS } from "../../kvm/powerpc/hypercall.js";
import { run, type Step } from "../../sim/step.js";
import * as K from "../../uapi/kvm.js";
import { KVM_DEV_XICS_GRP_SOURCES, kvm_irq_sources, KVM_IRQCHIP_SET_SOURCES, KVM_REG_PPC_ICP_STATE_HI, KVM_REG_PPC_ICP_STATE_LO, KVM_XICS_PRESENTED_HI } from "../../uapi/powerpc.js";
import type { Protocol } from "../protocol.js";
import { PaprStage } from "../stages/papr-stage.js";
import { close, Thread } from "../stages/threads.js";
import { MOST_TAKEN } from "../stages/xics-guest.js";

// What goes wrong between user space's system calls and a vCPU's hypercalls.

const S = 0x400;
const LSI = 0x105;
const NOBODY = 0x7777;
const ALL = 0xff;

export const lineOfNobody: Protocol = {
  name: "line-of-nobody",
  title: "KVM_IRQ_LINE raises a source that nobody created: it succeeds, and nothing comes of it.",
  source: "xics.md 5.6, R20",
  about: ["xics_drop"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    stage.open(S, 5);
    const line = stage.ioctl("device", stage.m.vmFd, K.KVM_IRQ_LINE, K.kvm_irq_level, (view) => {
      K.kvm_irq_level.irq.set(view, NOBODY);
      K.kvm_irq_level.level.set(view, 1);
    });
    const guest = stage.guest();
    return stage.program([line, new Thread("vcpu0", "vcpu", () => guest.drain())], () => (line.result === 0 && guest.taken.length === 0 ? "R20: the request succeeded, and no interrupt comes" : null));
  },
};

export const plainIrqfdOnLevel: Protocol = {
  name: "plain-irqfd-on-level",
  title: "An irqfd without resampling raises a level, once: its line stays high, and each end presents it again.",
  source: "xics.md 13.1, R21",
  about: ["xics_deliver", "xics_eoi"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    stage.open(LSI, 0x105);
    const { device } = stage.irqfd(LSI);
    const guest = stage.guest();
    const contexts = [device, new Thread("vcpu0", "vcpu", () => guest.drain())];
    return stage.program(contexts, () => (guest.taken.length === MOST_TAKEN ? `R21: one signal is taken ${MOST_TAKEN} times, and there is no end of it` : null));
  },
};

export const resampledLevel: Protocol = {
  name: "resampled-level-on-xics",
  title: "A resampling irqfd raises a level once, and its guest serves it: it is taken, at most once more than it was raised, and no more.",
  source: "xics.md 13.2",
  about: ["xics_deliver", "xics_eoi", "resampler_notify"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    stage.open(LSI, 0x105);
    const { device } = stage.irqfd(LSI, K.KVM_IRQFD_FLAG_RESAMPLE, stage.m.eventfd());
    const guest = stage.guest();
    const contexts = [device, new Thread("vcpu0", "vcpu", () => guest.drain())];
    return stage.program(contexts, () => (guest.taken.length > 2 ? `one interrupt is taken ${guest.taken.length} times: nobody lowers its line` : null));
  },
};

export const releaseAgainstEoi: Protocol = {
  name: "release-against-eoi",
  title: "User space closes the device while a vCPU ends an interrupt: nothing is used after it was freed.",
  source: "xics.md 5.1, R24",
  about: ["writes Xics.blocks"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    const { m } = stage;
    stage.open(S, 5);
    run(m.line(S, 1));
    const xirr = run(stage.guest().accept());
    return stage.program([stage.hypercall(H_EOI, xirr >>> 0), close(m.process, m.device)], () => null);
  },
};

export const releaseAgainstRtas: Protocol = {
  name: "release-against-rtas",
  title: "User space closes the device while a vCPU masks a source by a firmware call: nothing is used after it was freed.",
  source: "xics.md 5.1, 9.2, R24",
  about: ["writes Xics.blocks"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    const { m } = stage;
    stage.open(S, 5);
    run(m.rtas("ibm,int-off", [S], 1)); // its block of arguments stays: the call is made again
    return stage.program([stage.hypercall(H_RTAS, RTAS_BLOCK), close(m.process, m.device)], () => null);
  },
};

export const releaseAgainstSetSources: Protocol = {
  name: "release-against-set-sources",
  title: "User space closes the device while it sets a range of its sources by the VM's descriptor: nothing is used after it was freed.",
  source: "xics.md 3 D7, 5.1, R24",
  about: ["writes IcsBlock.kind", "writes Xics.blocks"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    const { m } = stage;
    stage.open(S, 5);
    const set = stage.ioctl("vmm", m.vmFd, KVM_IRQCHIP_SET_SOURCES, kvm_irq_sources, (view) => {
      kvm_irq_sources.irq.set(view, S);
      kvm_irq_sources.nr_irqs.set(view, 1);
      view.setUint32(kvm_irq_sources.words.offset + 4, 5, true);
    });
    return stage.program([set, close(m.process, m.device)], () => null);
  },
};

export const releaseAgainstIrqfd: Protocol = {
  name: "release-against-irqfd",
  title: "User space closes the device while an irqfd raises a source of it: the source is looked at after it was freed.",
  source: "xics.md 5.1, R24",
  about: ["writes Xics.blocks"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    const { m } = stage;
    stage.open(S, 5);
    const { device } = stage.irqfd(S);
    return stage.program([device, close(m.process, m.device)], () => null);
  },
};

export const saveAgainstSignal: Protocol = {
  name: "save-against-signal",
  title: "User space takes an irqfd away and then saves its source, while the device signals: the message is in the word, or still in the eventfd, and not in both.",
  source: "xics.md 12, N8, N9",
  about: ["xics_deliver"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    const { m } = stage;
    stage.open(S, 5);
    const { trigger, device } = stage.irqfd(S);
    const word = stage.place(8, () => undefined);
    const detach = stage.place(K.kvm_irqfd.size, (view) => {
      K.kvm_irqfd.fd.set(view, trigger);
      K.kvm_irqfd.gsi.set(view, S);
      K.kvm_irqfd.flags.set(view, K.KVM_IRQFD_FLAG_DEASSIGN);
    });
    const read = stage.place(K.kvm_device_attr.size, (view) => {
      K.kvm_device_attr.group.set(view, KVM_DEV_XICS_GRP_SOURCES);
      K.kvm_device_attr.attr.setNumber(view, S);
      K.kvm_device_attr.addr.setNumber(view, word);
    });
    function* save(): Step<void> {
      yield* m.process.ioctl(m.vmFd, K.KVM_IRQFD, detach);
      yield* m.process.ioctl(m.device, K.KVM_GET_DEVICE_ATTR, read);
    }
    return stage.program([new Thread("vmm", "user", save), device], () => {
      const places = ((m.process.memory.getU32(word + 4) & KVM_XICS_PRESENTED_HI) !== 0 ? 1 : 0) + run(m.count(trigger));
      return places === 1 ? null : `a message was sent once, and a fresh VM gets it ${places} times`;
    });
  },
};

export const oneRegAgainstCppr: Protocol = {
  name: "one-reg-against-cppr",
  title: "User space closes a server by its word while the vCPU changes its priority: a message that the server admits then is presented.",
  source: "xics.md 9.1, N8, R25",
  about: ["xics_icp"],
  program(hazards = {}) {
    const stage = new PaprStage(hazards);
    const { m } = stage;
    stage.open(S, 5);
    const closed = stage.place(8, (view) => view.setUint32(0, 0xffff_0000, true));
    const restore = stage.ioctl("vmm", m.cpus[0].fd, K.KVM_SET_ONE_REG, K.kvm_one_reg, (view) => {
      K.kvm_one_reg.id.setHalves(view, KVM_REG_PPC_ICP_STATE_LO, KVM_REG_PPC_ICP_STATE_HI);
      K.kvm_one_reg.addr.setNumber(view, closed);
    });
    function* raise(): ReturnType<typeof m.xics.input> {
      return yield* m.xics.input(S, true);
    }
    return stage.program([stage.hypercall(H_CPPR, 6), restore, new Thread("device", "hardirq", raise)], () => {
      const { icps, sources } = inspectXics(m.xics);
      const waits = sources.find(({ irq }) => irq === S)?.resend === true;
      return waits && icps[0].cppr > 5 && icps[0].pendingPriority === ALL && icps[0].mfrr === ALL ? "R25: a message waits for a server that admits it" : null;
    });
  },
};
