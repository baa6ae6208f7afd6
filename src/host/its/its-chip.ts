import { encodeMapti, encodeMovi } from "../../arch/gic/its-encode.js";
import { ItsOp } from "../../arch/gic/its-command.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import type { IrqChip, IrqchipState, IrqData } from "../irq/chip.js";
import { type CpuList, firstOf } from "../irq/types.js";
import type { ItsDevice } from "./its-device.js";
import type { ItsDriver } from "./its-driver.js";
import { invalidateVlpi, pendEvent, setVlpi, writeVlpiByte } from "./vlpis.js";

/**
 * The ITS's level of a message interrupt (host-irq.md 1.2): masked by its configuration byte and INV, moved by MOVI, sent
 * again by INT; nothing to end and nothing to deactivate. The hwirq of this level is the LPI.
 */
export class ItsChip implements IrqChip {
  readonly name = "ITS";
  readonly isOneshotSafe = true;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;

  constructor(private readonly driver: ItsDriver) {}

  *mask(data: IrqData): Step<void> {
    yield* this.configure(data, false);
  }

  *unmask(data: IrqData): Step<void> {
    yield* this.configure(data, true);
  }

  /** Of a forwarded event the byte is its VM's. */
  private *configure(data: IrqData, isEnabled: boolean): Step<void> {
    const { driver } = this;
    const device = this.deviceOf(data);
    const event = device.eventOf(data.hwirq);
    const map = device.vlpiMaps?.[event] ?? null;
    if (map !== null) {
      yield* writeVlpiByte(driver, map, isEnabled ? map.properties | 1 : map.properties & ~1);
      yield* invalidateVlpi(driver, device, event, map);
      return;
    }
    yield* driver.setEnabled(data.hwirq, isEnabled);
    if (driver.isDirect) yield* driver.invalidateDirectly(device.cpus[event], data.hwirq);
    else yield* driver.eventCommand(device, ItsOp.INV, event);
  }

  *eoi(): Step<void> {}

  /** A forwarded event goes where its vPE is. */
  *setAffinity(data: IrqData, mask: CpuList, online: CpuList, force: boolean): Step<number> {
    const device = this.deviceOf(data);
    const event = device.eventOf(data.hwirq);
    const cpu = firstOf(mask, force ? mask : online);
    if (data.desc.isForwarded || cpu < 0) return -EINVAL;
    if (cpu === device.cpus[event]) return cpu;
    const { node } = device;
    const from = device.cpus[event];
    device.cpus[event] = cpu;
    yield* node.lock.lock();
    encodeMovi(node.words, device.deviceId, event, cpu);
    yield* node.sendAndSync(from);
    yield* node.lock.unlock();
    return cpu;
  }

  *retrigger(data: IrqData): Step<boolean> {
    return (yield* this.setState(data, "pending", true)) === 0;
  }

  /** Nobody can read whether an LPI is pending. */
  *getState(): Step<number> {
    return -EINVAL;
  }

  /** INT and CLEAR; of a forwarded event they reach the guest. */
  *setState(data: IrqData, which: IrqchipState, value: boolean): Step<number> {
    if (which !== "pending") return -EINVAL;
    const device = this.deviceOf(data);
    yield* pendEvent(this.driver, device, device.eventOf(data.hwirq), value);
    return 0;
  }

  *setVcpuAffinity(data: IrqData, info: object | null): Step<number> {
    const device = this.deviceOf(data);
    return yield* setVlpi(this.driver, device, device.eventOf(data.hwirq), data, info);
  }

  *activate(data: IrqData): Step<number> {
    const device = this.deviceOf(data);
    const event = device.eventOf(data.hwirq);
    const { node } = device;
    yield* node.lock.lock();
    encodeMapti(node.words, device.deviceId, event, data.hwirq, device.cpus[event]);
    yield* node.sendAndSync(device.cpus[event]);
    yield* node.lock.unlock();
    return 0;
  }

  *deactivate(data: IrqData): Step<void> {
    const device = this.deviceOf(data);
    yield* this.driver.eventCommand(device, ItsOp.DISCARD, device.eventOf(data.hwirq));
  }

  private deviceOf(data: IrqData): ItsDevice {
    const device = this.driver.deviceOf(data.hwirq);
    if (device === null) throw new Error(`LPI ${data.hwirq} belongs to no device`);
    return device;
  }
}
