import { describe, expect, it } from "vitest";
import { CapId, Command, Msi, Msix, Pci, Pm } from "../../arch/pci/config-registers.js";
import type { LevelSink } from "../../arch/level.js";
import { run, type Step } from "../../sim/step.js";
import type { DmaPort } from "../dma-port.js";
import { E1000, E1000_CAUSE, E1000Nic } from "./e1000.js";
import { NVME, NVME_ADMIN, NvmeController } from "./nvme.js";
import type { PciFunction } from "./function.js";
import { WiredOr } from "./wired-or.js";

class Wire implements LevelSink {
  readonly trigger = "level";
  readonly changes: boolean[] = [];
  *setLevel(isHigh: boolean): Step<void> {
    this.changes.push(isHigh);
  }
}

class Port {
  readonly messages: string[] = [];
  *message(requesterId: number, addressHi: number, addressLo: number, data: number): Step<void> {
    const address = (BigInt(addressHi >>> 0) << 32n) | BigInt(addressLo >>> 0);
    this.messages.push(`${requesterId.toString(16)} ${address.toString(16)}=${data.toString(16)}`);
  }
}

class Memory implements DmaPort {
  readonly bytes = new Uint8Array(0x1_0000);
  readonly view = new DataView(this.bytes.buffer);
  *read(iova: number, into: Uint8Array): Step<boolean> {
    into.set(this.bytes.subarray(iova, iova + into.length));
    return true;
  }
  *write(iova: number, from: Uint8Array): Step<boolean> {
    this.bytes.set(from, iova);
    return true;
  }
}

function plugged<T extends { fn: PciFunction }>(device: T) {
  const [wire, port] = [new Wire(), new Port()];
  const { fn } = device;
  fn.connect(wire, port);
  run(fn.writeConfig(Pci.COMMAND, 2, Command.MEMORY | Command.MASTER));
  const store = (offset: number, value: number): void => run(fn.writeBar(0, offset, 4, value));
  const load = (offset: number): number => run(fn.readBar(0, offset, 4));
  return { device, fn, wire, port, store, load };
}

const nic = () => plugged(new E1000Nic("0000:03:00.0", 0x300));

describe("an e1000-class function", () => {
  it("asserts its pin while an unmasked cause is there; reading ICR takes the causes", () => {
    const { device, wire, store, load, fn } = nic();
    run(device.raise(E1000_CAUSE.RXT0));
    expect(wire.changes).toEqual([]);
    store(E1000.IMS, E1000_CAUSE.RXT0);
    expect([wire.changes, fn.peek(Pci.STATUS, 2) & 8]).toEqual([[true], 8]);
    expect([load(E1000.ICR) >>> 0, load(E1000.ICR), wire.changes, fn.peek(Pci.STATUS, 2) & 8]).toEqual([0x8000_0080, 0, [true, false], 0]);
  });

  it("its pin is held down by DisINTx and comes back with it; STATUS tells all the while", () => {
    const { device, wire, store, fn } = nic();
    store(E1000.IMS, E1000_CAUSE.LSC);
    run(device.raise(E1000_CAUSE.LSC));
    run(fn.writeConfig(Pci.COMMAND, 2, Command.MEMORY | Command.INTX_DISABLE));
    expect([wire.changes, fn.peek(Pci.STATUS, 2) & 8]).toEqual([[true, false], 8]);
    run(fn.writeConfig(Pci.COMMAND, 2, Command.MEMORY));
    expect(wire.changes).toEqual([true, false, true]);
  });

  it("sends one message per assertion with MSI, and leaves its pin alone", () => {
    const { device, fn, wire, port, store, load } = nic();
    const at = fn.capability(CapId.MSI);
    run(fn.writeConfig(at + Msi.ADDRESS_LO, 4, 0xfee0_1000 | 0));
    run(fn.writeConfig(at + Msi.DATA_64, 2, 0x41));
    run(fn.writeConfig(at + Msi.FLAGS, 2, Msi.ENABLE));
    store(E1000.IMS, 0xff);
    for (const cause of [E1000_CAUSE.TXDW, E1000_CAUSE.LSC]) run(device.raise(cause));
    load(E1000.ICR);
    run(device.raise(E1000_CAUSE.RXT0));
    expect([port.messages, wire.changes]).toEqual([["300 fee01000=41", "300 fee01000=41"], []]);
  });

  it("is reached through its ports, does not decode while it must not, and is reset by itself", () => {
    const { fn, store, load, device } = nic();
    expect(run(fn.readBar(2, 0, 4))).toBe(-1);
    run(fn.writeConfig(Pci.COMMAND, 2, Command.IO));
    run(fn.writeBar(2, 0, 4, E1000.IMS));
    run(fn.writeBar(2, 4, 4, 5));
    expect([run(fn.readBar(2, 4, 4)), load(E1000.IMS)]).toEqual([5, -1]);
    run(fn.writeConfig(Pci.COMMAND, 2, Command.MEMORY));
    expect(load(E1000.IMS)).toBe(5);
    run(device.raise(1));
    store(E1000.CTRL, 1 << 26);
    expect([load(E1000.IMS), load(E1000.ICR)]).toEqual([0, 0]);
  });

  it("answers nothing in D3hot, and asserts nothing", () => {
    const { fn, load, store, wire, device } = nic();
    const at = fn.capability(CapId.PM) + Pm.PMCSR;
    store(E1000.IMS, 1);
    run(fn.writeConfig(at, 2, Pm.D3HOT));
    run(device.raise(1));
    expect([load(E1000.STATUS), wire.changes]).toEqual([-1, []]);
    run(fn.writeConfig(at, 2, 0));
    expect([load(E1000.STATUS), wire.changes]).toEqual([2, [true]]);
  });
});

