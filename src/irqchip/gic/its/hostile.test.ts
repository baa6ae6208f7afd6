import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { ENOMEM } from "../../../uapi/errno.js";
import { soakIts } from "./its.soak.js";
import { COLLECTIONS, DEVICES, ItsStage, ITT, PENDING, PROPERTIES, QUEUE } from "../../../explore/stages/its-stage.js";

const RUNS = 60;
/** `npm run soak:its` has a million. */
const COMMANDS = 4000;
const VALID = 1n << 63n;
const OPCODES = [0x01, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x20, 0x77];
/** Guest addresses worth pointing at: its own tables, each other, no memory, the ends of the address space. */
const ADDRESSES = [0, DEVICES, COLLECTIONS, QUEUE, PROPERTIES, PENDING, ITT, 0x08080000, 0x4fffff00, 0x50000000, 2 ** 40 - 256, 2 ** 48, 2 ** 52 - 256];

const word = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 40n), fc.constantFrom(...ADDRESSES.map(BigInt)), fc.constantFrom(...ADDRESSES.map((at) => BigInt(at) | VALID)));
const small = fc.integer({ min: 0, max: 9 });
const plausible = fc.tuple(fc.constantFrom(...OPCODES), small, small, fc.integer({ min: 8190, max: 8200 }), small, fc.boolean()).map(([op, device, event, intid, icid, isValid]) => {
  const flags = isValid ? VALID : 0n;
  const dw2 = op === 0x08 ? BigInt(ITT + device * 0x1000) | flags : (BigInt(icid) << 16n) | BigInt(icid % 3) | flags;
  return [BigInt(op) | (BigInt(device) << 32n), BigInt(event) | (BigInt(intid) << 32n), dw2, BigInt(event) << 16n];
});
const wild = fc.tuple(fc.constantFrom(...OPCODES), word, word, word, word).map(([op, ...words]) => [(words[0] & ~0xffn) | BigInt(op), ...words.slice(1)]);
const command = fc.oneof(plausible, plausible, wild);

/** Everything outside the guest's memory that a guest could reach would throw; so would state that contradicts itself. */
function check(h: ItsStage): void {
  expect(h.read("CREADR")).toBe(h.read("CWRITER"));
  expect(run(h.dist.lpis.next(8192)) < 65536).toBe(true);
}

describe("a hostile guest (gic-its.md B3, B4)", () => {
  it("may queue anything: every command is passed, and the ITS goes on", () => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 60 }), (commands) => {
        const h = new ItsStage();
        for (const words of commands) h.commands([words[0], words[1], words[2], words[3]]);
        check(h);
        for (let cpu = 0; cpu < 4; cpu++) h.drain(cpu);
      }),
      { numRuns: RUNS },
    );
  });

  it("may point the queue and the tables anywhere", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom("BASER0", "BASER1", "CBASER", "CWRITER", "CREADR", "CTLR"), word), { minLength: 1, maxLength: 30 }), fc.array(command, { maxLength: 8 }), (stores, commands) => {
        const h = new ItsStage();
        for (const [register, value] of stores) {
          h.write(register as "CTLR", value);
          for (const words of commands) h.commands([words[0], words[1], words[2], words[3]]);
        }
        h.write("CTLR", 0n);
        expect(h.read("CTLR") & 1n).toBe(0n);
      }),
      { numRuns: RUNS },
    );
  });

  it("may have every device name one table that is full: the restore ends with ENOMEM, and nothing is left", () => {
    const h = new ItsStage();
    const events = 2 ** 16;
    const devices = 9;
    for (let event = 0; event < events; event++) h.poke(ITT + 8 * event, (BigInt(event === events - 1 ? 0 : 1) << 48n) | (8192n << 16n));
    h.poke(COLLECTIONS, VALID);
    for (let device = 0; device < devices; device++) h.poke(DEVICES + 8 * device, VALID | (BigInt(device === devices - 1 ? 0 : 1) << 49n) | (BigInt(ITT / 256) << 5n) | 15n);
    expect([h.restore(), h.mapped()]).toEqual([-ENOMEM, { devices: [], collections: [] }]);
  });

  it("may leave anything in the tables that a restore reads", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(DEVICES, COLLECTIONS, ITT), fc.integer({ min: 0, max: 40 }), word), { maxLength: 30 }), fc.boolean(), (entries, isIndirect) => {
        const h = new ItsStage();
        h.write("CTLR", 0n);
        if (isIndirect) h.write("BASER0", VALID | (1n << 62n) | BigInt(DEVICES));
        for (const [table, index, value] of entries) h.poke(table + 8 * index, value);
        const result = h.restore();
        expect([0, -22, -14, -17]).toContain(result);
        if (result !== 0) expect(h.mapped()).toEqual({ devices: [], collections: [] });
      }),
      { numRuns: RUNS },
    );
  });

  it("reads and writes nothing but its own memory, in bounded work for each command", () => {
    const { commands, done, faults } = soakIts(COMMANDS, 1);
    expect(faults).toEqual([]);
    expect(commands).toBeGreaterThanOrEqual(COMMANDS);
    expect(done).toBeGreaterThan(COMMANDS / 10);
  });

  it("is served in bounded work: MAPD of every device with 16 bits of events costs no table", () => {
    const h = new ItsStage();
    for (let device = 0; device < 2000; device++) h.commands([0x08n | (BigInt(device) << 32n), 15n, BigInt(ITT) | VALID, 0n]);
    expect(h.mapped().devices.length).toBe(2000);
    run(h.its.itsLock.lock());
    const bytes = [...h.its.devices.values()].reduce((sum, device) => sum + device.bytes, 0);
    run(h.its.itsLock.unlock());
    expect(bytes).toBe(0);
  });
});
