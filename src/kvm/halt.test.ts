import { describe, expect, it } from "vitest";
import { HaltPoll } from "./halt-poll.js";

const US = 1000;

describe("halt polling window (host-irq.md 3.4)", () => {
  it("vector 66: opens at 10 us for a short halt and doubles while halts outlast it", () => {
    const poll = new HaltPoll();
    poll.adapt(5 * US, 500 * US);
    expect(poll.windowNs).toBe(10_000);
    poll.adapt(15 * US, 500 * US);
    expect(poll.windowNs).toBe(20_000);
    poll.adapt(15 * US, 500 * US);
    expect(poll.windowNs).toBe(20_000);
  });

  it("vector 67: a halt longer than the maximum halves it; Linux 6.1 closes it", () => {
    const poll = new HaltPoll();
    poll.windowNs = 400_000;
    poll.adapt(1000 * US, 500 * US);
    expect(poll.windowNs).toBe(200_000);
    const old = new HaltPoll();
    old.shrink = 0;
    old.windowNs = 400_000;
    old.adapt(1000 * US, 500 * US);
    expect(old.windowNs).toBe(0);
  });

  it("closes below 10 us and when polling is off; never grows beyond the maximum", () => {
    const poll = new HaltPoll();
    poll.windowNs = 10_000;
    poll.adapt(1000 * US, 500 * US);
    expect(poll.windowNs).toBe(0);
    poll.windowNs = 300_000;
    poll.adapt(400 * US, 500 * US);
    expect(poll.windowNs).toBe(500_000);
    poll.adapt(1, 0);
    expect(poll.windowNs).toBe(0);
  });
});
