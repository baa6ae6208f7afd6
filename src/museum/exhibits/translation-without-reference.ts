import { cachedMessageAgainstDiscard } from "../../explore/protocols/its.js";
import type { Exhibit } from "../exhibit.js";

export const translationWithoutReference: Exhibit = {
  name: "translation-without-reference",
  title: "A translation that outlives its interrupt",
  year: 2024,
  cite: [
    { text: "Linux ad362fe07fec, KVM: arm64: vgic-its: Avoid potential UAF in LPI translation cache", url: "https://git.kernel.org/torvalds/c/ad362fe07fec" },
    { text: "CVE-2024-26598", url: "https://nvd.nist.gov/vuln/detail/CVE-2024-26598" },
  ],
  story:
    "Since 2019 KVM remembers which LPI a device's event is, so that a message can be injected where nothing may sleep. A lookup in that cache gave back the LPI under the cache's lock and left it without a reference of its own. Between the lookup and the use a guest's DISCARD could end the mapping, empty the cache and free the LPI: a guest could have its host write into freed memory. Oliver Upton found it while he took the lock apart; the lookup takes a reference now, and whoever asked for it gives it back.",
  rule: "What a cache finds is held before the lock that protects the cache is given back.",
  protocol: cachedMessageAgainstDiscard,
  off: "hitWithoutReference",
  bound: { preemptions: 2, budget: 100 },
};
