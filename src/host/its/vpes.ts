import { Gicr, GICR_V3 } from "../../arch/gic/gicr.js";
import { encodeVpe } from "../../arch/gic/its-encode.js";
import { ItsOp, ItsVOp } from "../../arch/gic/its-command.js";
import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";
import { type IrqChip, type IrqchipState, IrqData } from "../irq/chip.js";
import { Flow, Irqs } from "../irq/desc.js";
import { setTrigger } from "../irq/request.js";
import { irqActivate, irqDeactivate } from "../irq/state.js";
import { type CpuList, firstOf, IrqType } from "../irq/types.js";
import type { ItsDriver, RedistRegister } from "./its-driver.js";
import type { ItsVm, ItsVpe } from "./its-vm.js";
import { firstOnline, moveVpe, sendVmapp } from "./vpe-map.js";

const SETLPIR: RedistRegister = { name: "SETLPIR", offset: GICR_V3.table[Gicr.SETLPIR].offset };
const CLRLPIR: RedistRegister = { name: "CLRLPIR", offset: GICR_V3.table[Gicr.CLRLPIR].offset };
const INITIAL_PROPERTIES = 0xa2;

/** The doorbell of a vPE as an interrupt of the host (gic-v4.md C1.8): its affinity is the vPE's redistributor. */
class VpeChip implements IrqChip {
  readonly name = "GICv4-vpe";
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;

  constructor(
    private readonly driver: ItsDriver,
    private readonly vpe: ItsVpe,
  ) {}

  *mask(): Step<void> {
    yield* this.configure(false);
  }

  *unmask(): Step<void> {
    yield* this.configure(true);
  }

  private *configure(isEnabled: boolean): Step<void> {
    const { driver, vpe } = this;
    yield* driver.setEnabled(vpe.doorbellLpi, isEnabled);
    if (driver.is41) yield* this.invalidateDefault();
    else yield* this.doorbell(ItsOp.INV);
  }

  /** 4.1: INVDB to one ITS. */
  private *invalidateDefault(): Step<void> {
    const node = this.driver.nodes.find((each) => each.isV4);
    if (node === undefined) return;
    yield* node.lock.lock();
    encodeVpe(node.words, ItsVOp.INVDB, this.vpe.id);
    yield* node.sendAndVsync(this.vpe.id);
    yield* node.lock.unlock();
  }

  /** INV, INT or CLEAR of the doorbell, by the redistributor's registers or the proxy device. */
  private *doorbell(opcode: ItsOp): Step<void> {
    const { driver, vpe } = this;
    if (!driver.isDirect) {
      if (driver.proxy !== null) yield* driver.proxy.command(vpe, opcode);
      return;
    }
    yield reads(vpe, "cpu");
    const { cpu } = vpe;
    if (opcode === ItsOp.INV) yield* driver.invalidateDirectly(cpu, vpe.doorbellLpi);
    else yield* driver.store(cpu, opcode === ItsOp.INT ? SETLPIR : CLRLPIR, vpe.doorbellLpi, 0);
  }

  *eoi(data: IrqData): Step<void> {
    if (data.parent !== null) yield* data.parent.chip.eoi(data.parent);
  }

  *setType(_data: IrqData, type: number): Step<number> {
    return type === IrqType.EDGE_RISING ? 0 : -EINVAL;
  }

  /** VMOVP. A vPE that no ITS has mapped only remembers, where they are mapped with their first event. 4.1: it stays where it may. */
  *setAffinity(data: IrqData, mask: CpuList, online: CpuList): Step<number> {
    const { driver, vpe } = this;
    if (driver.is41) yield reads(vpe, "cpu");
    const mayStay = driver.is41 && mask.includes(vpe.cpu) && online.includes(vpe.cpu);
    const cpu = mayStay ? vpe.cpu : firstOf(mask, online);
    if (cpu < 0) return -EINVAL;
    if ((data.desc.state & Irqs.ACTIVATED) === 0) {
      if (!driver.usesList) return -EINVAL;
      yield writes(vpe, "cpu");
      vpe.cpu = cpu;
    } else yield* moveVpe(driver, vpe, cpu);
    return cpu;
  }

  *getState(): Step<number> {
    return -EINVAL;
  }

  *setState(_data: IrqData, which: IrqchipState, value: boolean): Step<number> {
    if (which !== "pending") return -EINVAL;
    yield* this.doorbell(value ? ItsOp.INT : ItsOp.CLEAR);
    return 0;
  }

