import { describe, expect, it } from "vitest";
import { virq } from "./command.fixture.js";
import { pciFunction } from "./pci-option.js";

describe("--pci", () => {
  it("says a function in one word", () => {
    const expected = { bdf: "01:00.0", intxPin: 1, msiVectors: 8, under: "00:02.1", vendor: 0x8086, device: 0x10d3, isolated: true };
    expect(pciFunction("01:00.0,pin=1,msi=8,under=00:02.1,id=8086:10d3,isolated")).toEqual(expected);
  });

  it.each([
    ["01:00.0,speed=3", /"speed=3" is none of pin=1 to 4/],
    ["01:00.0,pin=A", /pin takes a number, not "A"/],
    ["01:00.0,id=8086", /"id=8086" is none of/],
  ])("%s is refused in one sentence", (text, message) => {
    expect(() => pciFunction(text)).toThrow(message);
  });

  it("puts functions on a board for boards and compare", async () => {
    const shown = await virq("boards", "overdrive", "--pci", "01:00.0,pin=1,msi=2,under=00:02.1", "--pci", "02:00.0,msi=1");
    expect(shown.status).toBe(0);
    expect(shown.out).toMatch(/\/smb\/pcie@f0000000\/01:00\.0 +pci +group \d+ +vfio-pci \[\d+\] +its own reset, or its bus's\n {6}0 +SPI 288 \(INTID 320\) +edge-rising +userspace, userspace\+eoi, irqfd\+resample; not/);
    expect(shown.out).toMatch(/1 +MSI 0 at \S+v2m@e0080000 +edge-rising +irqfd; not/);
    const compared = await virq("compare", "--board", "overdrive", "--pci", "02:00.0,msi=1", "--device", "02:00.0", "--interrupts", "10", "--json");
    expect([compared.status, JSON.parse(compared.out).mechanisms[2].delivered]).toEqual([0, 10]);
  });

  it("a function that does not fit the board is one sentence, exit status 2", async () => {
    const { status, err } = await virq("boards", "overdrive", "--pci", "01:00.0,pin=1");
    expect([status, err]).toEqual([2, expect.stringContaining('plug it in "under" one of 00:02.1')]);
  });
});
