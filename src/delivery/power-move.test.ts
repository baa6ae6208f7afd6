import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { builtinBoard } from "../board/builtin.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { type PpcBinding, PpcSoftware, SERVER, writeIpi } from "../guest/ppc-software.js";
import { type PpcAssembler, PpcOp } from "../guest/ppc-op.js";
import { EventfdFile } from "../host/eventfd.js";
import { costTable } from "../scenario/profile.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { Ev, type EventArgument, type EventSink } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import { run } from "../sim/step.js";
import { must } from "../vmm/must.js";
import { AssignedDevice } from "../vmm/platform-device.js";
import { attachIrqfds, detachIrqfds, moveGuest, type PpcGuestState, restoreGuest, saveGuest, stopGuest } from "../vmm/ppc-migrate.js";
import { PPC_GUEST, PpcVmm } from "../vmm/ppc-vmm.js";
import { irqfdResample } from "./mechanisms/irqfd-resample.js";
import { PowerMachine } from "./power-machine.js";

const NIC = "/pci@800000020000000/00:01.0";
const PIN_SOURCE = 0x1200;
const MESSAGES = [0x1300, 0x1301, 0x1302, 0x1703];
const PRIORITIES = [5, 5, 3, 6];
const SERVERS = [0, 8, 0x70];
/** Words of guest RAM: what inter-processor interrupts announce, by the index of the vCPU that they go to. */
const BOXES = 0x11_0000;
const SERVICE_NS = 5_000;
const LOWEST_NS = 400;
const DELAY = 16;
const FLAG = 17;

const ORDERS = [
  [0, 1, 2],
  [2, 1, 0],
  [1, 2, 0],
];

/** What each message source has sent, and whether a handler has begun since the last one. */
class Messages implements EventSink {
  readonly sent = new Map<number, number>(MESSAGES.map((irq) => [irq, 0]));
  readonly taken = new Map<number, number>(MESSAGES.map((irq) => [irq, 0]));
  readonly unseen = new Set<number>();

  event(_sim: Sim, _id: number, _cause: number, kind: number, _a?: EventArgument, b?: EventArgument): void {
    const irq = Number(b);
    if (kind !== Ev.guest_ack || !this.taken.has(irq)) return;
    this.taken.set(irq, (this.taken.get(irq) ?? 0) + 1);
    this.unseen.delete(irq);
  }
}

/**
 * A guest with three vCPUs: the pin of an assigned function on one of them, messages on all, whose handlers spin for a while
 * with interrupts off, and each of which tells the next vCPU by an inter-processor interrupt.
 */
class Moving {
  readonly messages = new Messages();
  readonly machine: PowerMachine;
  readonly vmm: PpcVmm;
  private nowNs: number;
  private readonly eventfds: EventfdFile[] = [];

  constructor(realMode: boolean) {
    const board = builtinBoard("pseries");
    if (board === undefined) throw new Error("pseries");
    const device = { ...findDevice(board, NIC), interrupts: [findInterrupt(findDevice(board, NIC), 0)] };
    // Any figures do: what matters is that hypercalls, exits and wake-ups take time in which others go on.
    this.machine = new PowerMachine({ board, device, seed: 1, costs: costTable(COST_PROFILES[0]), accessesToService: 1 }, realMode);
    this.vmm = run(this.start());
    this.nowNs = Math.max(...this.machine.sim.clock);
    this.pass(1); // every CPU is at one time
  }

  private *start(): ReturnType<typeof PpcVmm.start> {
    const { machine } = this;
    yield* machine.boot();
    const vmm = yield* PpcVmm.start(machine.host, machine.nodes, {
      mainCpu: 1,
      vcpuCpus: [2, 3, 4],
      servers: SERVERS,
      sources: [{ irq: PIN_SOURCE, isLsi: true }, ...MESSAGES.map((irq) => ({ irq, isLsi: false }))],
      software: new PpcSoftware({ servers: SERVERS, tokens: PPC_GUEST.tokens, rtas: PPC_GUEST.rtas, devices: bindings(), idle: "cede", handlerNs: 0, onIpi: takeBoxes }),
    });
    const assigned = yield* AssignedDevice.assign(vmm, machine.group, machine.deviceName, machine.open);
    yield* assigned.vfio.prepare([0]);
    yield* irqfdResample.wire(vmm, assigned, { index: 0, line: PIN_SOURCE, message: null });
    for (let i = 0; i < MESSAGES.length; i++) {
      const fd = vmm.eventfd();
      must(yield* vmm.assignIrqfd(fd, MESSAGES[i], -1), "KVM_IRQFD");
      const file = vmm.process.file(fd);
      if (file instanceof EventfdFile) this.eventfds.push(file);
    }
    vmm.run();
    yield* machine.sim.settle();
    machine.sim.traceTo(this.messages);
    return vmm;
  }

