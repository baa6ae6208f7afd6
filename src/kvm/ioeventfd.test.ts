import { describe, expect, it } from "vitest";
import type { MmioDevice } from "../irqchip/contract.js";
import { run, type Step } from "../sim/step.js";
import { EBADF, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { pipe2 } from "../host/pipe.js";
import { BusDevice, BusKind } from "./io-bus.js";
import { KvmMachine } from "../explore/stages/kvm-machine.js";
import { X86 } from "./x86/x86.js";

const { KVM_IOEVENTFD_FLAG_DATAMATCH: MATCH, KVM_IOEVENTFD_FLAG_DEASSIGN: DEASSIGN, KVM_IOEVENTFD_FLAG_PIO: PIO } = K;
const A = 0x1000;

/** Registers that nobody reaches: the tests write without a vCPU. */
class Frame implements MmioDevice {
  high = 0;
  *mmioRead(): Step<number> {
    return 0;
  }
  *mmioWrite(): Step<void> {}
}

/** Takes every access inside it. */
class Chip extends BusDevice {
  readonly isIoeventfd = false;
  override *write(): Step<boolean> {
    return true;
  }
  override *read(): Step<boolean> {
    return true;
  }
  override *destroy(): Step<void> {}
}

function machine() {
  const m = new KvmMachine({ arch: new X86() });
  const fd = m.createVm();
  const vm = m.vm(fd);
  const request = (efd: number, address: bigint | number, len: number, flags = 0, match = 0n): number =>
    m.ioctlOn(fd, K.KVM_IOEVENTFD, K.kvm_ioeventfd, (view) => {
      K.kvm_ioeventfd.fd.set(view, efd);
      K.kvm_ioeventfd.addr.setBig(view, BigInt(address));
      K.kvm_ioeventfd.len.set(view, len);
      K.kvm_ioeventfd.flags.set(view, flags);
      K.kvm_ioeventfd.datamatch.setBig(view, match);
    });
  const write = (address: number, size: number, low: number, high = 0, kind = BusKind.MMIO): boolean =>
    run(vm.buses.guestWrite(kind, null, address, size, low, high));
  const read = (address: number, size: number): boolean => run(vm.buses.guestRead(BusKind.MMIO, null, address, size));
  const devices = (kind: BusKind): number => run(vm.buses.of(kind).devices()).length;
  return { m, fd, vm, request, write, read, devices };
}

describe("KVM_IOEVENTFD", () => {
  it("vector 97: length, wrap, flags and a match without length", () => {
    const { m, request } = machine();
    const e = m.eventfd();
    expect(request(e, A, 3)).toBe(-EINVAL);
    expect(request(e, 2n ** 64n - 2n, 4)).toBe(-EINVAL);
    expect(request(e, 2n ** 64n - 4n, 4)).toBe(-EINVAL);
    expect(request(e, A, 4, 0x20)).toBe(-EINVAL);
    expect(request(e, A, 0, MATCH)).toBe(-EINVAL);
    expect(request(e, 2n ** 64n - 1n, 0)).toBe(0);
    expect(request(e, 2n ** 64n - 5n, 4)).toBe(0);
  });

  it("vector 98: the fast MMIO flag is accepted and means nothing", () => {
    const { m, request, devices } = machine();
    expect(request(m.eventfd(), A, 4, 0x10)).toBe(0);
    expect(devices(BusKind.FAST_MMIO)).toBe(0);
  });

  it("vectors 99 and 100: what collides, and what a guest write hits", () => {
    const { m, request, write, read } = machine();
    const [e1, e2] = [m.eventfd(), m.eventfd()];
    expect(request(e1, A, 4, MATCH, 1n)).toBe(0);
    expect(request(e2, A, 4, MATCH, 1n)).toBe(-EEXIST);
    expect(request(e2, A, 4, MATCH, 2n)).toBe(0);
    expect(request(e2, A, 4)).toBe(-EEXIST);
    expect(request(e2, A, 2)).toBe(0);
    expect(request(e2, A, 0)).toBe(-EEXIST);
    expect(write(A, 4, 1)).toBe(true);
    expect([m.count(e1), m.count(e2)]).toEqual([1, 0]);
    expect(write(A, 2, 1)).toBe(true);
    expect([m.count(e1), m.count(e2)]).toEqual([1, 1]);
    expect([write(A, 4, 3), write(A, 8, 1), read(A, 4)]).toEqual([false, false, false]);
  });

  it("vector 101: a match that no 4-byte write can have is accepted and never fires", () => {
    const { m, request, write } = machine();
    const e = m.eventfd();
    expect(request(e, A, 4, MATCH, 0x100000001n)).toBe(0);
    expect(write(A, 4, 1)).toBe(false);
    expect(m.count(e)).toBe(0);
  });

  it("vector 102: a deassign must name it exactly", () => {
    const { m, request } = machine();
    const [e, other] = [m.eventfd(), m.eventfd()];
    request(e, A, 4, MATCH, 1n);
    expect(request(other, A, 4, DEASSIGN | MATCH, 1n)).toBe(-ENOENT);
    expect(request(e, A, 4, DEASSIGN | MATCH, 2n)).toBe(-ENOENT);
    expect(request(e, A, 4, DEASSIGN | MATCH, 1n)).toBe(0);
    expect(request(e, A, 4, DEASSIGN | MATCH, 1n)).toBe(-ENOENT);
    expect(request(e, A, 3, DEASSIGN)).toBe(-ENOENT);
  });

  it("vector 103: any-length MMIO has a twin on the fast bus", () => {
    const { m, request, devices, write } = machine();
    const e = m.eventfd();
    expect(request(e, A, 0)).toBe(0);
    expect([devices(BusKind.MMIO), devices(BusKind.FAST_MMIO)]).toEqual([1, 1]);
    expect([write(A, 0, 0, 0, BusKind.FAST_MMIO), write(A, 8, 5, 6), write(A + 1, 1, 0)]).toEqual([true, true, false]);
    expect(m.count(e)).toBe(2);
    expect(request(e, A, 0, DEASSIGN)).toBe(0);
    expect([devices(BusKind.MMIO), devices(BusKind.FAST_MMIO)]).toEqual([0, 0]);
  });

  it("vector 104: the descriptor must be an eventfd's", () => {
    const { m, request } = machine();
    const ends = pipe2(m.process, 0);
    expect(request(-1, A, 4)).toBe(-EBADF);
    expect(request(typeof ends === "number" ? ends : ends[0], A, 4)).toBe(-EINVAL);
  });

  it("vector 105: closing the eventfd does not remove it", () => {
    const { m, request, write } = machine();
    const e = m.eventfd();
    const context = m.context(e);
    request(e, A, 4);
    m.close(e);
    expect(write(A, 4, 7)).toBe(true);
    expect(context.count).toBe(1n);
  });

  it("keeps the buses apart, and matches a 64-bit value by both halves", () => {
    const { m, request, write } = machine();
    const [e1, e2] = [m.eventfd(), m.eventfd()];
    expect(request(e1, A, 2, PIO)).toBe(0);
    expect(request(e2, A, 8, MATCH, 0x1_0000_0002n)).toBe(0);
    expect([write(A, 2, 0), write(A, 2, 0, 0, BusKind.PIO)]).toEqual([false, true]);
    expect([write(A, 8, 2, 0), write(A, 8, 2, 1)]).toEqual([false, true]);
  });

  it("keeps devices in address order, but what lies inside a later one in front of it", () => {
    const { vm, m, request, write } = machine();
    const add = (base: number, size: number) => run(vm.mmioBus.register(base, size, new Frame()));
    run(vm.slotsLock.lock());
    for (const [base, size] of [[0x20, 2], [0x20, 1], [0x20, 2], [0x18, 16]] as const) expect(add(base, size)).toBe(0);
    run(vm.slotsLock.unlock());
    const order = run(vm.buses.of(BusKind.MMIO).devices()).map((device) => `${device.address}+${device.length}`);
    expect(order).toEqual(["32+1", "32+2", "32+2", "24+16"]);
    expect(() => add(0x40, 1)).toThrow("without slots_lock");
    const e = m.eventfd();
    expect(request(e, 0x20, 0)).toBe(0);
    expect([write(0x20, 1, 0), m.count(e)]).toEqual([true, 1]);
  });

  it("holds 1000 devices on a bus, ioeventfds not counted; without room for its twin an any-length one leaves nothing", () => {
    const { m, vm, request, devices } = machine();
    const [e, any] = [m.eventfd(), m.eventfd()];
    const fill = (kind: BusKind, count: number): void => {
      run(vm.slotsLock.lock());
      for (let i = 0; i < count; i++) expect(run(vm.buses.of(kind).add(new Chip(i * 8, 8)))).toBe(0);
      run(vm.slotsLock.unlock());
    };
    fill(BusKind.MMIO, 998);
    expect([request(e, A, 4), request(e, A + 8, 4)]).toEqual([0, 0]);
    fill(BusKind.MMIO, 1);
    expect(request(e, A + 16, 4)).toBe(0);
    fill(BusKind.FAST_MMIO, 1000);
    expect(request(any, 0, 0)).toBe(-ENOSPC);
    expect(devices(BusKind.MMIO)).toBe(1002);
    const context = m.context(any);
    m.close(any);
    expect(context.isAlive).toBe(false);
    fill(BusKind.MMIO, 1);
    expect(request(e, A + 24, 4)).toBe(-ENOSPC);
  });

  it("gives a write to whichever of two overlapping devices was registered first", () => {
    for (const isFrameFirst of [false, true]) {
      const { vm, m, request, write } = machine();
      const e = m.eventfd();
      const add = (): void => {
        run(vm.slotsLock.lock());
        run(vm.buses.of(BusKind.MMIO).add(new Chip(A, 0x1000)));
        run(vm.slotsLock.unlock());
      };
      if (isFrameFirst) add();
      expect(request(e, A + 0x10, 4)).toBe(0);
      if (!isFrameFirst) add();
      expect([write(A + 0x10, 4, 0), m.count(e)]).toEqual([true, isFrameFirst ? 0 : 1]);
      expect([write(A + 8, 4, 0), write(A - 4, 4, 0)]).toEqual([true, false]);
    }
  });

  it("waits for the readers of the old bus before it frees (H30)", () => {
    const { m, request } = machine();
    const e = m.eventfd();
    m.trace.clear();
    request(e, A, 4);
    request(e, A, 4, DEASSIGN);
    expect(m.trace.lines("srcu_wait")).toEqual(["srcu_wait(srcu)", "srcu_wait(srcu)"]);
  });

  it("tears the whole bus down when the smaller array cannot be had", () => {
    const { m, vm, request, write } = machine();
    const [e1, e2] = [m.eventfd(), m.eventfd()];
    request(e1, A, 4);
    request(e2, A + 8, 4);
    vm.buses.of(BusKind.MMIO).failNextShrink = true;
    expect(request(e1, A, 4, DEASSIGN)).toBe(0);
    expect(write(A + 8, 4, 0)).toBe(false);
    expect(request(e2, A + 8, 4, DEASSIGN)).toBe(-ENOENT);
    expect(request(e1, A, 4)).toBe(-ENOMEM);
  });
});
