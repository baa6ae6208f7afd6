import { reads, shared, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL, ENOSPC } from "../../uapi/errno.js";

/** Ports of a guest with two-level event channels on a 64-bit guest. Port 0 is nobody's. */
const PORTS = 4096;

/** Told when a guest has an event to see: its upcall. */
export interface Upcall {
  upcall(domain: number, port: number): Step<void>;
}

/** One port: the bits that it has in the page that guest and hypervisor share. */
interface Channel {
  isPending: boolean;
  isMasked: boolean;
}

/**
 * Event channels (vfio.md 21.4; xen/include/public/event_channel.h). An event is a bit: what is sent while it is pending is one
 * with it; what is sent while it is masked waits (vfio.md 23.30).
 */
export class EventChannels {
  /** Upcalls so far: deliveries, each of one or more sends. */
  deliveries = 0;
  listener: Upcall | null = null;
  private readonly channels = new Map<number, Channel>();

  constructor(private readonly sim: Sim) {}

  /** EVTCHNOP_bind_pirq (2), as far as it concerns the port: the lowest free one, or -ENOSPC. */
  *bind(domain: number): Step<number> {
    yield writes(this, "channels");
    for (let port = 1; port < PORTS; port++)
      if (!this.channels.has(key(domain, port))) {
        this.channels.set(key(domain, port), { isPending: false, isMasked: false });
        return port;
      }
    return -ENOSPC;
  }

  /** A port that the guest has chosen; -EBUSY where it is in use, -EINVAL for none. */
  *bindPort(domain: number, port: number): Step<number> {
    if (port <= 0 || port >= PORTS) return -EINVAL;
    yield writes(this, "channels");
    if (this.channels.has(key(domain, port))) return -EBUSY;
    this.channels.set(key(domain, port), { isPending: false, isMasked: false });
    return port;
  }

  /** EVTCHNOP_close (3). */
  *close(domain: number, port: number): Step<number> {
    yield writes(this, "channels");
    return this.channels.delete(key(domain, port)) ? 0 : -EINVAL;
  }

  /** EVTCHNOP_send (4), and what a physical interrupt does. */
  *send(domain: number, port: number): Step<number> {
    yield writes(this, "channels");
    const channel = this.channels.get(key(domain, port));
    if (channel === undefined) return -EINVAL;
    const isNew = !channel.isPending && !channel.isMasked;
    channel.isPending = true;
    this.sim.emit(Ev.xen_evtchn_send, domain, port, isNew ? 1 : 0);
    if (isNew) yield* this.deliver(domain, port);
    return 0;
  }

  private *deliver(domain: number, port: number): Step<void> {
    this.deliveries++;
    if (this.listener !== null) yield* this.listener.upcall(domain, port);
  }

  /** The mask bit; EVTCHNOP_unmask (9) delivers what has waited. */
  *setMasked(domain: number, port: number, isMasked: boolean): Step<number> {
    yield writes(this, "channels");
    const channel = this.channels.get(key(domain, port));
    if (channel === undefined) return -EINVAL;
    const waited = channel.isMasked && channel.isPending && !this.sim.hazards.openMaskOnly;
    channel.isMasked = isMasked;
    if (waited && !isMasked) yield* this.deliver(domain, port);
    return 0;
  }

  /** The guest takes its event: the pending bit as it was. */
  *take(domain: number, port: number): Step<boolean> {
    yield writes(this, "channels");
    const channel = this.channels.get(key(domain, port));
    if (channel === undefined || !channel.isPending) return false;
    channel.isPending = false;
    return true;
  }

  /** Ports in use of a guest, for tests and dumps. */
  *ports(domain: number): Step<readonly number[]> {
    yield reads(this, "channels");
    const all: number[] = [];
    for (let port = 1; port < PORTS; port++) if (this.channels.has(key(domain, port))) all.push(port);
    return all;
  }
}
shared(EventChannels, "channels");

function key(domain: number, port: number): number {
  return domain * PORTS + port;
}
