import { ApicMessage } from "../irqchip/x86/contract.js";
import type { EntryScanner } from "../irqchip/x86/local-apics.js";
import { decodeMsi } from "../irqchip/x86/msi.js";
import { reads } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { KVM_IRQ_ROUTING_MSI } from "../uapi/kvm.js";
import type { X86Vm } from "./x86/x86.js";

/** Split mode: the handled vectors are those of the level messages that the reserved GSIs lead to (x86-irqchip.md 8.3). */
export class RouteScanner implements EntryScanner {
  private readonly message = new ApicMessage();

  constructor(private readonly arch: X86Vm) {}

  *scanEntries(vcpuIndex: number): Step<void> {
    const { apics, vm, reservedPins } = this.arch;
    if (apics === null) return;
    const section = yield* vm.irqSrcu.readLock();
    yield reads(vm, "routing");
    const { routing } = vm;
    const end = Math.min(routing.size, reservedPins);
    for (let gsi = 0; gsi < end; gsi++) {
      const routes = routing.routesOf(gsi);
      for (let i = 0; i < routes.length; i++) {
        const route = routes[i];
        if (route.type !== KVM_IRQ_ROUTING_MSI) continue;
        const { message } = this;
        decodeMsi(message, route.addressHi, route.addressLo, route.data, apics.api.use32BitIds);
        const { vector } = message;
        if (message.isLevel) yield* apics.scanOne(vcpuIndex, message.destination, message.isLogical, vector);
      }
    }
    yield* vm.irqSrcu.readUnlock(section);
  }
}
