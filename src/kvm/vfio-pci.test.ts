import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC } from "../uapi/x86.js";
import { EVENTFD, INTX, MASK, MSI, NONE, PciStage, TRIGGER, UNMASK } from "../explore/stages/pci-stage.js";
import { ARGUMENTS } from "../explore/stages/vfio-stage.js";
import { routingBytes } from "../explore/stages/kvm-machine.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";
import { KvmModule } from "./arm64/module.js";
import { KvmFile, vmOf } from "./system.js";

const GSI = 10;

/** A VM in the process that has function A open, with a wire behind GSI 10 and an MSI behind GSI 24. */
function ready() {
  const world = new PciStage();
  const { process } = world;
  const { d, c, g } = world.ready();
  const kvm = process.install(new KvmFile(new KvmModule(world.machine.host), new LineChip()));
  const fd = world.ioctl(kvm, K.KVM_CREATE_VM, 0);
  const vm = vmOf(process, fd);
  const chip = vm?.arch;
  if (vm === null || !(chip instanceof LineChipVm)) throw new Error("no VM");
  const routes = [
    { gsi: GSI, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [KVM_IRQCHIP_IOAPIC, GSI] },
    { gsi: 24, type: K.KVM_IRQ_ROUTING_MSI, words: [0xfee0_0000, 0, 0x41] },
  ];
  process.memory.copyOut(ARGUMENTS, routingBytes(routes));
  expect(world.ioctl(fd, K.KVM_SET_GSI_ROUTING, ARGUMENTS)).toBe(0);
  const irqfd = (eventfd: number, gsi: number, flags = 0, resamplefd = 0): number => {
    const result = world.call(fd, K.KVM_IRQFD, eventfd, gsi, flags, resamplefd, 0, 0, 0, 0);
    world.settle();
    return result;
  };
  const eoi = (): void => {
    run(vm.notifyAcked(KVM_IRQCHIP_IOAPIC, GSI));
    world.settle();
  };
  const isHigh = (): boolean => chip.pin(KVM_IRQCHIP_IOAPIC, GSI) !== 0;
  return { world, d, c, g, chip, irqfd, eoi, isHigh };
}

/** QEMU's steps for INTx with an in-kernel controller (vfio.md 22.2, 1 to 7). */
function qemuIntx() {
  const all = ready();
  const { world, d, irqfd } = all;
  const [E, R] = [world.eventfd(), world.eventfd()];
  expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
  expect(world.setIrqs(d, INTX, NONE | MASK, 0, 1)).toBe(0);
  expect(irqfd(E, GSI, K.KVM_IRQFD_FLAG_RESAMPLE, R)).toBe(0);
  expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, R)).toBe(0);
  expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
  world.settle();
  return { ...all, E, R };
}

describe("vfio-pci and KVM", () => {
  it("vector 107: INTx through a resampling irqfd: the EOI unmasks the function, or tells again while it asserts", () => {
    const { world, eoi, isHigh } = qemuIntx();
    world.intx(true);
    expect([isHigh(), world.isDisIntx]).toEqual([true, true]);
    world.intx(false);
    eoi();
    expect([isHigh(), world.isDisIntx]).toEqual([false, false]);
    world.intx(true);
    const { signals } = world.vfioA.irqs.intx;
    eoi();
    expect([isHigh(), world.isDisIntx, world.vfioA.irqs.intx.signals - signals]).toEqual([true, true, 1]);
  });

  it("vector 109: a client that goes without taking anything back leaves no receiver", () => {
    const { world, d, R } = qemuIntx();
    world.close(R);
    world.settle();
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, world.eventfd())).toBe(0);
  });

  it("a message of the function becomes one of the guest's", () => {
    const { world, d, chip, irqfd } = ready();
    const E = world.eventfd();
    world.configWrite(d, 4, 2, 6);
    expect([world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E), irqfd(E, 24)]).toEqual([0, 0]);
    world.event(0);
    world.event(0);
    expect(chip.messages).toEqual([0x41, 0x41]);
  });

  it("vector 110: a vector and the irqfd of its eventfd are connected; a swap ends that first, and the new one signals plainly", () => {
    const { world, d, chip, irqfd } = ready();
    const [E, E2] = [world.eventfd(), world.eventfd()];
    world.configWrite(d, 4, 2, 6);
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    expect(irqfd(E, 24)).toBe(0);
    expect(chip.bypassLog).toContain("connect");
    chip.bypassLog.length = 0;
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E2)).toBe(0);
    world.settle();
    expect(chip.bypassLog).toContain("disconnect");
    world.event(0);
    expect([chip.messages, world.count(E2)]).toEqual([[], 1]);
  });

  it("23.13: no signal reaches the VM after the last close, whatever the function does", () => {
    const { world, d, g, c, isHigh } = qemuIntx();
    for (const fd of [d, g, c]) world.close(fd);
    world.intx(true);
    expect(isHigh()).toBe(false);
  });
});
