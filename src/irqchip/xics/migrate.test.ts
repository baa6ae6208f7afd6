import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { KVM_INTERRUPT_SET, KVM_INTERRUPT_SET_LEVEL, KVM_INTERRUPT_UNSET } from "../../uapi/powerpc.js";
import { Papr } from "./papr.fixture.js";

const MESSAGES = [0x1001, 0x1002, 0x2003];
const LEVELS = [0x1010, 0x2011];
const ALL = [...MESSAGES, ...LEVELS];
const SERVERS = [0, 1, 5];
const IPI = 2;
const IPI_PRIORITY = 4;
const PRIORITY: Readonly<Record<number, number>> = { 0x1001: 5, 0x1002: 3, 0x2003: 6, 0x1010: 5, 0x2011: 7 };
/** Turns in which a machine that loses nothing comes to rest. */
const MOST_TURNS = 60;

const halves = (word: string): readonly [number, number] => [Number.parseInt(word.slice(2, 10), 16), Number.parseInt(word.slice(10), 16)];

/**
 * Devices and a guest that behaves as Linux does, on a VM that moves: what each device has to say is a flag, which its handler
 * clears. The state that moves with the guest is its own: which handlers run on each vCPU, and the flags.
 */
class Machine {
  private p = new Papr({ servers: SERVERS });
  /** A condition that no handler has found yet. */
  readonly asked = new Map<number, boolean>(ALL.map((irq) => [irq, false]));
  readonly ipiAsked = new Map<number, boolean>(SERVERS.map((server) => [server, false]));
  /** XIRRs of handlers that run, innermost last, by server. */
  private readonly handlers = new Map<number, number[]>(SERVERS.map((server) => [server, []]));
  readonly triggers = new Map<number, number>(ALL.map((irq) => [irq, 0]));
  readonly taken = new Map<number, number>(ALL.map((irq) => [irq, 0]));
  /** Handlers of levels that found nothing to do. */
  spurious = 0;
  moves = 0;

  constructor() {
    for (const [i, irq] of ALL.entries()) this.p.src(irq, PRIORITY[irq], { server: SERVERS[i % SERVERS.length], lsi: LEVELS.includes(irq) });
    for (const server of SERVERS) this.p.cppr(0xff, this.cpu(server));
  }

  private servers: readonly number[] = SERVERS;
  private cpu(server: number): number {
    return this.servers.indexOf(server);
  }

  raise(irq: number): void {
    this.asked.set(irq, true);
    this.triggers.set(irq, (this.triggers.get(irq) ?? 0) + 1);
    this.p.line(irq, LEVELS.includes(irq) ? KVM_INTERRUPT_SET_LEVEL : KVM_INTERRUPT_SET);
  }

  ipi(from: number, to: number): void {
    this.ipiAsked.set(to, true);
    this.p.ipi(to, IPI_PRIORITY, this.cpu(from));
  }

  /** A vCPU takes what is presented, if anything is. */
  take(server: number): boolean {
    const cpu = this.cpu(server);
    if (!this.p.ee(cpu)) return false;
    const xirr = Number(this.p.xirr(cpu));
    const irq = xirr & 0xff_ffff;
    if (irq === 0) return false;
    this.handlers.get(server)?.push(xirr);
    if (irq === IPI) {
      this.p.ipi(server, 0xff, cpu);
      this.ipiAsked.set(server, false);
      return true;
    }
    this.taken.set(irq, (this.taken.get(irq) ?? 0) + 1);
    if (this.asked.get(irq) === false && LEVELS.includes(irq)) this.spurious++;
    this.asked.set(irq, false);
    if (LEVELS.includes(irq)) this.p.line(irq, KVM_INTERRUPT_UNSET);
    return true;
  }

  /** Its innermost handler ends. */
  end(server: number): boolean {
    const xirr = this.handlers.get(server)?.pop();
    if (xirr === undefined) return false;
    this.p.eoi(xirr, this.cpu(server));
    return true;
  }

  /** To a fresh VM by the uAPI alone, vCPUs created in another order, everything restored in the order of xics.md 12.3. */
  move(): void {
    this.moves++;
    const sources = ALL.map((irq) => [irq, ...halves(String(this.p.word(irq)))] as const);
    const icps = SERVERS.map((server) => [server, ...halves(String(this.p.icpWord(this.cpu(server))))] as const);
    this.servers = [...this.servers.slice(1), this.servers[0]];
    this.p = new Papr({ servers: this.servers });
    for (const [irq, hi] of sources) expect(this.p.set(irq, 0xff | (hi & 0x100), 0)).toBe(0);
    for (const [server, hi, lo] of icps) expect(this.p.setIcp(hi, lo, this.cpu(server))).toBe(0);
    for (const [irq, hi, lo] of sources) expect(this.p.set(irq, hi, lo)).toBe(0);
  }

  /** Everybody serves until all is quiet. */
  finish(): void {
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      let isBusy = false;
      for (const server of SERVERS) {
        while (this.end(server)) isBusy = true;
        if (this.take(server)) isBusy = true;
      }
      if (!isBusy) return;
    }
    throw new Error("it does not come to rest");
  }
}

type Act = { readonly act: "raise"; readonly irq: number } | { readonly act: "ipi"; readonly from: number; readonly to: number } | { readonly act: "take" | "end"; readonly server: number } | { readonly act: "move" };

const server = fc.constantFrom(...SERVERS);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ act: fc.constant("raise" as const), irq: fc.constantFrom(...ALL) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("ipi" as const), from: server, to: server }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constantFrom("take" as const, "end" as const), server }) },
  { weight: 1, arbitrary: fc.constant({ act: "move" as const }) },
);

describe("migration of a guest that runs", () => {
  it("at any instant, by source and server words alone, nothing is lost, and no message is doubled", () => {
    fc.assert(
      fc.property(fc.array(act, { minLength: 5, maxLength: 40 }), (acts) => {
        const machine = new Machine();
        for (const each of acts) {
          if (each.act === "raise") machine.raise(each.irq);
          else if (each.act === "ipi") machine.ipi(each.from, each.to);
          else if (each.act === "move") machine.move();
          else machine[each.act](each.server);
        }
        machine.finish();
        expect([...machine.asked.values(), ...machine.ipiAsked.values()].every((isAsked) => !isAsked)).toBe(true);
        for (const irq of MESSAGES) expect(machine.taken.get(irq)).toBeLessThanOrEqual(machine.triggers.get(irq) ?? 0);
        // 7.3, 12.4: a level costs at most one handler for nothing at its EOI, and one for each move.
        const handled = LEVELS.reduce((sum, irq) => sum + (machine.triggers.get(irq) ?? 0), 0);
        expect(machine.spurious).toBeLessThanOrEqual(handled + LEVELS.length * machine.moves);
      }),
      { numRuns: 120 },
    );
  });

  it("a machine that restores sources before servers waits with an interrupt that was presented (R17): the test above would see it", () => {
    const p = new Papr({ servers: [0] });
    p.src(0x1001, 5, { pending: true });
    p.setIcp(0xff000000, 0xffff0000);
    expect([p.icp(), p.ee()]).toEqual(["ff,ff,ff,000000,1,0", false]);
    run(p.m.hypercall(0, 0x68, [0xfe]));
    run(p.m.hypercall(0, 0x68, [0xff]));
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });
});