  /** A message, as a device model in the kernel sends it. */
  send(which: number): void {
    const irq = MESSAGES[which];
    this.messages.sent.set(irq, (this.messages.sent.get(irq) ?? 0) + 1);
    this.messages.unseen.add(irq);
    run(this.eventfds[which].context.signal());
  }

  /** A condition in the assigned function, on its pin. */
  raise(): void {
    run(this.machine.lineOf(0).source.raise());
  }

  pass(ns: number): void {
    this.nowNs += ns;
    run(this.machine.sim.runUntil(this.nowNs));
  }

  /** Until every message that was sent has a handler, which spins. */
  begin(): void {
    for (let tries = 0; this.messages.unseen.size > 0; tries++) {
      if (tries > 1000) throw new Error("no handler begins");
      this.pass(100);
    }
  }

  /** A move as a VMM makes it, or, where something comes in between, each of its steps. */
  move(order: readonly number[], between: readonly Act[]): void {
    const { vmm } = this;
    if (between.length === 0) {
      expect(run(moveGuest(vmm, order))).toBe(0);
      return;
    }
    const next = between[Symbol.iterator]();
    const meanwhile = (): void => {
      const act = next.next().value as Act | undefined;
      if (act !== undefined && act.act !== "move") this.do(act);
    };
    run(stopGuest(vmm));
    meanwhile();
    run(detachIrqfds(vmm));
    meanwhile();
    const state = run(saveGuest(vmm));
    meanwhile();
    run(vmm.renew(order));
    meanwhile();
    expect(run(restoreGuest(vmm, state))).toBe(0);
    meanwhile();
    run(attachIrqfds(vmm));
    meanwhile();
    vmm.run();
  }

  do(act: Act): void {
    if (act.act === "send") this.send(act.which);
    else if (act.act === "raise") this.raise();
    else if (act.act === "pass") this.pass(act.ns);
    else this.move(ORDERS[act.order], act.between);
  }

  finish(): void {
    run(this.machine.sim.settle());
  }

  /** What the next vCPU was told and has not looked at. */
  get fullBoxes(): number[] {
    const { user, guest } = this.vmm.ram;
    return SERVERS.map((_, i) => this.vmm.process.memory.getU32(user - guest + BOXES + 4 * i)).filter((word) => word !== 0);
  }
}

const box = (vcpu: number): number => BOXES + 4 * vcpu;

/** What the handler found in its own CPU's box is gone from it. */
function takeBoxes(code: PpcAssembler): void {
  SERVERS.forEach((server, vcpu) => code.when(SERVER, server, () => void code.wideOp(PpcOp.LWZ, box(vcpu), FLAG).wideOp(PpcOp.STW, box(vcpu), 0)));
  code.wideOp(PpcOp.DELAY, LOWEST_NS, DELAY);
}

function bindings(): PpcBinding[] {
  const spin = (code: PpcAssembler): void => void code.wideOp(PpcOp.DELAY, SERVICE_NS, DELAY);
  const pin: PpcBinding = { source: PIN_SOURCE, vcpu: 1, address: PPC_GUEST.devices, accessesPerService: 1, onInterrupt: spin };
  const messages = MESSAGES.map((source, i): PpcBinding => {
    const vcpu = i % SERVERS.length;
    const next = (vcpu + 1) % SERVERS.length;
    const onInterrupt = (code: PpcAssembler): void => {
      spin(code);
      code.wideOp(PpcOp.STW, box(next), 1);
      writeIpi(code, SERVERS[next]);
      spin(code);
    };
    return { source, vcpu, priority: PRIORITIES[i], address: PPC_GUEST.devices, accessesPerService: 0, onInterrupt };
  });
  return [pin, ...messages];
}

