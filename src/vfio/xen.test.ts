import { describe, expect, it } from "vitest";
import type { Process } from "../host/process.js";
import { XenHypervisor } from "../host/xen/hypervisor.js";
import { XenMsiDomain } from "../host/xen/msi-domain.js";
import { run, type Step } from "../sim/step.js";
import { EINVAL, ENOTTY, EPERM, ESRCH } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import * as xenUapi from "../uapi/vfio-xen.js";
import { LEVEL_SPI } from "../explore/stages/vfio-stage.js";
import { BOOL, ERR, EVENTFD, INTX, MASK, MSI, MSIX, NONE, PciStage, TRIGGER, UNMASK } from "../explore/stages/pci-stage.js";
import { VfioXenPciDriver } from "./backends/xen/driver.js";
import { XenIommuBackend } from "./iommu/xen.js";
import type { Notification, NotifiedInterrupt, NotifyBackend } from "./notify-backend.js";

// Device assignment without a host that handles interrupts (vfio.md 21): what the review of January 2012 asked for.

const GUEST = 5;
const { VFIO_IRQ_NOTIFY_EVTCHN: EVTCHN, VFIO_IRQ_NOTIFY_GUEST_MSI: GUEST_MSI, VFIO_IRQ_NOTIFY_EVENTFD: KIND_EVENTFD } = xenUapi;

class XenStage extends PciStage {
  readonly xen: XenHypervisor;
  readonly upcalls: number[] = [];
  readonly injected: number[] = [];
  readonly d: number;

  constructor(notify?: (index: number) => readonly string[], backends?: readonly NotifyBackend[]) {
    super();
    const { host } = this.machine;
    this.xen = new XenHypervisor(this.sim);
    this.xen.addGuest(GUEST);
    this.xen.channels.listener = this;
    this.xen.pirqs.guests = this;
    const msi = new XenMsiDomain(host.irqs, this.xen.pirqs);
    host.msi = msi;
    this.A.fn.connect(this.xen.pirqs.lineOf(this.A.name, this.wire.input()), this.root);
    this.vfio.registerIommu(new XenIommuBackend(this.sim, this.xen, GUEST));
    this.pciBus.addDriver(new VfioXenPciDriver(this.vfio, { xen: this.xen, msi, guest: GUEST, ...(notify ? { notify } : {}), ...(backends ? { backends } : {}) }));
    this.write("/sys/bus/pci/drivers/vfio-pci/unbind", this.A.name);
    this.write(`/sys/bus/pci/devices/${this.A.name}/driver_override`, "vfio-xen-pci\n");
    this.write("/sys/bus/pci/drivers_probe", this.A.name);
    this.d = this.ready(uapi.VFIO_XEN_IOMMU).d;
    this.configWrite(this.d, 4, 2, 6);
  }
  *upcall(domain: number, port: number): Step<void> {
    expect(domain).toBe(GUEST);
    this.upcalls.push(port);
  }
  *inject(domain: number, vector: number): Step<void> {
    expect(domain).toBe(GUEST);
    this.injected.push(vector);
  }
  flags(index: number): number {
    expect(this.call(this.d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, index, 0)).toBe(0);
    return this.answer(4);
  }
  notify(kind: number, index: number, start: number, size: number, ...elements: number[][]): number {
    return this.call(this.d, xenUapi.VFIO_DEVICE_SET_IRQ_NOTIFY, 24 + size * elements.length, kind, index, start, elements.length, size, ...elements.flat());
  }
  /** The port that came back for element `i`. */
  port(i: number): number {
    return this.answer(24 + 8 * i + 4);
  }
  /** Interrupts that handlers of the host have seen. */
  get hostInterrupts(): number {
    let sum = 0;
    for (let irq = 1; irq < 200; irq++) sum += this.machine.host.counts(irq).kstat;
    return sum;
  }
  takeEvent(port: number): number {
    return run(this.xen.channels.take(GUEST, port)) ? 1 : 0;
  }
}

/** Tells nobody: writes down what it is asked for. The user's element is a name, one byte; 0 is refused. */
class Diary implements NotifyBackend {
  readonly kind = "diary";
  readonly flag = 9;
  readonly infoFlag = 1 << 12;
  readonly elementSize = 1;
  readonly entries: string[] = [];

