import { ItsVpe } from "../../../host/its/its-vm.js";
import { allocateVcpuIrqs, freeVcpuIrqs } from "../../../host/its/vpes.js";
import { IrqSetting } from "../../../host/irq/desc.js";
import { type IrqAction, IrqReturn } from "../../../host/irq/types.js";
import { writes } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import { UseAfterFree } from "../../../sim/list.js";
import type { Step } from "../../../sim/step.js";
import { V4Cpu, type VgicV4 } from "./v4.js";
import type { VgicDist } from "../vgic-dist.js";

const FLAGS_40 = IrqSetting.NOAUTOEN | IrqSetting.DISABLE_UNLAZY | IrqSetting.NO_BALANCING;
const FLAGS_41 = IrqSetting.DISABLE_UNLAZY | IrqSetting.NO_BALANCING;

/** No user moves a doorbell (hazard R53): its affinity is where its vPE is. */
const flagsOf = (v4: VgicV4): number => (v4.is41 ? FLAGS_41 : FLAGS_40) & (v4.dist.hazards.balanceDoorbells ? ~IrqSetting.NO_BALANCING : -1);

/**
 * The doorbell of a vPE (C5.2): it ends the block of its vCPU and delivers nothing. vpe_lock puts it after a concurrent
 * deschedule's own word on pending_last (hazard R9).
 */
class VpeDoorbell implements IrqAction {
  constructor(
    private readonly v4: VgicV4,
    private readonly own: V4Cpu,
  ) {}

  *handler(irq: number): Step<number> {
    const { v4, own } = this;
    const { vpe } = own;
    const { host } = v4.driver;
    // Until the vCPU has run it says nothing new (hazard R14); 4.1's hardware rings once. [2017]: each rings.
    if (!v4.is41 && !v4.dist.is2017) {
      const desc = host.desc(irq);
      if (desc !== null) {
        yield* desc.lock.lock();
        const { isDisabled } = desc;
        yield* desc.lock.unlock();
        if (!isDisabled && !v4.dist.hazards.doorbellStaysOn) yield* host.disableIrqNosync(irq);
      }
    }
    v4.dist.sim.emit(Ev.vpe_doorbell, vpe.id, irq);
    yield* vpe.lock.lock();
    yield writes(vpe, "pendingLast");
    vpe.pendingLast = true;
    yield* vpe.lock.unlock();
    yield* own.cpu.vcpu.requestIrqPending();
    return IrqReturn.HANDLED;
  }
}

/**
 * vgic_v4_init (C2.2), config_lock held: vPEs for the vCPUs that are online, with their doorbells. 0, also where there is
 * nothing to do; else the errno of what failed, with nothing left.
 */
export function* initV4(dist: VgicDist): Step<number> {
  const { v4 } = dist;
  if (v4 === null || v4.hasVpes) return 0;
  const { driver, vm } = v4;
  const cpus = dist.cpus.map((cpu) => new V4Cpu(cpu, new ItsVpe(dist.sim)));
  vm.vpes = cpus.map((each) => each.vpe);
  const error = yield* allocateVcpuIrqs(driver, vm);
  if (error < 0) {
    vm.vpes = [];
    return error;
  }
  v4.cpus = cpus;
  for (let i = 0; i < cpus.length; i++) {
    const { vpe } = cpus[i];
    const desc = driver.host.desc(vpe.irq);
    if (desc !== null) desc.settings |= flagsOf(v4);
    const result = yield* driver.host.requestIrq(vpe.irq, new VpeDoorbell(v4, cpus[i]), 0, "vcpu", cpus[i]);
    if (result === 0) continue;
    yield* teardownFirst(v4, i);
    return result;
  }
  return 0;
}

/** vgic_v4_teardown (C2.3): after the last VLPI, before the vCPUs (hazard R21). */
export function* teardownV4(dist: VgicDist): Step<void> {
  const { v4 } = dist;
  if (v4 !== null && v4.hasVpes) yield* teardownFirst(v4, v4.cpus.length);
}

/** The doorbells of the first `count` vPEs are requested. */
function* teardownFirst(v4: VgicV4, count: number): Step<void> {
  const { driver, vm } = v4;
  yield* freeDoorbells(v4, count);
  yield* freeVcpuIrqs(driver, vm);
  vm.vpes = [];
  v4.cpus = [];
}

export function* freeDoorbells(v4: VgicV4, count: number): Step<void> {
  const { host } = v4.driver;
  for (let i = 0; i < count; i++) {
    const { cpu, vpe } = v4.cpus[i];
    if (cpu.vcpu.isDestroyed === true) throw new UseAfterFree(`the doorbell of vCPU ${cpu.index} is freed when the vCPU has gone`);
    const desc = host.desc(vpe.irq);
    if (desc !== null) desc.settings &= ~(v4.is41 ? FLAGS_41 : FLAGS_40);
    yield* host.freeIrq(vpe.irq, v4.cpus[i]);
  }
}

export function* requestDoorbells(v4: VgicV4): Step<void> {
  const { host } = v4.driver;
  for (let i = 0; i < v4.cpus.length; i++) {
    const { vpe } = v4.cpus[i];
    const desc = host.desc(vpe.irq);
    if (desc !== null) desc.settings |= flagsOf(v4);
    yield* host.requestIrq(vpe.irq, new VpeDoorbell(v4, v4.cpus[i]), 0, "vcpu", v4.cpus[i]);
  }
}