type Plain = { readonly act: "send"; readonly which: number } | { readonly act: "raise" } | { readonly act: "pass"; readonly ns: number };
type Act = Plain | { readonly act: "move"; readonly order: number; readonly between: readonly Plain[] };

const plain: fc.Arbitrary<Plain> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant("send" as const), which: fc.nat(MESSAGES.length - 1) }) },
  { weight: 2, arbitrary: fc.constant({ act: "raise" as const }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("pass" as const), ns: fc.integer({ min: 1, max: 20_000 }) }) },
);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 5, arbitrary: plain },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("move" as const), order: fc.nat(ORDERS.length - 1), between: fc.array(plain, { maxLength: 6 }) }) },
);

describe.each([false, true])("a guest on POWER that moves while interrupts fly, real mode %s", (realMode) => {
  it("at any instant, to vCPUs made in any order, nothing is lost, and no message is taken twice", () => {
    let inFlight = 0;
    fc.assert(
      fc.property(fc.array(act, { minLength: 6, maxLength: 24 }), (acts) => {
        const moving = new Moving(realMode);
        for (const each of acts) moving.do(each);
        inFlight += moving.messages.unseen.size;
        moving.finish();
        const { sent, taken, unseen } = moving.messages;
        expect([[...unseen], moving.fullBoxes, moving.machine.lineOf(0).source.counts.lost]).toEqual([[], [], 0]);
        for (const irq of MESSAGES) expect(taken.get(irq)).toBeLessThanOrEqual(sent.get(irq) ?? 0);
      }),
      { numRuns: 100 },
    );
    expect(inFlight).toBeGreaterThan(0);
  });

  it("in service, presented, waiting for a resend and queued: each of them moves", () => {
    const moving = new Moving(realMode);
    moving.send(0);
    moving.begin();
    moving.send(0); // queued behind itself
    moving.send(3); // presented, less favoured than what runs
    expect(run(moveGuest(moving.vmm, [2, 0, 1]))).toBe(0);
    moving.finish();
    expect([moving.messages.taken.get(0x1300), moving.messages.taken.get(0x1703), moving.fullBoxes]).toEqual([2, 1, []]);
  });
});

describe("what the order of a move is for", () => {
  /** A move whose steps are given, with a message that came at its beginning. */
  function lost(steps: (moving: Moving) => void): number[] {
    const moving = new Moving(false);
    steps(moving);
    moving.vmm.run();
    moving.finish();
    return [...moving.messages.unseen];
  }

  it("irqfds go before sources are read: a message that came between them would be in neither VM", () => {
    const wrong = (moving: Moving): void => {
      run(stopGuest(moving.vmm));
      const state: PpcGuestState = run(saveGuest(moving.vmm));
      moving.send(1);
      run(detachIrqfds(moving.vmm));
      run(moving.vmm.renew([0, 1, 2]));
      run(restoreGuest(moving.vmm, state));
      run(attachIrqfds(moving.vmm));
    };
    expect(lost(wrong)).toEqual([MESSAGES[1]]);
    expect(lost((moving) => moving.move([0, 1, 2], [{ act: "pass", ns: 1 }, { act: "send", which: 1 }]))).toEqual([]);
  });

  it("a level whose line the move lowered is looked at again: without that its device would wait for ever", () => {
    const moving = new Moving(false);
    moving.send(1); // on the pin's vCPU, and of the pin's priority
    moving.begin();
    moving.raise();
    moving.pass(3_000);
    run(stopGuest(moving.vmm));
    run(detachIrqfds(moving.vmm));
    const state = run(saveGuest(moving.vmm));
    run(moving.vmm.renew([0, 1, 2]));
    expect(run(restoreGuest(moving.vmm, state))).toBe(0);
    const { irqfds, vm } = moving.vmm;
    for (const { trigger, gsi, resample } of irqfds) expect(run(vm.assignIrqfd(trigger, gsi, resample))).toBe(0);
    moving.vmm.run();
    moving.finish();
    expect(moving.machine.lineOf(0).source.counts.lost).toBe(1);
  });
});
