import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DirectOptions, HOST_DEVICE } from "../../../explore/stages/direct-machine.js";
import { run } from "../../../sim/step.js";
import { type Act, EVENTS, VCPUS, World } from "./world.fixture.js";

const RUNS = 12;
const KINDS = 19;

const below = (count: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: count - 1 });
const act: fc.Arbitrary<Act> = fc.record({ kind: below(KINDS), event: below(EVENTS.length), vcpu: below(VCPUS), byte: below(256) });
const acts = fc.array(act, { minLength: 30, maxLength: 100, size: "max" });

const HOSTS: readonly (readonly [string, DirectOptions])[] = [
  ["GICv4.0", { hw: "v4.0" }],
  ["GICv4.0 with the ITS list, the device behind the second ITS", { hw: "v4.0", itses: [0x08080000, 0x08200000], its: { typerHigh: 0x1f }, itsOf: () => 1 }],
  ["GICv4.1", { hw: "v4.1" }],
];

describe("a guest with VLPIs, whatever it, its VMM, its device and the scheduler do", () => {
  it.each(HOSTS)("%s: I6 to I15 and I19 of gic.md D1 hold after each act", (_name, options) => {
    fc.assert(
      fc.property(acts, (all) => {
        const world = new World(options);
        expect(world.count).toBe(KINDS);
        for (const each of all) expect(world.apply(each)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  it("a difference is seen: a vPE that counts a VLPI too many, and a doorbell that is off", () => {
    const world = new World({ hw: "v4.0" });
    const { machine } = world;
    const [, vpe] = machine.v4.cpus.map((each) => each.vpe);
    run(vpe.count(1));
    expect(world.apply({ kind: 6, event: 0, vcpu: 0, byte: 1 })).toEqual(["I7: vPE 1 counts 1 VLPIs, has 0"]);
    run(vpe.count(-1));
    const { translation } = machine.itsHost.driver.nodes[0].its;
    expect(world.apply({ kind: 0, event: 0, vcpu: 0, byte: 0 })).toEqual([]);
    translation.findInterrupt(HOST_DEVICE, 0);
    translation.interrupt.target = 0;
    translation.interrupt.store(translation.ram, translation.interruptAt);
    expect(world.apply({ kind: 6, event: 1, vcpu: 0, byte: 1 })).toEqual([`I7: the hardware has 8200 as vLPI 8200 of 0, doorbell ${vpe.doorbellLpi}`]);
    translation.interrupt.target = 1;
    translation.interrupt.store(translation.ram, translation.interruptAt);
    for (const byte of [0, 1]) expect(world.apply({ kind: 15, event: 0, vcpu: 1, byte })).toEqual([]);
    run(machine.host.disableIrqNosync(vpe.irq));
    expect(world.apply({ kind: 6, event: 0, vcpu: 0, byte: 1 })).toEqual(["I9: vPE 1 waits without a doorbell"]);
  });
});
