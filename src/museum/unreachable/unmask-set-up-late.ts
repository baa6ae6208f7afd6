import { wireAgainstRaise } from "../../explore/protocols/assigned-device.js";
import type { Unreachable } from "../unreachable.js";

export const unmaskSetUpLate: Unreachable = {
  name: "unmask-set-up-late",
  title: "The first interrupt ends before anybody waits for its end",
  year: 2026,
  cite: [{ text: "tiiuae/ghaf#2057, fix(qemu-bpmp): restore vfio-platform irqfd fast path on gicv3", url: "https://github.com/tiiuae/ghaf/pull/2057" }],
  story:
    "A VMM connects a level interrupt of a platform device in three calls: the irqfd with its resamplefd, the trigger, and the eventfd that unmasks. From the second call on the device can fire. Told is that a quick guest has ended the interrupt before the third call, so that KVM signals the resamplefd and nobody listens: the line stays masked for ever. The report is of a Jetson AGX Orin whose line wedged when its device asserted in the seventeen seconds between that set-up and the guest's request of the interrupt; a timer in QEMU rearms it. What it saw is an assertion that the guest did not acknowledge, which no order of calls can mend.",
  why: "VFIO looks at the count when it attaches the eventfd that unmasks, and a count that is there unmasks at once; without that look the wedge is there (vfio.md 23.8, unmaskSetUpWithoutSample).",
  instead: "posted-while-suppressed",
  protocol: wireAgainstRaise,
  bound: { preemptions: 1 },
};
