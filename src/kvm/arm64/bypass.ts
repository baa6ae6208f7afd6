import { EAGAIN, EINVAL, ENODEV } from "../../uapi/errno.js";
import type { Step } from "../../sim/step.js";
import type { BypassHooks, IrqForwarding } from "../arch.js";
import { type Arm64Vm, FIRST_SPI } from "./arm64.js";
import type { IrqBypassProducer } from "../../host/irqbypass.js";
import type { Irqfd } from "../irqfd.js";
import type { Route } from "../route.js";
import type { Vm } from "../vm.js";

/** 7.4 on arm64 without GICv4: the guest stands still while producers come and go, and nothing is programmed. */
export class GuestStop implements BypassHooks {
  constructor(protected readonly vm: Vm) {}

  *stop(): Step<void> {
    yield* this.vm.haltGuest();
  }

  *start(): Step<void> {
    yield* this.vm.resumeGuest();
  }

  *connect(_irqfd: Irqfd, _producer: IrqBypassProducer): Step<number> {
    return 0;
  }

  *disconnect(_irqfd: Irqfd, _producer: IrqBypassProducer): Step<void> {}

  *routeChanged(_irqfd: Irqfd, _old: Route): Step<void> {}
}

/** 8.3: a GSI's SPI linked to a physical interrupt by the vGIC's HW list registers. */
export class SpiForwarding implements IrqForwarding {
  constructor(private readonly arm: Arm64Vm) {}

  check(gsi: number): number {
    const { armIrqchip } = this.arm;
    if (armIrqchip === null) return -ENODEV; // 9
    if (!armIrqchip.isInitialized) return -EAGAIN; // 10
    if (gsi >= armIrqchip.spiCount) return -EINVAL; // 11
    return armIrqchip.mappedPhysicalIrq(-1, gsi + FIRST_SPI) === -1 ? 0 : -EINVAL;
  }

  *link(gsi: number, hostIntid: number): Step<number> {
    const { armIrqchip } = this.arm;
    if (armIrqchip === null) return -ENODEV;
    return yield* armIrqchip.mapPhysicalIrq(-1, gsi + FIRST_SPI, hostIntid);
  }

  *unlink(gsi: number): Step<void> {
    const { armIrqchip } = this.arm;
    if (armIrqchip !== null) yield* armIrqchip.unmapPhysicalIrq(-1, gsi + FIRST_SPI);
  }
}
