import { describe, expect, it } from "vitest";
import { Random } from "../sim/random.js";
import { run } from "../sim/step.js";
import * as uapi from "../uapi/vfio.js";
import { INTX, MSI, MSIX, PciStage, type PciStageOptions, pipeOf, REGION } from "../explore/stages/pci-stage.js";

const OPERATIONS = 150;
const EXPRESS_DEVCTL = 0x60;
const PMCSR = 0x44;
const MSI_FLAGS = 0x4a;

/** A user who does anything, a function that does anything: what must hold whenever everything is quiet (vfio.md 23). */
class Chaos {
  readonly world: PciStage;
  private fds: { c: number; g: number; d: number };
  private readonly eventfds: number[];
  private readonly log: string[] = [];

  constructor(
    private readonly random: Random,
    options: PciStageOptions,
  ) {
    this.world = new PciStage(options);
    this.fds = this.world.ready();
    this.eventfds = [...Array.from({ length: 4 }, () => this.world.eventfd()), -1, -1, 77, pipeOf(this.world)];
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)];
  }

  run(): void {
    for (let i = 0; i < OPERATIONS; i++) {
      const what = this.operate();
      this.log.push(what);
      this.world.settle();
      const wrong = this.wrong();
      if (wrong !== null) throw new Error(`${wrong} after ${this.log.slice(-8).join("; ")}`);
    }
  }

  private operate(): string {
    const { world } = this;
    const { d } = this.fds;
    // A function that loses its registers in D3hot gets those of before back, as from the kernel: what was written to
    // COMMAND meanwhile, a mask of INTx among it, is gone. This user leaves D3hot first.
    if ((world.A.fn.peek(PMCSR, 2) & 3) === 3) return `D0: ${world.configWrite(d, PMCSR, 2, 0)}`;
    switch (this.random.below(9)) {
      case 0:
      case 1:
      case 2:
        return this.setIrqs();
      case 3: {
        const value = this.pick([0, 2, 4, 6, 7, 0x402, 0x406, 0x407]);
        return `COMMAND ${value}: ${world.configWrite(d, 4, 2, value)}`;
      }
      case 4:
        return this.writeConfig();
      case 5: {
        const isAsserted = this.random.below(2) === 1;
        world.intx(isAsserted);
        return `pin ${isAsserted}`;
      }
      case 6:
        world.event(this.random.below(8));
        return "message";
      case 7:
        return `BAR: ${world.regionWrite(d, this.pick([0, 2, 4]) * REGION + 4 * this.random.below(40), 4, 1)}`;
      default:
        return this.rare();
    }
  }

  private setIrqs(): string {
    const index = this.pick([INTX, INTX, MSI, MSIX, 3, 4]);
    const action = this.pick([8, 16, 32, 32, 32, 48]);
    const [start, count] = [this.pick([0, 0, 0, 1, 3]), this.pick([0, 1, 1, 2, 4])];
    const data = this.pick([1, 2, 4, 4]);
    // An eventfd that is trigger and unmasks too would be told for ever while the pin is up.
    const descriptors = this.eventfds.filter((_fd, i) => i > 3 || (action & 16 ? i > 1 : i < 2));
    const elements = data === 1 ? [] : Array.from({ length: count }, () => (data === 2 ? this.random.below(2) : this.pick(descriptors)));
    return `S(${index},${data | action},${start},${count},${elements.join()}): ${this.world.setIrqs(this.fds.d, index, data | action, start, count, ...elements)}`;
  }

  private writeConfig(): string {
    const [offset, size, value] = this.pick([
      [MSI_FLAGS, 2, this.random.below(128)],
      [PMCSR, 2, this.pick([0, 3, 0x8103])],
      [EXPRESS_DEVCTL, 2, this.pick([0x2000, 0xa000, 0x50ff])],
      [0x10, 4, 0xffff_ffff],
      [this.random.below(64) * 4, 4, this.random.below(0x1_0000_0000)],
    ]);
    // Not the command register: its values have an operation of their own.
    if (offset === 4) return "nothing";
    return `config ${offset.toString(16)}=${value.toString(16)}: ${this.world.configWrite(this.fds.d, offset, size, value)}`;
  }

  private rare(): string {
    const { world } = this;
    switch (this.random.below(4)) {
      case 0:
        return `RESET: ${world.ioctl(this.fds.d, uapi.VFIO_DEVICE_RESET, 0)}`;
      case 1:
        return `hot reset: ${world.call(this.fds.d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, this.fds.g)}`;
      case 2:
        world.signal(this.eventfds[this.random.below(4)]);
        return "eventfd";
      default:
        return this.reopen();
    }
  }

  private reopen(): string {
    const { world } = this;
    world.close(this.fds.d);
    const left = this.left();
    if (left !== null) throw new Error(`${left} after ${this.log.slice(-8).join("; ")}`);
    this.fds = { ...this.fds, d: world.deviceFd(this.fds.g, world.A.name) };
    return `reopened: ${this.fds.d}`;
  }

  /** What an ended use leaves behind. */
  private left(): string | null {
    const { A, machine } = this.world;
    if (A.vectors.kind !== "none" || A.vectors.allocated > 0) return "vectors are left";
    const depth = machine.desc(machine.level).depth;
    return depth === 1 ? null : `the line is left with depth ${depth}`;
  }

  private wrong(): string | null {
    const { vfioA, A, isDisIntx } = this.world;
    const { mode, intx } = vfioA.irqs;
    const type = run(mode.get());
    if (A.vectors.allocated > 0 !== (type === MSI || type === MSIX)) return `mode ${type} with ${A.vectors.allocated} vectors`;
    if (type !== INTX) return null;
    const isMasked = run(intx.isMasked());
    const isAsserted = (A.fn.peek(6, 2) & 8) !== 0;
    if (intx.hasPci23 && isMasked !== isDisIntx) return `23.3: masked ${isMasked}, DisINTx ${isDisIntx}`;
    const isAsleep = (A.fn.peek(PMCSR, 2) & 3) === 3;
    if (isAsserted && !isMasked && !isDisIntx && !isAsleep) return "23.2: asserted, and neither masked nor told";
    const unmasks = this.world.machine.trace.lines("vfio_unmask").length;
    return isMasked || !run(mode.isVirqDisabled()) ? null : `23.9: not masked while the user has INTx disabled, after ${unmasks} unmasks`;
  }

  end(): string | null {
    const { world, fds } = this;
    for (const fd of [fds.d, fds.g, fds.c]) world.close(fd);
    world.settle();
    return this.left() ?? (world.pciGroup.describeOwnership() === "kernel 0 default" ? null : "the group is not released");
  }
}

describe("a user and a function that do anything", () => {
  const variants: [string, PciStageOptions][] = [
    ["with DisINTx", {}],
    ["without DisINTx", { hasBrokenIntxMasking: true }],
    ["without DisINTx, lazily", { hasBrokenIntxMasking: true, vfio: { unlazyIntx: false } }],
    ["with dynamic MSI-X and masks", { allocatesDynamically: true, isMsiMaskable: true }],
    ["that loses its registers in D3hot, and can only be reset with its bus", { resetsInD3: true, noReset: true }],
    ["behind an SMMU", { doorbell: 0x0809_0040, reserved: [{ start: 0x0800_0000n, end: 0x080f_ffffn, kind: "sw-msi" }] }],
  ];
  it.each(variants)("%s", (_name, options) => {
    for (let seed = 1; seed <= 12; seed++) {
      const chaos = new Chaos(new Random(seed), options);
      chaos.run();
      expect(chaos.end()).toBeNull();
    }
  }, 60_000);
});
