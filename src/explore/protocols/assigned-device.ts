import { run } from "../../sim/step.js";
import { MasksBalance } from "../properties/masks-balance.js";
import type { Protocol } from "../protocol.js";
import { WholeMachine } from "../stages/whole-machine.js";
import { Thread } from "../stages/threads.js";

const nothing = (): null => null;

const raise = ({ source }: WholeMachine, name = "device"): Thread => new Thread(name, "hardware", () => source.raise());

/** When all is quiet the device raises: a line that was left masked, or a guest that was left asleep, shows. */
function raiseWhenQuiet({ source, sim }: WholeMachine): void {
  run(source.raise());
  run(sim.settle());
}

export const wireAgainstRaise: Protocol = {
  name: "wire-against-raise",
  title: "A VMM sets up irqfd, trigger and unmask eventfd of a level interrupt while its device raises: the condition is served, whichever call it comes before, and so is a later one.",
  source: "vfio.md 9, 16.2 to 16.4, 22.2; kvm-irq-core.md 3",
  about: ["vfio_automask", "irqfd_inject", "kvm_ack_irq", "resampler_notify", "vfio_unmask"],
  program(hazards = {}) {
    const machine = new WholeMachine({ board: "virt", mechanism: "irqfd+resample" }, hazards);
    const contexts = [new Thread("vmm", "user", () => machine.wire()), raise(machine)];
    return {
      sim: machine.sim,
      contexts,
      check: nothing,
      end() {
        raiseWhenQuiet(machine);
        return machine.lost();
      },
    };
  },
};

export const splitRaiseMapped: Protocol = {
  name: "split-raise-mapped",
  title: "With the IOAPIC in user space, and the device's registers mapped into the guest, a device raises: the condition is served, and so is a later one.",
  source: "x86-irqchip.md 5.9, 8.2; vfio.md 8, 22.2",
  about: ["vfio_automask", "guest_eoi", "kvm_eoi", "vfio_unmask"],
  program(hazards = {}) {
    const machine = new WholeMachine({ board: "pc", mechanism: "split" }, hazards);
    run(machine.wire());
    return {
      sim: machine.sim,
      contexts: [raise(machine)],
      check: nothing,
      end() {
        raiseWhenQuiet(machine);
        return machine.lost();
      },
    };
  },
};

export const splitRaiseTrapped: Protocol = {
  name: "split-raise-trapped",
  title: "The same with registers that trap, and a handler that reads before it clears: the condition is served, so is a later one, and no handler runs for nothing.",
  source: "x86-irqchip.md 5.9, 8.2; vfio.md 8, 22.2",
  about: ["vfio_automask", "guest_eoi", "kvm_eoi", "vfio_unmask"],
  program(hazards = {}) {
    const machine = new WholeMachine({ board: "pc", mechanism: "split", accessesPerService: 2 }, hazards);
    run(machine.device.setMapped(false));
    run(machine.wire());
    return {
      sim: machine.sim,
      contexts: [raise(machine)],
      properties: [new MasksBalance()],
      check: nothing,
      end() {
        raiseWhenQuiet(machine);
        return machine.lost() ?? machine.invented();
      },
    };
  },
};

/** The shape of cloud-hypervisor#5260: this IOAPIC sends nothing again at an EOI. */
export const splitRaiseAgainstEoi: Protocol = {
  name: "split-raise-against-eoi",
  title: "With the IOAPIC in user space, which sends nothing by itself, a device raises at any moment of an interrupt's life: each condition is served.",
  source: "x86-irqchip.md 5.9, 8.2",
  about: ["vfio_automask", "guest_eoi", "kvm_eoi", "vfio_unmask"],
  program(hazards = {}) {
    const machine = new WholeMachine({ board: "pc", mechanism: "split" }, hazards);
    run(machine.wire());
    return {
      sim: machine.sim,
      contexts: [raise(machine), raise(machine, "device, again")],
      check: nothing,
      end() {
        raiseWhenQuiet(machine);
        return machine.lost();
      },
    };
  },
};

export const raiseOnGic: Protocol = {
  name: "raise-on-gic",
  title: "A device on a level SPI raises, and the handler leaves the guest before it ends the interrupt: it is served, not again and again, and so is a later one.",
  source: "gic-v3.md A9.7; kvm-irq-core.md 5.6; vfio.md 16.3",
  about: ["vfio_automask", "guest_mmio", "kvm_ack_irq", "resampler_notify", "vfio_unmask"],
  program(hazards = {}) {
    const machine = new WholeMachine({ board: "virt", mechanism: "irqfd+resample" }, hazards);
    run(machine.device.setMapped(false));
    run(machine.wire());
    return {
      sim: machine.sim,
      contexts: [raise(machine)],
      properties: [new MasksBalance()],
      check: () => machine.storm(),
      end() {
        raiseWhenQuiet(machine);
        return machine.lost();
      },
    };
  },
};

export const postIntoSleepingVcpu: Protocol = {
  name: "post-into-sleeping-vcpu",
  title: "A device whose interrupts are posted past the host is connected to a guest that sleeps already, and raises when all is quiet: the guest wakes.",
  source: "x86-irqchip.md 10.4, 10.5; kvm-irq-core.md 7.4",
  about: ["bypass", "pi_notification", "guest_ack"],
  program(hazards = {}) {
    const machine = new WholeMachine({ board: "pc, by message", mechanism: "posted", wait: "hlt" }, hazards);
    return {
      sim: machine.sim,
      contexts: [new Thread("vmm", "user", () => machine.wire())],
      check: nothing,
      end() {
        raiseWhenQuiet(machine);
        return machine.lost();
      },
    };
  },
};
