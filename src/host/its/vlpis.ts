import { encodeEvent, encodeMapti, encodeVmapti, encodeVmovi } from "../../arch/gic/its-encode.js";
import { ItsOp, NO_DOORBELL } from "../../arch/gic/its-command.js";
import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import type { IrqData } from "../irq/chip.js";
import type { ItsDevice } from "./its-device.js";
import type { ItsDriver } from "./its-driver.js";
import type { VlpiMap } from "./its-vm.js";
import { mapVmOn, unmapVmOn } from "./vpe-map.js";

const FIRST_LPI = 8192;
const GROUP1 = 2;

/** What a hypervisor asks of a device's event through irq_set_vcpu_affinity (gic-v4.md C1.6); null: unmap. */
export class VlpiCommand {
  /** "get" fills it. */
  map: VlpiMap | null;

  /**
   * @param properties for "prop": the new byte
   * @param invalidates for "prop": the hardware is to look at once
   */
  constructor(
    readonly kind: "map" | "get" | "prop",
    map: VlpiMap | null = null,
    readonly properties = 0,
    readonly invalidates = true,
  ) {
    this.map = map;
  }
}

/** 0, or -EINVAL. Under the descriptor's lock. */
export function* setVlpi(driver: ItsDriver, device: ItsDevice, event: number, data: IrqData, info: object | null): Step<number> {
  if (!device.node.isV4 || (info !== null && !(info instanceof VlpiCommand))) return -EINVAL;
  yield* device.vlpiLock.lock();
  const result = yield* perform(driver, device, event, data, info);
  yield* device.vlpiLock.unlock();
  return result;
}

function* perform(driver: ItsDriver, device: ItsDevice, event: number, data: IrqData, command: VlpiCommand | null): Step<number> {
  if (command !== null && command.kind === "map") return command.map === null ? -EINVAL : yield* mapVlpi(driver, device, event, data, command.map);
  const map = device.vlpiMaps?.[event] ?? null;
  if (map === null || !data.desc.isForwarded) return -EINVAL;
  if (command === null) return yield* unmapVlpi(driver, device, event, data, map);
  if (command.kind === "get") {
    command.map = { ...map };
    return 0;
  }
  yield* updateProperties(driver, device, event, map, command);
  return 0;
}

const doorbellFor = (driver: ItsDriver, map: VlpiMap): number => (map.isDoorbellOn && !driver.is41 ? map.vpe.doorbellLpi : NO_DOORBELL);

/** The byte in the VM's configuration table that every redistributor of the VM reads. */
export function* writeVlpiByte(driver: ItsDriver, map: VlpiMap, properties: number): Step<void> {
  yield writes(driver.gic, "GIC");
  driver.gic.ram.setU8(map.vm.vprop + map.vintid - FIRST_LPI, properties | GROUP1);
}

/** its_vlpi_map. The private copy is what the driver remembers. */
function* mapVlpi(driver: ItsDriver, device: ItsDevice, event: number, data: IrqData, given: VlpiMap): Step<number> {
  if (device.vm !== null && device.vm !== given.vm) return -EINVAL;
  device.vlpiMaps ??= new Array<VlpiMap | null>(device.events).fill(null);
  device.vm = given.vm;
  const map = { ...given };
  device.vlpiMaps[event] = map;
  if (data.desc.isForwarded) {
    if (driver.sim.hazards.remapToMove) yield* remap(driver, device, event, map);
    else yield* sendVmovi(driver, device, event, map);
    return 0;
  }
  yield* mapVmOn(driver, device.node, given.vm);
  data.desc.isForwarded = true;
  // The properties first: from VMAPTI on the vLPI may fire (hazard R1, v4 to v5 of the series).
  const isLate = driver.sim.hazards.propertiesAfterMap;
  if (!isLate) yield* writeVlpiByte(driver, map, map.properties);
  yield* remap(driver, device, event, map);
  if (isLate) yield* writeVlpiByte(driver, map, map.properties);
  device.vlpis++;
  return 0;
}

