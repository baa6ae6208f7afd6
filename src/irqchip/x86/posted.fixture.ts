import { run, type Step } from "../../sim/step.js";
import type { LapicHarness } from "./lapic/lapic.fixture.js";
import { type NotificationPort, PostedHost, PostedInterrupts, type PostedVcpu } from "./posted-interrupts.js";

/** A vCPU for those who post to it. */
export class FakePostedVcpu implements PostedVcpu {
  physicalCpu = -1;
  inGuest = false;
  current = false;
  wakes = 0;

  constructor(readonly id: number) {}
  *isInGuest(): Step<boolean> {
    return this.inGuest;
  }
  isCurrent(): boolean {
    return this.current;
  }
  *wakeUp(): Step<void> {
    this.wakes++;
  }
}

/** Physical CPUs whose APIC ids are their numbers; keeps "vector>cpu" of each notification. */
export class FakePort implements NotificationPort {
  readonly sent: string[] = [];

  constructor(readonly isX2apic = false) {}
  apicId(cpu: number): number {
    return cpu;
  }
  *send(apicId: number, vector: number): Step<void> {
    this.sent.push(`${vector < 0 ? "doorbell" : vector.toString(16)}>${apicId}`);
  }
}

export interface Posted {
  readonly posted: PostedInterrupts;
  readonly vcpu: FakePostedVcpu;
}

/** Posted interrupts on every vCPU of a harness, loaded on physical CPU = index. */
export function post(h: LapicHarness, port: FakePort, cpus = 8, address = 0): { host: PostedHost; all: Posted[] } {
  const host = new PostedHost(h.sim, cpus, port);
  const all = h.vm.vcpus.map(({ index, id }) => {
    const vcpu = new FakePostedVcpu(id);
    const posted = new PostedInterrupts(host, vcpu, address === 0 ? 0 : address + index * 64);
    run(h.at(index).accelerate(posted));
    run(posted.load(index));
    vcpu.physicalCpu = index;
    return { posted, vcpu };
  });
  return { host, all };
}