/** A controller with an admin queue at 0x1000 and 0x2000, and I/O queue 1 at 0x3000 and 0x4000 on vector 3. */
function nvme() {
  const memory = new Memory();
  const all = plugged(new NvmeController("0000:01:00.0", 0x100, memory));
  const { fn, store } = all;
  store(NVME.AQA, (7 << 16) | 7);
  store(NVME.ASQ, 0x1000);
  store(NVME.ACQ, 0x2000);
  store(NVME.CC, 1);
  const at = fn.capability(CapId.MSIX) + Msix.FLAGS;
  for (let n = 0; n < 4; n++) for (const [word, value] of [0xfee0_0000 | 0, 0, 0x40 + n, 0].entries()) run(fn.writeBar(4, 16 * n + 4 * word, 4, value));
  run(fn.writeConfig(at, 2, Msix.ENABLE));
  let tail = 0;
  const admin = (opcode: number, base: number, id: number, cdw11: number): void => {
    const command = 0x1000 + 64 * tail;
    memory.bytes.fill(0, command, command + 64);
    memory.view.setUint8(command, opcode);
    memory.view.setUint16(command + 2, 0x70 + tail, true);
    memory.view.setUint32(command + 24, base, true);
    memory.view.setUint32(command + 40, id | (3 << 16), true);
    memory.view.setUint32(command + 44, cdw11 >>> 0, true);
    store(NVME.DOORBELLS, (tail = (tail + 1) % 8));
  };
  admin(NVME_ADMIN.CREATE_CQ, 0x4000, 1, (3 << 16) | 3);
  admin(NVME_ADMIN.CREATE_SQ, 0x3000, 1, (1 << 16) | 1);
  return { ...all, memory, at, admin };
}

describe("an NVMe-class function", () => {
  it("makes queues by admin commands, each completion one message of its queue's vector", () => {
    const { port, memory, store, load, admin } = nvme();
    expect([load(NVME.CSTS), port.messages]).toEqual([1, ["100 fee00000=40", "100 fee00000=40"]]);
    store(NVME.DOORBELLS + 8, 2);
    expect(port.messages.slice(2)).toEqual(["100 fee00000=43", "100 fee00000=43"]);
    expect([memory.view.getUint32(0x4008, true), memory.view.getUint32(0x4018, true) & 0xffff]).toEqual([0x0001_0001, 2]);
    expect([memory.view.getUint32(0x200c, true), memory.view.getUint32(0x201c, true)]).toEqual([0x0001_0070, 0x0001_0071]);
    admin(0x55, 0, 0, 0);
    expect(memory.view.getUint32(0x202c, true)).toBe(0x0003_0072);
  });

  it("pends a masked vector, and sends it when it is unmasked", () => {
    const { fn, port, store } = nvme();
    run(fn.writeBar(4, 16 * 3 + 12, 4, Msix.ENTRY_MASKED));
    const before = port.messages.length;
    store(NVME.DOORBELLS + 8, 1);
    expect([port.messages.length, run(fn.readBar(4, 0x2000, 4))]).toEqual([before, 8]);
    run(fn.writeBar(4, 16 * 3 + 12, 4, 0));
    expect([port.messages.at(-1), run(fn.readBar(4, 0x2000, 4))]).toEqual(["100 fee00000=43", 0]);
  });

  it("holds all back while the function is masked", () => {
    const { fn, port, store, at } = nvme();
    run(fn.writeConfig(at, 2, Msix.ENABLE | Msix.MASK_ALL));
    const before = port.messages.length;
    store(NVME.DOORBELLS + 8, 1);
    expect(port.messages.length).toBe(before);
    run(fn.writeConfig(at, 2, Msix.ENABLE));
    expect(port.messages.length).toBe(before + 1);
  });

  it("without messages keeps its pin up until the heads are told, INTMS aside", () => {
    const { fn, wire, store, at } = nvme();
    run(fn.writeConfig(at, 2, 0));
    store(NVME.DOORBELLS + 4, 2);
    wire.changes.length = 0;
    store(NVME.DOORBELLS + 8, 1);
    store(NVME.INTMS, 1 << 3);
    store(NVME.INTMC, 1 << 3);
    store(NVME.DOORBELLS + 12, 1);
    expect(wire.changes).toEqual([true, false, true, false]);
  });

  it("is reset by FLR and by its own enable bit", () => {
    const { fn, store, load, port } = nvme();
    store(NVME.CC, 0);
    expect(load(NVME.CSTS)).toBe(0);
    store(NVME.DOORBELLS + 8, 3);
    const before = port.messages.length;
    const express = fn.capability(CapId.EXPRESS);
    run(fn.writeConfig(express + 8, 2, 0x8000));
    expect([fn.resets, fn.peek(Pci.COMMAND, 2), fn.peek(express + 8, 2), port.messages.length]).toEqual([1, 0, 0x2000, before]);
  });
});

describe("an interrupt wire", () => {
  it("is high while any pin pulls it", () => {
    const wire = new Wire();
    const or = new WiredOr(wire);
    const [a, b] = [or.input(), or.input()];
    for (const [pin, level] of [[a, true], [b, true], [a, true], [a, false], [b, false]] as const) run(pin.setLevel(level));
    expect(wire.changes).toEqual([true, false]);
  });
});
