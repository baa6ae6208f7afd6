import { SigBus } from "../host/memory.js";
import type { Vcpu } from "../kvm/arm64/vcpu.js";
import { Cost } from "../sim/cost.js";
import type { Step } from "../sim/step.js";

// A guest's loads and stores: RAM and mapped device regions directly, everything else by a data abort.

/** Stores the low `size` (up to 4) bytes of `value`. False: the access trapped, `vcpu.trap` has it. */
export function* guestStore(vcpu: Vcpu, address: number, size: number, value: number): Step<boolean> {
  const { process, slots, sim } = vcpu.vm;
  const { memory } = process;
  const hva = yield* slots.translate(address, size, true);
  const area = hva < 0 ? null : memory.areaAt(hva);
  if (area === null || !area.writable) return abort(vcpu, address, size, true, value, 31);
  if (area.region !== null) {
    sim.charge(Cost.deviceAccess);
    try {
      yield* area.region.write(hva - area.start + area.regionOffset, size, value);
    } catch (error) {
      return withoutPage(vcpu, error);
    }
  } else if (size === 4) memory.setU32(hva, value >>> 0);
  else for (let i = 0; i < size; i++) memory.setU8(hva + i, (value >>> (8 * i)) & 0xff);
  return true;
}

/** Loads `size` (up to 4) bytes, zero-extended, into a register. False: it trapped. */
export function* guestLoad(vcpu: Vcpu, address: number, size: number, register: number): Step<boolean> {
  const { process, slots, sim } = vcpu.vm;
  const { memory } = process;
  const hva = yield* slots.translate(address, size, false);
  const area = hva < 0 ? null : memory.areaAt(hva);
  if (area === null) return abort(vcpu, address, size, false, 0, register);
  let value = 0;
  if (area.region !== null) {
    sim.charge(Cost.deviceAccess);
    try {
      value = yield* area.region.read(hva - area.start + area.regionOffset, size);
    } catch (error) {
      return withoutPage(vcpu, error);
    }
  } else if (size === 4) value = memory.getU32(hva);
  else for (let i = 0; i < size; i++) value |= memory.getU8(hva + i) << (8 * i);
  vcpu.regs.xLo[register] = value;
  vcpu.regs.xHi[register] = 0;
  return true;
}

/** The page behind a mapping cannot be had, which KVM finds out at the abort: it has nothing to map (vfio.md 14). */
function withoutPage(vcpu: Vcpu, error: unknown): boolean {
  if (!(error instanceof SigBus)) throw error;
  vcpu.trap.hasNoPage = true;
  return false;
}

function abort(vcpu: Vcpu, address: number, size: number, isWrite: boolean, value: number, register: number): boolean {
  const { trap } = vcpu;
  trap.hasNoPage = false;
  trap.address = address;
  trap.size = size;
  trap.isWrite = isWrite;
  trap.low = value | 0;
  trap.high = 0;
  trap.register = register;
  trap.isSignExtending = false;
  trap.is64 = false;
  trap.hasSyndrome = true;
  return false;
}
