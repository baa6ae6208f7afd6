import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PhysicalGic } from "../../arch/gic/contract.js";
import type { IrqPort } from "../../arch/irq-port.js";
import { run, type Step } from "../../sim/step.js";
import { GicV2 } from "./gicv2.js";
import { GicV3 } from "./gicv3.js";

// The state machine of host-irq.md 2.2 written down a second time, as slowly and plainly as can be.

const CPUS = 2;
/** Few, so that they meet: SGIs, PPIs, SPIs of several words. */
const IDS = [0, 9, 20, 21, 32, 33, 63, 64, 95];
const INTERRUPTS = 96;
const SPURIOUS = 1023;
const PMR = 0xf0;

interface PlainIrq {
  intid: number;
  cpu: number;
  enabled: boolean;
  latch: boolean;
  line: boolean;
  edge: boolean;
  active: boolean;
  priority: number;
}

class PlainGic {
  private readonly irqs: PlainIrq[] = [];
  readonly running: number[][] = Array.from({ length: CPUS }, () => []);

  constructor(
    private readonly eoiMode: 0 | 1,
    private readonly binaryPoint = 3,
  ) {
    for (const intid of IDS) for (let cpu = 0; cpu < (intid < 32 ? CPUS : 1); cpu++) this.irqs.push(plain(intid, cpu));
  }

  irq(cpu: number, intid: number): PlainIrq {
    const found = this.irqs.find((irq) => irq.intid === intid && (intid >= 32 || irq.cpu === cpu));
    if (found === undefined) throw new Error(`no interrupt ${intid}`);
    return found;
  }

  setLine(cpu: number, intid: number, isHigh: boolean): void {
    const irq = this.irq(cpu, intid);
    if (isHigh && !irq.line && irq.edge) irq.latch = true;
    irq.line = isHigh;
  }

  isPending = (irq: PlainIrq): boolean => irq.latch || (!irq.edge && irq.line);
  group = (priority: number): number => priority & (0xff << this.binaryPoint) & 0xff;
  runningPriority = (cpu: number): number => Math.min(0xff, ...this.running[cpu]);

  candidate(cpu: number): PlainIrq | undefined {
    const ready = this.irqs.filter((irq) => irq.cpu === cpu && irq.enabled && !irq.active && this.isPending(irq));
    return ready.sort((a, b) => a.priority - b.priority || a.intid - b.intid)[0];
  }

  isSignalled(cpu: number): boolean {
    const best = this.candidate(cpu);
    return best !== undefined && best.priority < PMR && this.group(best.priority) < this.runningPriority(cpu);
  }

  acknowledge(cpu: number): number {
    const best = this.candidate(cpu);
    if (best === undefined || !this.isSignalled(cpu)) return SPURIOUS;
    best.latch = false;
    best.active = true;
    this.running[cpu].push(this.group(best.priority));
    return best.intid;
  }

  end(cpu: number, intid: number): void {
    if (intid >= 1020 || this.running[cpu].length === 0) return;
    const top = this.runningPriority(cpu);
    this.running[cpu] = this.running[cpu].filter((priority) => priority !== top);
    if (this.eoiMode === 0) this.irq(cpu, intid).active = false;
  }

  deactivate(cpu: number, intid: number): void {
    if (intid < 1020 && this.eoiMode === 1) this.irq(cpu, intid).active = false;
  }
}

function plain(intid: number, cpu: number): PlainIrq {
  return { intid, cpu, enabled: true, latch: false, line: false, edge: intid < 16, active: false, priority: 0xa0 };
}

/** Remembers what the wire was told last. */
class Wire implements IrqPort {
  isHigh = false;
  *irq(isAsserted: boolean): Step<void> {
    this.isHigh = isAsserted;
  }
}

