import type { Chooser } from "./random.js";
import type { X86Call } from "./vector.js";
import * as guest from "./guest-calls.js";
import * as hostile from "./hostile-calls.js";
import * as make from "./random-calls.js";
import * as story from "./stories.js";
import * as wide from "./wide-calls.js";

/** A kind of sequence: how it begins, and what it is made of, by weight. */
export interface Scene {
  readonly name: string;
  readonly weight: number;
  setUp(choose: Chooser): X86Call[];
  /** Each makes one call, or a few that belong together. */
  readonly calls: readonly (readonly [weight: number, (choose: Chooser) => X86Call | X86Call[]])[];
}

interface Setting {
  readonly mode: "full" | "split" | "none";
  readonly vcpus: number;
  readonly pic: boolean;
  readonly guest: boolean;
  /** Every vCPU runs, with a guest of its own. */
  readonly guests?: boolean;
  /** Of vCPUs 1 and up; default: their numbers. */
  readonly ids?: readonly number[];
}

function setUp(setting: Setting): X86Call[] {
  const calls: X86Call[] = [{ op: "createVm", args: {} }];
  if (setting.mode === "full") calls.push({ op: "createIrqchip", args: {} });
  if (setting.mode === "split") calls.push({ op: "enableCap", args: { cap: "SPLIT_IRQCHIP", args: [24] } });
  for (let id = 0; id < setting.vcpus; id++) calls.push(id === 0 || setting.ids === undefined ? { op: "createVcpu", args: { id } } : { op: "createVcpu", args: { id: setting.ids[id - 1], as: `vcpu${id}` } });
  if (setting.guest) calls.push({ op: "guestInit", args: {} });
  for (let id = 1; id < setting.vcpus && setting.guests; id++) calls.push({ op: "setMpState", args: { vcpu: `vcpu${id}`, state: "runnable" } }, { op: "guestInit", args: { vcpu: `vcpu${id}` } });
  if (setting.mode === "full" && !setting.pic) for (const chip of ["picMaster", "picSlave"] as const) calls.push({ op: "setIrqchip", args: { chip, state: { imr: 0xff } } });
  if (setting.mode !== "none") for (let id = 0; id < setting.vcpus; id++) calls.push({ op: "setLapic", args: { vcpu: `vcpu${id}`, state: { svr: 0x1ff } } });
  for (const as of [...make.EVENTFDS, ...make.RESAMPLEFDS]) calls.push({ op: "eventfd", args: { as } });
  return calls;
}

const vcpus = (c: Chooser): number => c.weighted([[5, 1], [3, 2], [2, 4]]);
/** Pins of the IOAPIC unmasked, as a guest that has booted would have them. */
const programmed = (c: Chooser): X86Call => ({ op: "setIrqchip", args: { chip: "ioapic", state: { redirtbl: Object.fromEntries(make.PINS.map((pin) => [pin, make.entry(c)])) } } });

const LINES = [[10, make.irqLine], [8, make.writeEventfd], [5, make.readEventfd], [4, make.assign], [5, make.assignResample], [3, make.deassign]] as const;