  suits(index: number): boolean {
    return index === MSIX;
  }

  *attach(process: Process, address: number, { pirq }: NotifiedInterrupt): Step<Notification | number> {
    const name = String.fromCharCode(process.memory.getU8(address));
    if (name === "\0") return -EINVAL;
    const entries = this.entries;
    entries.push(`${name} attached`);
    expect(pirq).toBeGreaterThan(0);
    return {
      *signal(): Step<void> {
        entries.push(`${name} signalled`);
      },
      *detach(): Step<void> {
        entries.push(`${name} detached`);
      },
    };
  }
}

describe("21.1: another way of telling", () => {
  it("is a module, which neither the core nor the driver knows: offered, attached, signalled, detached", () => {
    const diary = new Diary();
    const world = new XenStage(undefined, [diary]);
    expect([INTX, MSI, MSIX].map((index) => world.flags(index) & 0xff01)).toEqual([0, 0, 1 << 12]);
    const ask = (index: number, names: string): number => {
      const at = 24;
      const words = [...names].map((_, i) => names.slice(4 * i, 4 * i + 4)).filter((each) => each !== "");
      return world.call(world.d, xenUapi.VFIO_DEVICE_SET_IRQ_NOTIFY, at + names.length, diary.flag, index, 0, names.length, 1, ...words.map((each) => [...each].reduce((word, letter, i) => word | (letter.charCodeAt(0) << (8 * i)), 0)));
    };
    expect([ask(MSI, "a"), ask(MSIX, "abc"), diary.entries.splice(0)]).toEqual([-EINVAL, 0, ["a attached", "b attached", "c attached"]]);
    // Loopback; there is no mask, and what fails leaves nothing of its call.
    expect([world.setIrqs(world.d, MSIX, NONE | TRIGGER, 1, 1), world.setIrqs(world.d, MSIX, NONE | MASK, 1, 1)]).toEqual([0, -ENOTTY]);
    expect([ask(MSIX, "d\0"), diary.entries.splice(0)]).toEqual([-EINVAL, ["b signalled", "a detached", "d attached", "b detached", "d detached"]]);
    world.close(world.d);
    expect(diary.entries).toEqual(["c detached"]);
  });
});

