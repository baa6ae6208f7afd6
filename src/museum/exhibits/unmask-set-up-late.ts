import { wireAgainstRaise } from "../../explore/protocols/assigned-device.js";
import type { Exhibit } from "../exhibit.js";

export const unmaskSetUpLate: Exhibit = {
  name: "unmask-set-up-late",
  title: "The first interrupt ends before anybody waits for its end",
  year: 2026,
  cite: [
    { text: "tiiuae/ghaf#2057, fix(qemu-bpmp): restore vfio-platform irqfd fast path on gicv3", url: "https://github.com/tiiuae/ghaf/pull/2057" },
    { text: "commit df16ce2437ea, patches 0005 and 0006 of QEMU's hw/vfio/platform.c", url: "https://github.com/tiiuae/ghaf/commit/df16ce2437ea2bc65883fda7dc088b2152a2433b" },
  ],
  story:
    "A VMM connects a level interrupt of a platform device in three calls: the irqfd with its resamplefd, the trigger, and the eventfd that unmasks. From the second call on the device can fire. If the guest is quick, it has ended the interrupt before the third call: KVM signals the resamplefd and nobody listens. On a Jetson AGX Orin a line was seen that fired once on the host and was masked from then on; vadik likholetov traced it to an assertion between the calls and the guest's readiness, and rearms the line by a timer. In the order of calls alone the search finds no such wedge, for VFIO looks at the count when it attaches the unmask eventfd, and a count that is there unmasks at once. That look is the rule, and taking it away brings the wedge. What remained on that machine was an assertion that the guest never acknowledged, which no order of calls can mend.",
  rule: "Who attaches to an eventfd looks at its count: what was signalled before is not lost.",
  protocol: wireAgainstRaise,
  off: "unmaskSetUpWithoutSample",
  bound: { preemptions: 1, budget: 2_000 },
};