export const SCENES: readonly Scene[] = [
  {
    name: "ioapic",
    weight: 6,
    setUp: (c) => [...setUp({ mode: "full", vcpus: vcpus(c), pic: false, guest: true }), programmed(c)],
    calls: [...LINES, [3, make.signalMsi], [4, make.setIoapic], [6, make.setInService], [2, make.setLapic], [8, guest.eoi], [6, guest.ioapic], [2, make.setGsiRouting], [1, make.getIrqchip], [1, make.getLapic]],
  },
  {
    name: "pic",
    weight: 3,
    setUp: (c) => [...setUp({ mode: "full", vcpus: 1, pic: true, guest: true }), ...guest.picInitialisation(c)],
    calls: [...LINES, [2, make.setPic], [14, guest.pic], [8, guest.flag], [1, make.setGsiRouting], [1, guest.wrongSizes], [1, make.nmi]],
  },
  {
    name: "msi",
    weight: 3,
    setUp: (c) => setUp({ mode: "full", vcpus: 1 + c.below(4), pic: false, guest: true }),
    calls: [[12, make.signalMsi], [6, make.setMsiRouting], [6, make.writeEventfd], [4, make.assign], [3, make.irqLine], [4, make.setLapic], [3, make.setInService], [5, guest.eoi], [2, make.mpState], [2, guest.ipi], [2, make.apicBase]],
  },
  {
    name: "cpu",
    weight: 4,
    setUp: (c) => [...setUp({ mode: "full", vcpus: vcpus(c), pic: c.oneIn(3), guest: true }), programmed(c)],
    calls: [[8, make.irqLine], [8, make.signalMsi], [6, make.writeEventfd], [2, guest.memory], [3, make.assign], [3, make.assignResample], [2, make.readEventfd], [12, guest.flag], [8, guest.eoi], [4, guest.tpr], [3, guest.halt], [2, guest.ioapic], [2, guest.ipi], [2, make.nmi], [1, make.mpState]],
  },
  {
    name: "lapic",
    weight: 3,
    setUp: (c) => setUp({ mode: c.oneIn(4) ? "split" : "full", vcpus: vcpus(c), pic: false, guest: true }),
    calls: [[14, guest.lapic], [1, guest.unreadable], [1, guest.pvEoi], [6, make.setLapic], [4, make.setInService], [4, make.signalMsi], [3, guest.eoi], [3, guest.ipi], [3, make.apicBase], [2, guest.msr], [1, guest.x2apic], [3, guest.flag], [2, make.mpState], [2, make.nmi], [1, guest.smi]],
  },
  {
    name: "split",
    weight: 2,
    setUp: (c) => setUp({ mode: "split", vcpus: vcpus(c), pic: false, guest: true }),
    calls: [[6, make.setMsiRouting], [6, make.irqLine], [6, make.signalMsi], [4, make.writeEventfd], [4, make.assign], [1, make.assignResample], [4, make.setInService], [6, guest.eoi], [4, guest.flag], [3, make.interrupt], [2, guest.halt], [1, make.getIrqchip]],
  },
  {
    name: "none",
    weight: 1,
    setUp: () => setUp({ mode: "none", vcpus: 1, pic: false, guest: true }),
    calls: [[4, make.interrupt], [4, guest.flag], [2, guest.halt], [2, guest.pic], [2, guest.eoi], [2, make.irqLine], [2, make.signalMsi], [2, make.assign], [1, make.getLapic], [1, make.getIrqchip], [1, make.mpState], [1, make.nmi]],
  },
  {
    name: "api",
    weight: 4,
    setUp: (c) => setUp({ mode: c.of(["full", "full", "split", "none"] as const), vcpus: c.below(3), pic: c.oneIn(2), guest: c.oneIn(2) }),
    calls: [[4, make.assign], [4, make.assignResample], [4, make.deassign], [6, make.ioeventfd], [5, make.descriptor], [4, make.device], [4, make.creation], [4, make.setGsiRouting], [4, make.writeEventfd], [3, make.readEventfd], [3, make.irqLine], [2, guest.wrongSizes], [1, guest.memory], [2, make.interrupt], [2, make.getIrqchip], [1, make.setPic], [3, make.otherVm], [1, make.assignChained]],
  },
  {
    name: "x2apic",
    weight: 3,
    setUp: (c) => [...setUp({ mode: c.oneIn(3) ? "split" : "full", vcpus: 1 + c.below(4), pic: false, guest: true }), ...(c.oneIn(2) ? [make.x2apicApi(c)] : []), { op: "setCpuid", args: { x2apic: 1 } }, { op: "setCpuid", args: { vcpu: "vcpu1", x2apic: 1 } }],
    calls: [[8, make.wideMsi], [8, make.x2apicVcpu], [6, guest.msr], [4, make.signalMsi], [4, make.setLapic], [3, make.setLapicState], [3, guest.x2apicIcr], [3, guest.eoi], [3, guest.flag], [2, make.setMsiRouting], [2, make.writeEventfd], [2, make.assign], [2, make.setInService], [1, guest.lapic]],
  },
  {
    name: "state",
    weight: 3,
    setUp: (c) => [...setUp({ mode: "full", vcpus: vcpus(c), pic: c.oneIn(2), guest: true }), programmed(c)],
    calls: [...LINES, [5, make.setIoapicState], [5, make.setPicState], [5, make.setLapicState], [3, make.setIoapic], [6, guest.eoi], [5, guest.pic], [4, guest.ioapic], [5, guest.flag], [3, make.signalMsi], [2, make.assignChained], [1, make.apicBase], [1, make.mpState]],
  },
  {
    name: "timer",
    weight: 2,
    setUp: (c) => setUp({ mode: c.oneIn(4) ? "split" : "full", vcpus: 1, pic: false, guest: true }),
    calls: [[14, guest.shortTimer], [8, guest.eoi], [8, guest.flag], [2, guest.halt], [2, guest.tpr], [2, make.signalMsi], [1, make.mpState], [1, make.getLapic]],
  },
  {
    name: "timer modes",
    weight: 2,
    setUp: (c) => {
      const [createVm, ...rest] = setUp({ mode: "full", vcpus: 1, pic: false, guest: true });
      const before = rest.findIndex(({ op }) => op === "guestInit");
      return c.oneIn(3) ? [createVm, ...rest] : [createVm, ...rest.slice(0, before), { op: "setCpuid", args: { x2apic: 0 } }, ...rest.slice(before)];
    },
    calls: [[14, guest.longTimer], [4, guest.eoi], [5, guest.flag], [2, guest.halt], [2, make.setLapic], [2, make.signalMsi]],
  },
  {
    name: "several guests",
    weight: 5,
    setUp: (c) => [...setUp({ mode: c.oneIn(5) ? "split" : "full", vcpus: 3, pic: false, guest: true, guests: true }), programmed(c)],
    calls: [[6, make.irqLine], [8, make.signalMsi], [4, make.writeEventfd], [2, make.assign], [2, make.assignResample], [2, make.readEventfd], [12, guest.onAny(guest.flag)], [10, guest.onAny(guest.eoi)], [8, guest.onAny(guest.ipiToGuests)], [3, guest.onAny(guest.tpr)], [3, guest.onAny(guest.halt)], [2, guest.onAny(guest.ioapic)], [2, guest.onAny(guest.memory)], [2, make.nmi], [3, guest.startUp], [1, guest.onAny(guest.smi)], [1, make.setLapic], [1, guest.onAny(guest.msr)]],
  },
  {
    name: "hostile",
    weight: 6,
    setUp: (c) => [...setUp({ mode: c.of(["full", "full", "split", "none"] as const), vcpus: 1, pic: false, guest: true }), ...hostile.prepared],
    calls: [[5, hostile.badPointer], [4, hostile.onNoVm], [3, hostile.onNoVcpu], [5, hostile.descriptors], [6, hostile.irqfds], [5, hostile.routing], [5, hostile.values], [4, hostile.attributes], [3, make.irqLine], [2, make.writeEventfd], [2, make.assign], [1, guest.flag], [1, guest.eoi], [1, make.signalMsi]],
  },
  {
    name: "wide ids",
    weight: 2,
    setUp: (c) => {
      const ids = wide.someIds(c);
      const [createVm, ...rest] = setUp({ mode: c.oneIn(3) ? "split" : "full", vcpus: 1 + ids.length, pic: false, guest: true, ids });
      const api = c.oneIn(6) ? [] : [make.x2apicApi(c)];
      return [createVm, ...api, ...rest, ...wide.enterX2apic(c, ids.length)];
    },
    calls: [[12, wide.wideMessage], [6, wide.wideRoutes], [4, make.writeEventfd], [3, wide.assignRoute], [5, wide.wideIpi], [3, make.x2apicVcpu], [3, make.setLapic], [2, make.getLapic], [4, guest.eoi], [3, guest.flag], [2, guest.msr], [2, wide.broadcast], [1, make.setInService]],
  },
  {
    name: "clusters",
    weight: 2,
    setUp: (c) => [...setUp({ mode: c.oneIn(5) ? "split" : "full", vcpus: 4, pic: false, guest: true }), ...wide.enterClusters(c)],
    calls: [[10, wide.clusterMessage], [5, wide.clusterEntry], [6, make.irqLine], [6, wide.clusterLdr], [4, wide.clusterIpi], [3, make.writeEventfd], [2, make.assign], [4, guest.eoi], [3, guest.flag], [2, make.setLapic], [2, make.setInService], [1, make.getLapic]],
  },
  {
    name: "pit",
    weight: 1,
    setUp: (c) => {
      const [createVm, createIrqchip, ...rest] = setUp({ mode: "full", vcpus: 1, pic: c.oneIn(2), guest: true });
      return [createVm, createIrqchip, { op: "createPit2", args: { flags: c.of([0, 1, 1]) } }, ...rest, ...story.pitStart];
    },
    calls: [[8, story.pitControl], [8, story.pitStatus], [4, story.speaker], [4, story.portWithoutRead], [3, guest.pic], [2, guest.flag], [2, make.irqLine], [1, guest.wrongSizes], [1, make.creation]],
  },
  {
    name: "stories",
    weight: 2,
    setUp: (c) => [...setUp({ mode: "full", vcpus: 2, pic: c.oneIn(2), guest: true }), programmed(c)],
    calls: [[4, story.staleRouting], [4, story.unmaskBehindResampler], [4, story.levelAfterEdge], [3, story.picPoll], [3, story.shortPeriod], [2, story.rtcTicks], [2, story.unmaskLint0], [3, guest.eoi], [3, guest.flag], [2, make.irqLine], [2, make.writeEventfd], [1, make.setIoapic], [1, make.setLapic]],
  },
  {
    name: "edges",
    weight: 1,
    setUp: (c) => setUp({ mode: "full", vcpus: 1, pic: c.oneIn(2), guest: true }),
    calls: [[8, guest.memory], [1, guest.ownCode], [1, guest.otherMsr], [2, guest.unreadable], [4, guest.flag], [3, make.signalMsi], [3, guest.eoi], [2, guest.wrongSizes], [1, guest.undefined_]],
  },
];