  /** 4.0: INT or SETLPIR. Nothing makes a default doorbell of 4.1 ring but a VLPI. */
  *retrigger(): Step<boolean> {
    if (this.driver.is41) return false;
    yield* this.doorbell(ItsOp.INT);
    return true;
  }

  /** Eager: mapped on every v4 ITS. */
  *activate(): Step<number> {
    const { driver, vpe } = this;
    yield reads(vpe, "cpu");
    if (vpe.cpu < 0) {
      yield writes(vpe, "cpu");
      vpe.cpu = firstOnline(driver);
    }
    if (!driver.usesList) yield* this.mapEverywhere(true);
    return 0;
  }

  *deactivate(): Step<void> {
    if (!this.driver.usesList) yield* this.mapEverywhere(false);
  }

  private *mapEverywhere(isValid: boolean): Step<void> {
    const { nodes } = this.driver;
    for (let i = 0; i < nodes.length; i++) if (nodes[i].isV4) yield* sendVmapp(this.driver, nodes[i], this.vpe, isValid);
  }
}

/** its_alloc_vcpu_irqs: vPEs and their doorbells. 0, -ENOMEM (nothing is left behind). */
export function* allocateVcpuIrqs(driver: ItsDriver, vm: ItsVm): Step<number> {
  const count = vm.vpes.length;
  const first = driver.allocateLpis(count);
  const vprop = first < 0 ? -1 : driver.takeBlock(INITIAL_PROPERTIES);
  if (vprop < 0) {
    if (first >= 0) driver.freeLpis(first, count);
    return -ENOMEM;
  }
  vm.vprop = vprop;
  vm.doorbellBase = first;
  vm.doorbells = count;
  for (let i = 0; i < count; i++) {
    const error = yield* initVpe(driver, vm, vm.vpes[i], first + i);
    if (error === 0) continue;
    yield* freeVcpuIrqs(driver, vm);
    return error;
  }
  return 0;
}

function* initVpe(driver: ItsDriver, vm: ItsVm, vpe: ItsVpe, lpi: number): Step<number> {
  const id = driver.vpeIds.allocate();
  if (id < 0) return -ENOMEM;
  const vpt = driver.takeBlock(0);
  if (vpt < 0) {
    driver.vpeIds.free(id);
    return -ENOMEM;
  }
  vpe.id = id;
  vpe.vpt = vpt;
  vpe.vm = vm;
  vpe.doorbellLpi = lpi;
  vpe.idai = true;
  vpe.isFresh = true;
  vpe.mappings = 0;
  vpe.isReady = false;
  vpe.isResident = false;
  vpe.proxyEvent = -1;
  yield writes(vpe, "cpu");
  vpe.cpu = -1;
  yield* connectDoorbell(driver, vpe);
  return 0;
}

function* connectDoorbell(driver: ItsDriver, vpe: ItsVpe): Step<void> {
  const { irqs, domain } = driver.host;
  const desc = irqs.allocate(new VpeChip(driver, vpe), vpe.doorbellLpi, Flow.FASTEOI);
  desc.data.parent = new IrqData(desc, domain.chip, vpe.doorbellLpi);
  yield* desc.lock.lock();
  yield* setTrigger(desc, IrqType.EDGE_RISING);
  yield* irqActivate(desc);
  yield* desc.lock.unlock();
  domain.attach(desc, vpe.doorbellLpi);
  vpe.irq = desc.irq;
}

/** its_free_vcpu_irqs: VMAPP V=0, tables and ids given back, in reverse order. The doorbells' handlers are gone. */
export function* freeVcpuIrqs(driver: ItsDriver, vm: ItsVm): Step<void> {
  for (let i = vm.vpes.length - 1; i >= 0; i--) {
    const vpe = vm.vpes[i];
    if (vpe.id < 0) continue;
    const desc = driver.host.desc(vpe.irq);
    if (desc !== null) {
      yield* desc.lock.lock();
      yield* irqDeactivate(desc);
      yield* desc.lock.unlock();
    }
    if (driver.proxy !== null) yield* driver.proxy.drop(vpe);
    driver.host.domain.detach(vpe.doorbellLpi);
    driver.host.irqs.free(vpe.irq);
    driver.freeBlock(vpe.vpt);
    driver.vpeIds.free(vpe.id);
    vpe.id = -1;
    vpe.irq = 0;
    vpe.vm = null;
  }
  driver.freeLpis(vm.doorbellBase, vm.doorbells);
  driver.freeBlock(vm.vprop);
  vm.vprop = -1;
}
