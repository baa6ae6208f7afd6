import { ItsOp } from "../../arch/gic/its-command.js";
import { Icc } from "../../arch/gic/icc.js";
import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { EBUSY, EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { DirectMachine, type DirectOptions } from "../stages/direct-machine.js";
import { shown } from "./cases.js";

// Vectors of gic.md D5 that fail without a rule: each runs one to its end. The VLPI is 8200 of vCPU 1, the device's event 0.

type Off = Partial<Hazards>;

const LPI = 8200;
const EVENT = 7;

function f2(hazards: Off, options: DirectOptions = {}): DirectMachine {
  const machine = new DirectMachine({ hazards, ...options });
  machine.direct(EVENT);
  machine.trace.clear();
  return machine;
}

const doorbells = (machine: DirectMachine): number => machine.lines("vpe_doorbell").length;

/** VG26, and a wait behind it: what rang while the vCPU was preempted does not ring again. */
export function vectorVG26(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards);
    machine.load(1, 2);
    machine.put(1, 2);
    machine.send();
    machine.load(1, 2);
    machine.onEvent(ItsOp.CLEAR, EVENT);
    machine.trace.clear();
    machine.wait(1, 2);
    return [doorbells(machine), run(machine.vgic.isPendingFor(1))];
  }, [0, false]);
}

/** VG27 twice: each wait is ended by one doorbell. */
export function vectorVG27(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards, { guest: { idle: "wfi" } });
    for (const cpu of machine.host.cpus) cpu.isShared = true;
    machine.boot();
    const seen: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      machine.trace.clear();
      machine.send();
      seen.push([doorbells(machine), machine.acknowledged()]);
    }
    return seen;
  }, [[1, [`1:${LPI}`]], [1, [`1:${LPI}`]]]);
}

/** C5.3: two VLPIs come for a vCPU that waits and does not run meanwhile: one doorbell. */
export function oneDoorbell(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards);
    machine.load(1, 2);
    machine.wait(1, 2);
    for (let i = 0; i < 2; i++) machine.send();
    return doorbells(machine);
  }, 1);
}

/** VG32: Dirty that never clears counts as something pending. */
export function vectorVG32(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards);
    machine.load(1, 2);
    machine.itsHost.gic.stick(2);
    machine.wait(1, 2);
    return run(machine.vgic.isPendingFor(1));
  }, true);
}

/** I8: a vCPU that is preempted leaves the CPU's redistributor to the next one. */
export function oneResident(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards);
    machine.load(1, 2);
    machine.put(1, 2);
    machine.load(0, 2);
    return [machine.itsHost.gic.vlpis(2).misuses, machine.itsHost.gic.vlpis(2).hosts(machine.vpe(0).id, machine.vpe(0).vpt)];
  }, [0, true]);
}

/** VG3: an ITS that comes after INIT brings the vPEs. */
export function vectorVG3(hazards: Off): string | null {
  return shown(() => {
    const machine = new DirectMachine({ hazards });
    machine.direct(EVENT);
    return [machine.v4.cpus.length, machine.hasVlpi(LPI)];
  }, [2, true]);
}

/** VA15: no vCPU comes after INIT, for it would have no vPE. */
export function vectorVA15(hazards: Off): string | null {
  return shown(() => {
    const machine = new DirectMachine({ hazards });
    return [machine.ioctl(machine.vmFd, K.KVM_CREATE_VCPU, 2), machine.vcpus.length - machine.v4.cpus.length];
  }, [-EBUSY, 0]);
}

/** VG37: the VM ends with its doorbells, then its vCPUs. */
export function vectorVG37(hazards: Off): string | null {
  return shown(() => {
    const machine = new DirectMachine({ hazards });
    for (const fd of [...machine.itsFds, ...machine.fds, machine.vmFd, machine.vgicFd]) run(machine.process.close(fd));
    machine.settle();
    return machine.v4.cpus.length;
  }, 0);
}

/** VG20: a producer that is refused leaves the guest running. */
export function vectorVG20(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards).boot();
    machine.mapti(8, LPI + 1, 1);
    const second = machine.vector(8);
    machine.refuseForwarding();
    const isRefused = machine.bind(second) < 0;
    machine.trace.clear();
    machine.send();
    return [isRefused, machine.acknowledged()];
  }, [true, [`1:${LPI}`]]);
}

/** VG21: a route to another event ends the forwarding. */
export function vectorVG21(hazards: Off): string | null {
  return shown(() => {
    const machine = new DirectMachine({ hazards });
    const vector = machine.direct(EVENT);
    machine.mapti(9, LPI + 1, 0);
    machine.reroute(vector, 9);
    machine.send();
    return [vector.trigger.runs, machine.vpeBit(1, LPI), machine.latched(LPI + 1)];
  }, [1, 0, true]);
}

/** C6: with 4.1 what a VLPI has pending is saved, also where it was not in memory. */
export function savedVlpi(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards, { hw: "v4.1", cachesPending: true });
    machine.send();
    const result = run(machine.vgic.setAttr(machine.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0));
    return [result, machine.savedBit(1, LPI)];
  }, [0, true]);
}

const NASSGI_REQ = 1 << 8;
const ENABLE = 2;

/** C7: an SGI that waits when the guest asks for virtual ones is the hardware's then. */
export function pendingSgi(hazards: Off): string | null {
  return shown(() => {
    const machine = new DirectMachine({ hazards, hw: "v4.1" });
    run(machine.vgic.guestSysregWrite(0, Icc.SGI1R, (3 << 24) | 2, 0));
    machine.gicd(0, NASSGI_REQ);
    machine.gicd(0, NASSGI_REQ | ENABLE);
    machine.settle();
    return machine.vpeBit(1, 3);
  }, 1);
}

/** VG13: MOVI takes what is pending along. */
export function vectorVG13(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards);
    machine.send();
    machine.onEvent(ItsOp.MOVI, EVENT, 0);
    return [machine.vpeBit(0, LPI), machine.vpeBit(1, LPI)];
  }, [1, 0]);
}

/** VG15: INVALL has the redistributor look again: what is pending and was disabled is signalled. */
export function vectorVG15(hazards: Off): string | null {
  return shown(() => {
    const machine = new DirectMachine({ hazards });
    machine.config(LPI, 0xa0);
    machine.onEvent(ItsOp.INV, EVENT);
    machine.direct(EVENT);
    machine.load(1, 2);
    machine.send();
    machine.config(LPI, 0xa1);
    machine.command([ItsOp.INVALL, 0, 0, 0, 1]);
    return [machine.property(LPI), machine.isUntold(1, 2)];
  }, [0xa3, false]);
}

/** VG22: a user does not move a doorbell. */
export function vectorVG22(hazards: Off): string | null {
  return shown(() => {
    const machine = f2(hazards);
    machine.load(1, 2);
    const result = run(machine.host.setAffinity(machine.vpe(1).irq, [0]));
    machine.send();
    return [result, machine.isUntold(1, 2)];
  }, [-EPERM, false]);
}
