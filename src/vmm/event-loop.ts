import type { HostCpu } from "../host/cpu.js";
import type { PollItem } from "../host/poller.js";
import { Poller } from "../host/poller.js";
import type { Process } from "../host/process.js";
import { Context } from "../sim/context.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EPOLLIN } from "../uapi/eventfd.js";

/** What a VMM does when one of its descriptors is readable, or its timer has run out. */
export interface ReadyHandler {
  ready(): Step<void>;
}

const COUNTER_BYTES = 8;

/** The VMM's main thread: sleeps in poll, drains the eventfds that became readable and runs their handlers. */
export class EventLoop extends Context {
  private readonly poller: Poller;
  private readonly handlers: ReadyHandler[] = [];
  private readonly descriptors: number[] = [];

  /** @param buffer eight bytes of the process's memory for the counters that it reads */
  constructor(
    private readonly sim: Sim,
    private readonly process: Process,
    private readonly hostCpu: HostCpu,
    private readonly buffer: number,
  ) {
    super("vmm", "user", hostCpu.cpu);
    this.poller = new Poller(this, hostCpu);
  }

  /** Watches an eventfd of the process. */
  *watch(fd: number, handler: ReadyHandler): Step<void> {
    const file = this.process.file(fd);
    if (file === null) throw new Error(`descriptor ${fd} is not open`);
    this.descriptors.push(fd);
    this.handlers.push(handler);
    yield* this.poller.add(file, EPOLLIN, this.handlers.length - 1);
  }

  override *body(): Step<void> {
    yield* this.hostCpu.switchTo(this);
    for (;;) {
      const item: PollItem | null = yield* this.poller.next();
      if (item === null) break;
      yield* this.process.read(this.descriptors[item.token], this.buffer, COUNTER_BYTES);
      yield* this.handlers[item.token].ready();
    }
    yield* this.hostCpu.switchTo(null);
  }

  /** A one-shot timer of this process: `handler` runs when it is due, on this thread's CPU. */
  timer(handler: ReadyHandler): VmmTimer {
    return new VmmTimer(this.sim, this.hostCpu, handler);
  }
}

/** A timer of the VMM: virtual time, restarted at will. */
export class VmmTimer extends Context {
  constructor(
    private readonly sim: Sim,
    private readonly hostCpu: HostCpu,
    private readonly handler: ReadyHandler,
  ) {
    super("vmm timer", "timer", hostCpu.cpu);
  }

  /** Starts it, or starts it over. */
  restart(delayNs: number): void {
    this.sim.cancel(this);
    this.sim.wake(this, delayNs);
  }

  override *body(): Step<void> {
    yield* this.hostCpu.switchTo(this);
    yield* this.handler.ready();
    yield* this.hostCpu.switchTo(null);
  }
}