describe("21.4: an interrupt bound to an event channel", () => {
  it("vector 99: is told by what the index offers, and asked for by elements of its size", () => {
    const world = new XenStage();
    const E = world.eventfd();
    expect(world.flags(MSI) & 0x100).toBe(0x100);
    expect(world.setIrqs(world.d, MSI, EVENTFD | TRIGGER, 0, 1, E)).toBe(-EINVAL);
    expect(world.notify(EVTCHN, MSI, 0, 4, [GUEST])).toBe(-EINVAL);
    world.xen.addGuest(GUEST + 1);
    expect([GUEST + 1, 0, 99].map((domain) => world.notify(EVTCHN, MSI, 0, 8, [domain, 0]))).toEqual([-EPERM, -EPERM, -ESRCH]);
    expect([run(world.xen.channels.ports(GUEST + 1)), world.A.vectors.allocated]).toEqual([[], 0]);
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0])).toBe(0);
    expect(world.port(0)).toBe(1);
    expect(run(world.xen.channels.ports(GUEST))).toEqual([1]);
  });

  it("vector 100: is pending or not: twice before it is taken is once, and no handler of the host runs", () => {
    const world = new XenStage();
    world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0]);
    const port = world.port(0);
    world.event(0);
    world.event(0);
    expect([world.upcalls, world.hostInterrupts]).toEqual([[port], 0]);
    expect([world.takeEvent(port), world.takeEvent(port)]).toEqual([1, 0]);
    world.event(0);
    expect(world.upcalls).toEqual([port, port]);
  });

  it.each([[MSI, 4], [MSIX, 8]])("index %i: each vector has a port of its own, and closes it with the index", (index, count) => {
    const world = new XenStage();
    const elements = Array.from({ length: count }, () => [GUEST, 0]);
    expect(world.notify(EVTCHN, index, 0, 8, ...elements)).toBe(0);
    const ports = elements.map((_, i) => world.port(i));
    expect(new Set(ports).size).toBe(count);
    for (let i = 0; i < count; i++) world.event(i);
    expect(world.upcalls).toEqual(ports);
    expect(world.setIrqs(world.d, index, NONE | TRIGGER, 0, 0)).toBe(0);
    expect([run(world.xen.channels.ports(GUEST)), run(world.xen.pirqs.numbers())]).toEqual([[], []]);
    world.event(0);
    expect(world.upcalls).toEqual(ports);
  });

  it("a line stays active until the guest ends it, and comes again while it is high", () => {
    const world = new XenStage();
    expect(world.flags(INTX)).toBe(xenUapi.VFIO_IRQ_INFO_NOTIFY_EVTCHN);
    expect(world.notify(GUEST_MSI, INTX, 0, 24, [0, 0x51, 0, 0, 0, 0])).toBe(-EINVAL);
    expect(world.notify(EVTCHN, INTX, 0, 8, [GUEST, 7])).toBe(0);
    const [pirq] = run(world.xen.pirqs.numbers());
    world.intx(true);
    expect([world.upcalls, world.isDisIntx, world.hostInterrupts]).toEqual([[7], false, 0]);
    world.takeEvent(7);
    expect(run(world.xen.pirqs.eoi(pirq))).toBe(0);
    expect(world.upcalls).toEqual([7, 7]);
    world.intx(false);
    world.takeEvent(7);
    run(world.xen.pirqs.eoi(pirq));
    expect(world.upcalls).toEqual([7, 7]);
  });

  it("a line that was high before is seen when it is bound, and is the host's again afterwards", () => {
    const world = new XenStage();
    world.intx(true);
    world.notify(EVTCHN, INTX, 0, 8, [GUEST, 0]);
    expect(world.upcalls).toEqual([1]);
    expect(world.machine.gic.lineLevel(0, LEVEL_SPI)).toBe(false);
    world.setIrqs(world.d, INTX, NONE | TRIGGER, 0, 0);
    expect(world.machine.gic.lineLevel(0, LEVEL_SPI)).toBe(true);
  });

  it("has loopback, and the mask bit of its port; a virqfd has nothing to unmask", () => {
    const world = new XenStage();
    expect(world.setIrqs(world.d, MSI, NONE | TRIGGER, 0, 1)).toBe(-EINVAL);
    world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0], [xenUapi.DOMID_INVALID, 0]);
    const port = world.port(0);
    expect(world.setIrqs(world.d, MSI, NONE | TRIGGER, 0, 1)).toBe(0);
    expect(world.setIrqs(world.d, MSI, NONE | TRIGGER, 1, 1)).toBe(-EINVAL);
    expect(world.upcalls).toEqual([port]);
    world.takeEvent(port);
    expect(world.setIrqs(world.d, MSI, BOOL | MASK, 0, 1, 1)).toBe(0);
    world.event(0);
    expect(world.upcalls).toEqual([port]);
    expect(world.setIrqs(world.d, MSI, NONE | UNMASK, 0, 1)).toBe(0);
    expect(world.upcalls).toEqual([port, port]);
    expect(world.setIrqs(world.d, MSI, EVENTFD | UNMASK, 0, 1, world.eventfd())).toBe(-ENOTTY);
    expect(world.setIrqs(world.d, MSI, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(-EINVAL);
  });

  it("a vector of the guest needs no channel at all", () => {
    const world = new XenStage();
    expect(world.notify(GUEST_MSI, MSIX, 2, 24, [0, 0x51, 0, 0, 0, 0])).toBe(0);
    world.event(2);
    expect([world.injected, world.upcalls, world.hostInterrupts]).toEqual([[0x51], [], 0]);
    // Nor has it a mask bit; an index that nothing is bound to has none either.
    expect(world.setIrqs(world.d, MSIX, NONE | MASK, 2, 1)).toBe(-ENOTTY);
    expect(world.setIrqs(world.d, MSIX, NONE | UNMASK, 2, 1)).toBe(-ENOTTY);
    expect(world.setIrqs(world.d, INTX, NONE | MASK, 0, 1)).toBe(-ENOTTY);
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0])).toBe(-EINVAL);
    expect(world.call(world.d, xenUapi.VFIO_DEVICE_SET_IRQ_NOTIFY, 24, GUEST_MSI, MSIX, 0, 0, 24)).toBe(0);
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0])).toBe(0);
  });

  it("a vector of the guest: its pirq is the device's own or is told, and gflags and gtable are looked at", () => {
    const world = new XenStage();
    const bind = (index: number, element: number[]): number => world.notify(GUEST_MSI, index, 0, 24, element);
    expect(bind(MSIX, [0xffff, 0x51, 0, 0, 0, 0])).toBe(-EINVAL);
    expect(bind(MSIX, [0, 0x51, 0x2_0000, 0, 0, 0])).toBe(-EINVAL);
    expect(bind(MSI, [0, 0x51, 0, 0, 0x1000, 0])).toBe(-EINVAL);
    expect(run(world.xen.pirqs.numbers())).toEqual([]);
    expect(bind(MSIX, [0, 0x51, 0x1_0000, 0, 0x1000, 0])).toBe(0);
    const told = world.answer(24);
    expect(run(world.xen.pirqs.numbers())).toContain(told);
    expect(bind(MSIX, [told, 0x52, 0, 0, 0, 0])).toBe(0);
    world.event(0);
    expect(world.injected).toEqual([0x52]);
  });

  it("fails like a block of eventfds: what was set in the call goes, and what it enabled", () => {
    const world = new XenStage();
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 3], [GUEST, 3])).toBe(-16);
    expect([run(world.xen.channels.ports(GUEST)), run(world.xen.pirqs.numbers())]).toEqual([[], []]);
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 3], [GUEST, 4])).toBe(0);
    expect(world.notify(EVTCHN, MSI, 1, 8, [GUEST, 3])).toBe(-16);
    expect(run(world.xen.channels.ports(GUEST))).toEqual([3]);
  });

  it("a block that fails in the middle of an index in use takes back what it had set, and leaves the rest", () => {
    const world = new XenStage();
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 3], [GUEST, 4], [GUEST, 5], [GUEST, 6])).toBe(0);
    expect(world.notify(EVTCHN, MSI, 1, 8, [GUEST, 7], [GUEST, 3])).toBe(-16);
    expect(run(world.xen.channels.ports(GUEST))).toEqual([3, 6]);
    for (const n of [0, 1, 2, 3]) world.event(n);
    expect(world.upcalls).toEqual([3, 6]);
  });

  it("10.3: fewer interrupts than asked for are a positive answer, and none is taken", () => {
    const world = new XenStage();
    Object.assign(world.machine.host.msi ?? {}, { multiMsiLimit: 2 });
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0], [GUEST, 0], [GUEST, 0])).toBe(2);
    expect([run(world.xen.channels.ports(GUEST)), run(world.xen.pirqs.numbers()), world.A.vectors.allocated]).toEqual([[], [], 0]);
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0], [GUEST, 0])).toBe(0);
  });

  it("10.2: what an eventfd has, or another index's eventfd, is not the guest's to take", () => {
    for (const hosted of [INTX, MSI]) {
      const world = new XenStage(() => ["eventfd", "evtchn"]);
      const E = world.eventfd();
      expect(world.setIrqs(world.d, hosted, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
      expect([INTX, MSI, MSIX].map((index) => world.notify(EVTCHN, index, 0, 8, [GUEST, 0]))).toEqual([-EINVAL, -EINVAL, -EINVAL]);
      expect(run(world.xen.channels.ports(GUEST))).toEqual([]);
      expect([world.setIrqs(world.d, hosted, NONE | TRIGGER, 0, 1), world.take(E)]).toEqual([0, 1]);
    }
  });

  it("is validated in the order of 7.5", () => {
    const world = new XenStage();
    const notify = (...words: number[]): number => world.call(world.d, xenUapi.VFIO_DEVICE_SET_IRQ_NOTIFY, ...words);
    expect(notify(23, EVTCHN, MSI, 0, 1, 8)).toBe(-EINVAL);
    expect(notify(32, EVTCHN, 5, 0, 1, 8)).toBe(-EINVAL);
    expect(notify(32, 0x12, MSI, 0, 1, 8)).toBe(-EINVAL);
    expect(notify(32, EVTCHN, MSI, 4, 1, 8)).toBe(-EINVAL);
    expect(notify(32, EVTCHN, MSI, 0, 2, 8)).toBe(-EINVAL);
    expect(notify(32, KIND_EVENTFD, MSI, 0, 1, 4)).toBe(-EINVAL);
    expect(notify(32, EVTCHN, ERR, 0, 1, 8)).toBe(-EINVAL);
    expect(world.ioctl(world.d, xenUapi.VFIO_DEVICE_SET_IRQ_NOTIFY, 0xdead_0000)).toBe(-14);
  });

  it("everything ends with the last close", () => {
    const world = new XenStage();
    world.notify(EVTCHN, MSIX, 0, 8, [GUEST, 0], [GUEST, 0]);
    world.close(world.d);
    expect([run(world.xen.channels.ports(GUEST)), run(world.xen.pirqs.numbers())]).toEqual([[], []]);
  });
});

