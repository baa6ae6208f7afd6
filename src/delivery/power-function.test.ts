import { describe, expect, it } from "vitest";
import { CHANGE_MSI_FN, CHANGE_MSIX_FN } from "../arch/papr.js";
import { builtinBoard } from "../board/builtin.js";
import { findDevice } from "../board/find-device.js";
import { REGISTERS_STRIDE } from "../device/register-file.js";
import { type PpcFunctionDriver, writeProbe, writeRelease } from "../guest/ppc-function-driver.js";
import { PpcOp } from "../guest/ppc-op.js";
import { PpcSoftware } from "../guest/ppc-software.js";
import { IommuDma } from "../host/iommu/dma.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { Smmu } from "../host/smmu.js";
import { costTable } from "../scenario/profile.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { TraceBuffer } from "../sim/event.js";
import { run } from "../sim/step.js";
import { AssignedDevice } from "../vmm/platform-device.js";
import { moveGuest } from "../vmm/ppc-migrate.js";
import { PPC_GUEST, PpcVmm } from "../vmm/ppc-vmm.js";
import type { MechanismName } from "../board/assign.js";
import { CONFIG_ADDRESS, PowerFunction, VectorWire } from "./power-function.js";
import { PowerMachine } from "./power-machine.js";
import { POWER_DRIVER } from "./power-stage.js";

const NVME = "/pci@800000020000001/00:01.0";
const PIN_SOURCE = 0x1200;
const VECTORS = [0, 3];
/** The guest goes over to messages, and back, when the world's clock shows it. */
const PROBE_NS = 1_000_000;
const RELEASE_NS = 2_000_000;
const DELAY = 24;

/** A guest whose driver serves a function by its pin, then by messages, then by its pin again. */
class Probing {
  readonly trace = new TraceBuffer();
  readonly machine: PowerMachine;
  readonly vmm: PpcVmm;
  private bootedNs = 0;

  constructor(
    private readonly mechanism: MechanismName,
    realMode: boolean,
    private readonly change: Partial<PpcFunctionDriver> = {},
  ) {
    const board = builtinBoard("pseries");
    if (board === undefined) throw new Error("pseries");
    const options = { board, device: findDevice(board, NVME), seed: 1, costs: costTable(COST_PROFILES[0]), accessesToService: 1 };
    this.machine = new PowerMachine(options, realMode);
    this.vmm = run(this.start());
  }

  private *start(): ReturnType<typeof PpcVmm.start> {
    const { machine } = this;
    yield* machine.boot();
    const vmm = yield* PpcVmm.start(machine.host, machine.nodes, { mainCpu: 1, vcpuCpus: [2], servers: [0], sources: [{ irq: PIN_SOURCE, isLsi: true }], software: this.software() });
    const assigned = yield* AssignedDevice.assign(vmm, machine.group, machine.deviceName, machine.open);
    const vectors = VECTORS.map((vector) => new VectorWire(1 + vector, vector));
    const fn = new PowerFunction(vmm, { msi: 0, msix: 9, pin: { index: 0, line: PIN_SOURCE, message: null }, vectors, mechanism: this.mechanism });
    yield* fn.begin(assigned);
    vmm.run();
    this.bootedNs = Math.max(...machine.sim.clock);
    this.pass(PROBE_NS / 2);
    machine.sim.traceTo(this.trace);
    return vmm;
  }

  private software(): PpcSoftware {
    const { list, numbers, statuses, buffers, pages } = POWER_DRIVER;
    const driver: PpcFunctionDriver = {
      buid: PPC_GUEST.buid,
      configAddress: CONFIG_ADDRESS,
      change: CHANGE_MSIX_FN,
      count: 4,
      messages: VECTORS.map((vector) => ({ vector, address: PPC_GUEST.devices + (1 + vector) * REGISTERS_STRIDE, accessesPerService: 1 })),
      numbers,
      pin: PIN_SOURCE,
      dma: { liobn: PPC_GUEST.liobn, entries: 0x4_0000, buffers, pages, list, statuses },
      ...this.change,
    };
    const caller = { servers: [0], tokens: PPC_GUEST.tokens, rtas: PPC_GUEST.rtas };
    return new PpcSoftware({
      ...caller,
      devices: [{ source: PIN_SOURCE, address: PPC_GUEST.devices, accessesPerService: 1 }],
      functions: [{ ...driver, count: 0 }],
      idle: "cede",
      handlerNs: 0,
      main: (code) => {
        code.wideOp(PpcOp.DELAY, PROBE_NS, DELAY);
        writeProbe(code, caller, driver);
        code.wideOp(PpcOp.DELAY, RELEASE_NS - PROBE_NS, DELAY);
        writeRelease(code, caller, driver);
      },
    });
  }

  /** Until this long after the boot. */
  pass(ns: number): void {
    run(this.machine.sim.runUntil(this.bootedNs + ns));
  }