const cpu = fc.nat(CPUS - 1);
const intid = fc.constantFrom(...IDS);
const wired = intid.filter((id) => id >= 16);
const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("line" as const), cpu, intid: wired, on: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("acknowledge" as const), cpu }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("end" as const), cpu, odd: fc.option(intid, { freq: 12 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("deactivate" as const), cpu, odd: fc.option(intid, { freq: 12 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("sgi" as const), cpu, intid: fc.constantFrom(0, 9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("pend" as const), cpu, intid: wired, on: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("priority" as const), cpu, intid, value: fc.constantFrom(0x00, 0x40, 0x48, 0xa0, 0xa8, 0xf0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("target" as const), cpu, intid: intid.filter((id) => id >= 32) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("enable" as const), cpu, intid, on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("activate" as const), cpu, intid: wired, on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("edge" as const), cpu, intid: wired, on: fc.boolean() }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

class Pair {
  readonly slow: PlainGic;
  private readonly wires = Array.from({ length: CPUS }, () => new Wire());
  private readonly taken: number[][] = Array.from({ length: CPUS }, () => []);

  constructor(readonly fast: PhysicalGic & { boot(): void }) {
    this.slow = new PlainGic(fast.eoiMode);
    fast.boot();
    for (const intid of IDS) for (let n = 0; n < CPUS; n++) run(fast.setEnabled(n, intid, true));
    this.wires.forEach((wire, n) => fast.connect(n, wire));
  }

  perform(a: Action): void {
    const { fast, slow } = this;
    switch (a.do) {
      case "line":
        run(a.intid < 32 ? fast.setPpi(a.cpu, a.intid, a.on) : fast.setSpi(a.intid, a.on));
        return slow.setLine(a.cpu, a.intid, a.on);
      case "acknowledge": {
        const iar = run(fast.acknowledge(a.cpu));
        expect(iar & 0x3ff).toBe(slow.acknowledge(a.cpu));
        if (iar !== SPURIOUS) this.taken[a.cpu].push(iar);
        return;
      }
      case "end": {
        const iar = a.odd ?? this.taken[a.cpu].at(-1) ?? SPURIOUS;
        run(fast.endOfInterrupt(a.cpu, iar));
        return slow.end(a.cpu, iar & 0x3ff);
      }
      case "deactivate": {
        const iar = a.odd ?? this.taken[a.cpu].pop() ?? SPURIOUS;
        run(fast.deactivate(a.cpu, iar));
        return slow.deactivate(a.cpu, iar & 0x3ff);
      }
      case "enable":
        run(fast.setEnabled(a.cpu, a.intid, a.on));
        slow.irq(a.cpu, a.intid).enabled = a.on;
        return;
      case "pend":
        run(fast.setPending(a.cpu, a.intid, a.on));
        slow.irq(a.cpu, a.intid).latch = a.on;
        return;
      case "activate":
        run(fast.setActive(a.cpu, a.intid, a.on));
        slow.irq(a.cpu, a.intid).active = a.on;
        return;
      case "edge":
        run(fast.setTrigger(a.cpu, a.intid, a.on ? "edge" : "level"));
        slow.irq(a.cpu, a.intid).edge = a.on;
        return;
      case "priority":
        run(fast.setPriority(a.cpu, a.intid, a.value));
        slow.irq(a.cpu, a.intid).priority = a.value;
        return;
      case "target":
        run(fast.setTarget(a.intid, a.cpu));
        slow.irq(a.cpu, a.intid).cpu = a.cpu;
        return;
      case "sgi":
        run(fast.sendSgi(0, a.cpu, a.intid));
        slow.irq(a.cpu, a.intid).latch = true;
    }
  }

  /** A line per interrupt: "cpu intid: pending active enabled line", and the signals. */
  compare(): void {
    const { fast, slow } = this;
    let [seen, right] = ["", ""];
    for (let n = 0; n < CPUS; n++) {
      seen += `cpu ${n} ${fast.isSignalled(n)} ${this.wires[n].isHigh}\n`;
      right += `cpu ${n} ${slow.isSignalled(n)} ${slow.isSignalled(n)}\n`;
      for (const id of IDS) {
        const irq = slow.irq(n, id);
        seen += `${n} ${id}: ${fast.isPending(n, id)} ${fast.isActive(n, id)} ${fast.isEnabled(n, id)} ${fast.lineLevel(n, id)}\n`;
        right += `${n} ${id}: ${slow.isPending(irq)} ${irq.active} ${irq.enabled} ${irq.line}\n`;
      }
    }
    if (seen !== right) expect(seen).toBe(right);
  }
}

const machines: readonly [string, () => PhysicalGic & { boot(): void }][] = [
  ["GICv3, EOImode 0", () => new GicV3({ cpus: CPUS, interrupts: INTERRUPTS, eoiMode: 0 })],
  ["GICv3, EOImode 1", () => new GicV3({ cpus: CPUS, interrupts: INTERRUPTS, eoiMode: 1 })],
  ["GICv2, EOImode 0", () => new GicV2({ cpus: CPUS, interrupts: INTERRUPTS, eoiMode: 0 })],
  ["GICv2, EOImode 1", () => new GicV2({ cpus: CPUS, interrupts: INTERRUPTS, eoiMode: 1 })],
];

describe("every interrupt follows the state machine of host-irq.md 2.2", () => {
  it.each(machines)("%s", (_name, make) => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 120, size: "max" }), (actions) => {
        const pair = new Pair(make());
        for (const each of actions) {
          pair.perform(each);
          pair.compare();
        }
      }),
      { numRuns: 150, seed: 20 },
    );
  });
});
