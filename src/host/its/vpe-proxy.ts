import { Gicr, GICR_V3 } from "../../arch/gic/gicr.js";
import { encodeMapti, encodeMovi } from "../../arch/gic/its-encode.js";
import { ItsOp } from "../../arch/gic/its-command.js";
import { reads } from "../../sim/access.js";
import { Spinlock } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import type { ItsDevice } from "./its-device.js";
import type { ItsDriver } from "./its-driver.js";
import type { ItsVpe } from "./its-vm.js";

/** The highest device id: no device has it. */
const PROXY_DEVICE = 0xffff;

/**
 * GICv4.0 without DirectLPI: doorbells are invalidated, pended and cleared through events of a device that does not exist,
 * one event for each vPE, given to another when all are in use (gic-v4.md C1.8).
 */
export class VpeProxy {
  readonly lock: Spinlock;
  private readonly owners: (ItsVpe | null)[];
  private next = 0;

  private constructor(
    private readonly driver: ItsDriver,
    private readonly device: ItsDevice,
  ) {
    this.lock = new Spinlock(driver.sim, "vpe_proxy.lock");
    this.owners = new Array<ItsVpe | null>(device.events).fill(null);
  }

  /** A negative errno where no device can be made. */
  static *create(driver: ItsDriver): Step<VpeProxy | number> {
    const device = yield* driver.deviceFor(driver.nodes[0], PROXY_DEVICE, driver.gic.cpus);
    return typeof device === "number" ? device : new VpeProxy(driver, device);
  }

  /** One of INV, INT, CLEAR on a vPE's doorbell. */
  *command(vpe: ItsVpe, opcode: ItsOp): Step<void> {
    yield* this.lock.lock();
    yield* this.map(vpe);
    yield* this.driver.eventCommand(this.device, opcode, vpe.proxyEvent);
    yield* this.lock.unlock();
  }

  private *map(vpe: ItsVpe): Step<void> {
    if (vpe.proxyEvent >= 0) return;
    const { device } = this;
    const event = this.next;
    this.next = (event + 1) % device.events;
    yield* this.unmap(event);
    this.owners[event] = vpe;
    vpe.proxyEvent = event;
    yield reads(vpe, "cpu");
    const { cpu } = vpe;
    device.cpus[event] = cpu;
    const { node } = device;
    yield* node.lock.lock();
    encodeMapti(node.words, device.deviceId, event, vpe.doorbellLpi, cpu);
    yield* node.sendAndSync(cpu);
    yield* node.lock.unlock();
  }

  private *unmap(event: number): Step<void> {
    const owner = this.owners[event];
    if (owner === null) return;
    owner.proxyEvent = -1;
    this.owners[event] = null;
    yield* this.driver.eventCommand(this.device, ItsOp.DISCARD, event);
  }

  /** The vPE goes away. */
  *drop(vpe: ItsVpe): Step<void> {
    yield* this.lock.lock();
    if (vpe.proxyEvent >= 0) yield* this.unmap(vpe.proxyEvent);
    yield* this.lock.unlock();
  }

  /** The doorbell goes to the CPU that its vPE goes to. */
  *move(vpe: ItsVpe, cpu: number): Step<void> {
    const { device } = this;
    yield* this.lock.lock();
    const event = vpe.proxyEvent;
    if (event >= 0) {
      const { node } = device;
      yield* node.lock.lock();
      encodeMovi(node.words, device.deviceId, event, cpu);
      yield* node.sendAndSync(device.cpus[event]);
      yield* node.lock.unlock();
      device.cpus[event] = cpu;
    }
    yield* this.lock.unlock();
  }
}

const CLRLPIR = { name: "CLRLPIR", offset: GICR_V3.table[Gicr.CLRLPIR].offset };

/** A vPE moves: its doorbell goes along by its event of the proxy; without a proxy, what is pending at the old place is forgotten. */
export function* moveDoorbell(driver: ItsDriver, vpe: ItsVpe, from: number, to: number): Step<void> {
  if (driver.proxy !== null) yield* driver.proxy.move(vpe, to);
  else if (driver.isDirect && !driver.is41 && from >= 0) yield* driver.store(from, CLRLPIR, vpe.doorbellLpi, 0);
}