  raise(index: number): void {
    run(this.machine.lineOf(index).source.raise());
  }

  /** Sources that the guest has accepted, and what became of what interrupt `index` raised. */
  get accepted(): number[] {
    return this.trace.events.filter(({ name, args }) => name === "guest_ack" && args[1] !== 0).map(({ args }) => Number(args[1]));
  }

  counts(index: number): number[] {
    const source = this.machine.sourceOf(index);
    return source === undefined ? [] : [source.counts.raised, source.counts.delivered, source.counts.lost];
  }
}

describe.each([
  ["irqfd", false],
  ["irqfd", true],
  ["userspace", false],
  ["userspace", true],
] as const)("a function that goes over from its pin to messages and back, in one run: %s, real mode %s", (mechanism, realMode) => {
  it("is served by the pin, by each vector whose source firmware told the driver, and by the pin again: nothing is lost", () => {
    const probing = new Probing(mechanism, realMode);
    probing.raise(0);
    probing.pass(PROBE_NS * 0.75);
    const before = probing.accepted.length;
    expect(new Set(probing.accepted)).toEqual(new Set([PIN_SOURCE]));
    probing.pass(PROBE_NS * 1.5);
    probing.raise(1);
    probing.raise(4);
    probing.pass(PROBE_NS * 1.75);
    expect(probing.accepted.slice(before)).toEqual([0x1300, 0x1303]);
    probing.pass(RELEASE_NS * 1.25);
    probing.raise(0);
    probing.pass(RELEASE_NS * 1.5);
    expect(new Set(probing.accepted.slice(before + 2))).toEqual(new Set([PIN_SOURCE]));
    expect([0, 1, 4].map((index) => probing.counts(index))).toEqual([
      [2, 2, 0],
      [1, 1, 0],
      [1, 1, 0],
    ]);
  });

  it("a condition on the pin at any moment around the change is served, by then or when the pin is back", () => {
    for (let ns = -4_000; ns <= 60_000; ns += 4_000) {
      const probing = new Probing(mechanism, realMode);
      probing.pass(PROBE_NS + ns);
      probing.raise(0);
      probing.pass(RELEASE_NS * 1.5);
      expect([ns, ...probing.counts(0)]).toEqual([ns, 1, 1, 0]);
    }
  });

  it("one whose messages firmware refuses is served by its pin throughout", () => {
    const probing = new Probing(mechanism, realMode, { change: CHANGE_MSI_FN });
    probing.pass(PROBE_NS * 1.5);
    probing.raise(0);
    probing.pass(PROBE_NS * 1.75);
    expect([new Set(probing.accepted), probing.counts(0)]).toEqual([new Set([PIN_SOURCE]), [1, 1, 0]]);
  });

  it("one that asks for more than it has vectors is told how many, and stays with its pin", () => {
    const probing = new Probing(mechanism, realMode, { count: 10 });
    probing.pass(PROBE_NS * 1.5);
    probing.raise(0);
    probing.pass(PROBE_NS * 1.75);
    expect(probing.counts(0)).toEqual([1, 1, 0]);
  });
});

describe("the sources that firmware gave to a function", () => {
  it("move with the guest", () => {
    const probing = new Probing("irqfd", false);
    probing.pass(PROBE_NS * 1.25);
    probing.raise(4);
    expect(run(moveGuest(probing.vmm, [0]))).toBe(0);
    probing.pass(PROBE_NS * 1.5);
    probing.raise(1);
    probing.pass(PROBE_NS * 1.75);
    expect([probing.accepted, probing.counts(1), probing.counts(4)]).toEqual([[0x1303, 0x1300], [1, 1, 0], [1, 1, 0]]);
  });
});

describe("DMA of an assigned function on Power", () => {
  it("reaches what the guest's H_PUT_TCE and H_PUT_TCE_INDIRECT let it reach, and faults elsewhere", () => {
    const { machine, vmm } = new Probing("irqfd", false);
    const { buffers, pages, statuses } = POWER_DRIVER;
    const device = machine.bus.device(machine.deviceName);
    if (!(device instanceof PciDevice) || device.group === null) throw new Error("no group");
    const dma = new IommuDma(new Smmu(machine.sim, "smmuv3"), device.group, 8);
    const { memory } = vmm.process;
    const at = (real: number): number => vmm.ram.user + real;
    expect([0, 4, 8].map((offset) => memory.getU32(at(statuses + offset)))).toEqual([0, 0, 0]);
    for (let page = 0; page < pages; page++) {
      const word = Uint8Array.of(page, 2, 3, 4);
      expect(run(dma.write(page * 0x1000 + 0x10, word))).toBe(true);
      expect(memory.getU32(at(buffers + page * 0x1000 + 0x10))).toBe(0x0403_0200 + page);
    }
    expect([run(dma.write(pages * 0x1000, Uint8Array.of(1))), run(dma.write(0x4000_0000, Uint8Array.of(1)))]).toEqual([false, false]);
  });
});