describe("21.2: the points of the review", () => {
  it("1, 6, 7: an index may offer nothing, and a client that needs nothing there works", () => {
    const world = new XenStage((index) => (index === MSIX ? [] : ["eventfd"]));
    expect([world.flags(MSIX), world.flags(MSI)]).toEqual([0, uapi.VFIO_IRQ_INFO_EVENTFD | uapi.VFIO_IRQ_INFO_NORESIZE]);
    expect(world.notify(EVTCHN, MSIX, 0, 8, [GUEST, 0])).toBe(-EINVAL);
    expect(world.setIrqs(world.d, MSIX, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(-EINVAL);
    expect(world.regionRead(world.d, 0, 4)).toBe(0);
  });

  it("3, 4: memory and interrupts are the hypervisor's, by calls of its own", () => {
    const world = new XenStage();
    expect(run(world.xen.ownerOf(world.A.name))).toBe(GUEST);
    expect(world.pciGroup.describeOwnership()).toBe("user 1 user");
  });

  it("8, 9: SET_IRQS with eventfds is the first kind of the general request", () => {
    const world = new XenStage(() => ["eventfd", "evtchn"]);
    const E = world.eventfd();
    expect(world.notify(KIND_EVENTFD, MSI, 0, 4, [E])).toBe(0);
    expect(world.setIrqs(world.d, MSI, NONE | TRIGGER, 0, 1)).toBe(0);
    expect(world.count(E)).toBe(1);
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0])).toBe(-EINVAL);
    expect(world.setIrqs(world.d, MSI, NONE | TRIGGER, 0, 0)).toBe(0);
    expect(world.notify(EVTCHN, MSI, 0, 8, [GUEST, 0])).toBe(0);
    expect(world.notify(KIND_EVENTFD, MSI, 0, 4, [E])).toBe(-EINVAL);
    // 10.2: one type of interrupt at a time, whoever is told.
    expect([world.notify(KIND_EVENTFD, INTX, 0, 4, [E]), world.setIrqs(world.d, INTX, EVENTFD | TRIGGER, 0, 1, E)]).toEqual([-EINVAL, -EINVAL]);
    expect(world.setIrqs(world.d, ERR, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
  });

  it("5, 13: one base for both drivers: all that is no interrupt answers alike", () => {
    const xen = new XenStage();
    const plain = new PciStage();
    const { d } = plain.ready();
    for (const [world, fd] of [[xen, xen.d], [plain, d]] as const) {
      expect(world.call(fd, uapi.VFIO_DEVICE_GET_INFO, 24)).toBe(0);
      expect([world.answer(4), world.answer(8), world.answer(12)]).toEqual([3, 9, 5]);
      expect(world.configRead(fd, 0, 4) >>> 0).toBe(0x10d3_8086);
      expect(world.ioctl(fd, uapi.VFIO_DEVICE_RESET, 0)).toBe(0);
    }
    expect(plain.call(d, xenUapi.VFIO_DEVICE_SET_IRQ_NOTIFY, 24, EVTCHN, MSI, 0, 0, 8)).toBe(-ENOTTY);
  });
});
