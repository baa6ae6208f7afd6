import { Gicr, GICR_V3 } from "../../arch/gic/gicr.js";
import { encodeMapti, encodeMovi } from "../../arch/gic/its-encode.js";
import { ItsOp } from "../../arch/gic/its-command.js";
import { reads } from "../../sim/access.js";
import { Spinlock } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import type { ItsDevice } from "./its-device.js";
import type { ItsDriver } from "./its-driver.js";
import type { ItsNode } from "./its-node.js";
import type { ItsVpe } from "./its-vm.js";
import { powerOfTwo } from "./lpi-space.js";

/**
 * GICv4.0 without DirectLPI: doorbells are invalidated, pended and cleared through events of a device that does not exist,
 * one event for each vPE, given to another when all are in use (gic-v4.md C1.8). Its id is the highest that GITS_TYPER.Devbits
 * of the first ITS allows: a device that has it there gets no messages.
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

  /** Null where no device can be made: its table does not reach so far, or there is no memory. */
  static *create(driver: ItsDriver): Step<VpeProxy | null> {
    const [node] = driver.nodes;
    const device = yield* driver.makeDevice(node, 2 ** node.deviceBits - 1, Math.max(2, powerOfTwo(driver.gic.cpus)), -1);
    return device === null ? null : new VpeProxy(driver, device);
  }

  isDevice(node: ItsNode, deviceId: number): boolean {
    return this.device.node === node && this.device.deviceId === deviceId;
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
