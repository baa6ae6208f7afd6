/** Where each numbered access point stands in the source ("src/kvm/irqfd.ts:41"); the build fills it for the stepped tempo. */
export const POINT_SITES: readonly string[] = [""];