/** What the event was for goes, with what is pending, and a message that comes meanwhile is nobody's. */
function* remap(driver: ItsDriver, device: ItsDevice, event: number, map: VlpiMap): Step<void> {
  yield* driver.eventCommand(device, ItsOp.DISCARD, event);
  const { node } = device;
  yield* node.lock.lock();
  encodeVmapti(node.words, device.deviceId, event, map.vpe.id, map.vintid, doorbellFor(driver, map));
  yield* node.sendAndVsync(map.vpe.id);
  yield* node.lock.unlock();
}

function* sendVmovi(driver: ItsDriver, device: ItsDevice, event: number, map: VlpiMap): Step<void> {
  const { node } = device;
  yield* node.lock.lock();
  encodeVmovi(node.words, device.deviceId, event, map.vpe.id, doorbellFor(driver, map));
  yield* node.sendAndVsync(map.vpe.id);
  yield* node.lock.unlock();
}

/** its_vlpi_unmap: the event is the host's again. Its pending bit in the vPE's table is nobody's. */
function* unmapVlpi(driver: ItsDriver, device: ItsDevice, event: number, data: IrqData, map: VlpiMap): Step<number> {
  const { node } = device;
  yield* eventCommandV(device, ItsOp.DISCARD, event, map.vpe.id);
  data.desc.isForwarded = false;
  yield* node.lock.lock();
  encodeMapti(node.words, device.deviceId, event, data.hwirq, device.cpus[event]);
  yield* node.sendAndSync(device.cpus[event]);
  yield* node.lock.unlock();
  yield* driver.restoreProperties(data.hwirq);
  if (driver.isDirect) yield* driver.invalidateDirectly(device.cpus[event], data.hwirq);
  else yield* driver.eventCommand(device, ItsOp.INV, event);
  yield* unmapVmOn(driver, node, map.vm);
  if (device.vlpiMaps !== null) device.vlpiMaps[event] = null;
  if (--device.vlpis === 0) {
    device.vlpiMaps = null;
    device.vm = null;
  }
  return 0;
}

/** its_prop_update_vlpi. The whole byte is replaced; on 4.0 the doorbell follows the enable bit. */
function* updateProperties(driver: ItsDriver, device: ItsDevice, event: number, map: VlpiMap, command: VlpiCommand): Step<void> {
  const { properties, invalidates } = command;
  map.properties = properties;
  yield* writeVlpiByte(driver, map, properties);
  const isEnabled = (properties & 1) !== 0;
  if (!driver.is41 && isEnabled !== map.isDoorbellOn) {
    map.isDoorbellOn = isEnabled;
    yield* sendVmovi(driver, device, event, map);
  }
  if (invalidates) yield* invalidateVlpi(driver, device, event, map);
}

/** Its vPE's redistributor reads the byte anew: told directly where it can be (4.1), else by INV and VSYNC. */
export function* invalidateVlpi(driver: ItsDriver, device: ItsDevice, event: number, map: VlpiMap): Step<void> {
  if (driver.is41 && driver.isDirect) {
    yield reads(map.vpe, "cpu");
    yield* driver.invalidateDirectly(map.vpe.cpu, map.vintid, map.vpe.id);
  } else yield* eventCommandV(device, ItsOp.INV, event, map.vpe.id);
}

/** A command on a forwarded event, and the VSYNC of its vPE. */
function* eventCommandV(device: ItsDevice, opcode: ItsOp, event: number, vpe: number): Step<void> {
  const { node } = device;
  yield* node.lock.lock();
  encodeEvent(node.words, opcode, device.deviceId, event);
  yield* node.sendAndVsync(vpe);
  yield* node.lock.unlock();
}

/** Sets or clears the pending state behind an event, of the host's LPI or of the guest's (VINT, VCLEAR). */
export function* pendEvent(driver: ItsDriver, device: ItsDevice, event: number, isPending: boolean): Step<void> {
  const opcode = isPending ? ItsOp.INT : ItsOp.CLEAR;
  const map = device.vlpiMaps?.[event] ?? null;
  if (map === null) yield* driver.eventCommand(device, opcode, event);
  else yield* eventCommandV(device, opcode, event, map.vpe.id);
}
