import type { Assembler } from "../../guest/op.js";
import { kick } from "../../kvm/kick.js";
import { SW_MSI_REGION } from "../../host/iommu/group.js";
import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import { EBUSY, EEXIST, EINTR, EINVAL } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import * as uapi from "../../uapi/vfio.js";
import { VgicConfig } from "../../irqchip/gic/vgic-irq.js";
import { DEVICE, GuestMachine } from "../stages/guest-machine.js";
import { EVENTFD, MSI, PciStage, TRIGGER } from "../stages/pci-stage.js";
import { VgicStage } from "../stages/vgic-stage.js";
import { shown } from "./cases.js";

// Vectors of host-irq.md 8.3 to 8.6 that fail without a rule: each runs one to its end.

type Off = Partial<Hazards>;

const MASK_TIMER = -1;

/** A timer interrupt whose handler goes to user space before it ends. */
const visitUserSpace = (code: Assembler): void => void code.timer(MASK_TIMER).store(DEVICE, 1);

/** 2.5, 6: the ACTIVE bit of a timer's PPI follows the vCPU that is loaded, to 1 and to 0. */
export function timerPpiFollowsVcpu(hazards: Off): string | null {
  return shown(() => {
    const main = (code: Assembler, vcpu: number): void => void (vcpu === 0 ? code.timer(10_000) : code.delay(1000, 20));
    const m = new GuestMachine({ vcpus: 2, hazards, guest: { ppis: [27], main, onInterrupt: visitUserSpace } });
    const [first, second] = m.threads;
    first.goesOn = false;
    m.sim.wake(first, 0);
    m.settle();
    const states = [m.gic.isActive(1, 27)];
    first.cpu = 2;
    first.goesOn = true;
    m.sim.wake(first, 0);
    m.settle();
    states.push(m.gic.isActive(2, 27), m.gic.isActive(1, 27));
    second.cpu = 1;
    m.sim.wake(second, 0);
    m.settle();
    return [...states, m.gic.isActive(1, 27)];
  }, [true, false, true, false]);
}

/** I7: while the guest has a physical interrupt active, what pends behind it is not in its list register. */
export function noPendingAndActiveHw(hazards: Off): string | null {
  return shown(() => {
    const stage = new VgicStage({ hazards });
    run(stage.vgic.mapPhysicalIrq(0, 27, 27));
    stage.enable(27);
    run(stage.gic.setActive(0, 27, true));
    stage.inject(27, true, 0);
    const taken = stage.iar();
    stage.exit(0);
    stage.inject(27, true, 0);
    stage.enter(0);
    return [taken, stage.lr(0, 0)];
  }, [27, "b0a0001b0000001b"]);
}

/** Vector 56: one level interrupt costs one maintenance exit, at its end, which tells the listener. */
export function vector56(hazards: Off): string | null {
  return shown(() => {
    const stage = new VgicStage({ hazards });
    stage.enable(40, 0xa0, VgicConfig.LEVEL);
    stage.inject(40);
    const taken = stage.iar();
    stage.inject(40, false);
    stage.eoi(40);
    return [taken, stage.maintenanceExits, stage.vm.acks.acked, stage.isActive(40)];
  }, [40, 1, ["0:8"], false]);
}

/** Vector 61: three kicks before the vCPU exits send one IPI. */
export function vector61(hazards: Off): string | null {
  return shown(() => {
    const m = new GuestMachine({ hazards, guest: { idle: "spin" } }).boot();
    const before = m.vcpus[0].stat.kickIpis;
    for (let i = 0; i < 3; i++) run(kick(m.vcpus[0]));
    return m.vcpus[0].stat.kickIpis - before;
  }, 1);
}

/** Vector 74: closing a vCPU's descriptor does not free its id. */
export function vector74(hazards: Off): string | null {
  return shown(() => {
    const m = new GuestMachine({ hazards });
    const vm = m.ioctl(m.kvm, K.KVM_CREATE_VM, 0);
    run(m.process.close(m.ioctl(vm, K.KVM_CREATE_VCPU, 0)));
    return m.ioctl(vm, K.KVM_CREATE_VCPU, 0);
  }, -EEXIST);
}

/** Vectors 84 and 85: an MMIO load is completed once, by a run that ends at once, and not again by the next. */
export function vector85(hazards: Off): string | null {
  return shown(() => {
    const m = new GuestMachine({ hazards, guest: { main: (code) => void code.load(DEVICE, 5) } });
    const [thread] = m.threads;
    const [vcpu] = m.vcpus;
    const { memory } = m.process;
    const { mmio, immediate_exit } = K.kvm_run;
    thread.goesOn = false;
    m.sim.wake(thread, 0);
    m.settle();
    const { pc } = vcpu.regs;
    memory.setU32(vcpu.runAddress + mmio.data.offset, 0x1122_3344);
    memory.setU8(vcpu.runAddress + immediate_exit.offset, 1);
    m.sim.wake(thread, 0);
    m.settle();
    const once = [vcpu.regs.xLo[5], vcpu.regs.pc - pc];
    memory.setU8(vcpu.runAddress + immediate_exit.offset, 0);
    m.sim.wake(thread, 0);
    m.settle();
    return [thread.results, once, vcpu.regs.pc - pc];
  }, [["0:6", `${-EINTR}:6`], [0x1122_3344, 4], 4]);
}

/** vfio.md 17.3, 5: a group whose doorbells lie where the user has mapped memory is not attached. */
export function attachLooksAtMappings(hazards: Off): string | null {
  return shown(() => {
    const stage = new PciStage({ hazards, reserved: [], separateGroups: true, reservedOfB: [SW_MSI_REGION] });
    const { c } = stage.ready();
    const mapped = stage.map(c, SW_MSI_REGION.start, 0x1000n);
    return [mapped, stage.setContainer(stage.open("/dev/vfio/13"), c)];
  }, [0, -EINVAL]);
}

/** K23: the order that would leave a stale message, and what VFIO answers. */
export function staleMessageIsRefused(): string | null {
  return shown(() => {
    const stage = new PciStage({ reserved: [SW_MSI_REGION], doorbell: 0x0809_0040 });
    const { d, g } = stage.ready();
    stage.configWrite(d, 4, 2, 6);
    const set = stage.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, stage.eventfd());
    const leave = stage.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0);
    stage.close(d);
    return [set, leave, stage.A.vectors.kind, stage.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)];
  }, [0, -EBUSY, "none", 0]);
}
