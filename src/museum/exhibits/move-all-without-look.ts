import { moveAllAgainstMap } from "../../explore/protocols/its.js";
import type { Exhibit } from "../exhibit.js";

export const moveAllWithoutLook: Exhibit = {
  name: "move-all-without-look",
  title: "Everything is moved, and one has gone",
  year: 2024,
  cite: [{ text: "Linux 85a71ee9a070, KVM: arm64: vgic-its: Test for valid IRQ in MOVALL handler", url: "https://git.kernel.org/torvalds/c/85a71ee9a070" }],
  story:
    "A MOVALL concerns every LPI of a VM that one redistributor has, whichever ITS has mapped it, and each ITS executes its commands under a lock of its own. KVM copied the numbers of the LPIs first and looked each of them up afterwards. In between another vCPU could discard one at another ITS, and the lookup found nothing, which was used as if it were an LPI. It stood so since MOVALL learnt of GICv4 in 2017. Oliver Upton saw it when he changed how the numbers are walked; the same question was missing where EnableLPIs reads the pending table.",
  rule: "A number that was seen under a lock is no thing that is still there.",
  protocol: moveAllAgainstMap,
  off: "moveAllWithoutLook",
  bound: { preemptions: 2, budget: 100 },
};
