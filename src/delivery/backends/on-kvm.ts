import type { MechanismName } from "../../board/assign.js";
import { Delivery } from "../run.js";
import type { StageRequest } from "../stage.js";
import type { Assembled } from "./measured.js";

/** The way that KVM has for each: a level needs its end, an edge has none. */
export const mechanismFor = (isLevel: boolean): MechanismName => (isLevel ? "irqfd+resample" : "irqfd");

/** A machine with a guest of KVM's, and the device's interrupt wired into it by one of the mechanisms. */
export function assembleOnKvm({ request, mechanism, interrupts }: StageRequest): Assembled {
  const { machine, device, meter, sources } = Delivery.prepare(request, mechanism, interrupts);
  const [{ index, irq, source }] = sources;
  return { host: machine.host, vfio: device.vfio, index, irq, source, meter, guest: null };
}
