import { describe, expect, it } from "vitest";
import { Sim } from "../../sim/sim.js";
import { run } from "../../sim/step.js";
import { IommuDomain } from "./domain.js";
import { ENTRY_READ, ENTRY_SHIFT, ENTRY_WRITE, IommuTable } from "./table.js";
import { Process } from "../process.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const RAM = 0x4000_0000;

function mapped(iova: bigint, size: number, options: { pageSize?: number; pageSizes?: bigint; vaddr?: number; apertureEnd?: bigint } = {}): { domain: IommuDomain; process: Process } {
  const process = new Process(new Sim(), "vmm");
  process.memory.map(RAM, 2 * GIB, { pageSize: options.pageSize ?? 4096 });
  const { pageSizes = 0x4020_1000n, apertureEnd = 0xffff_ffff_ffffn } = options;
  const domain = new IommuDomain("iommu", { pageSizes, apertureEnd });
  const pages = process.memory.pin(options.vaddr ?? RAM, size);
  run(domain.map({ iova, size: BigInt(size), pages, isReadable: true, isWritable: false }));
  return { domain, process };
}

const walk = (domain: IommuDomain, iova: number): number => run(domain.walk(Math.floor(iova / 2 ** 32) | 0, iova | 0)) & 3;

describe("a table of an IOMMU", () => {
  it.each([[21, 0x1f_ffff], [30, 0x3fff_ffff], [39, 0x7f_ffff_ffff], [48, 0xffff_ffff_ffff]])("of %i bits reaches its last page, and nothing behind it", (bits, last) => {
    const table = new IommuTable(bits);
    table.enter(Math.floor(last / 4096), 0, 1, 8 | ENTRY_WRITE);
    expect(table.walk(Math.floor(last / 2 ** 32) | 0, last | 0)).toBe(8 | ENTRY_WRITE);
    for (const beyond of [last + 1, 2 * (last + 1) + last]) expect(table.walk(Math.floor(beyond / 2 ** 32) | 0, beyond | 0)).toBe(0);
  });

  it("of 64 bits has the very last page", () => {
    const table = new IommuTable(64);
    table.enter(2 ** 52 - 1, 0, 1, 4 | ENTRY_READ);
    expect([table.walk(-1, -1), table.walk(-1, -4097), table.walk(-1, -4096)]).toEqual([5, 0, 5]);
  });

  it("tells what it takes out by runs, and gives empty tables back", () => {
    const table = new IommuTable(48);
    const empty = table.bytes;
    table.enter(510, 0, 1030, 5);
    table.enter(512 * 512 * 3, 1, 2, 9);
    const removed = new Map<number, number>();
    table.clear(0, 512 * 512 * 4, (entry, pages) => removed.set(entry, (removed.get(entry) ?? 0) + pages));
    expect([...removed]).toEqual([[5, 1030], [9, 1024]]);
    expect(table.bytes).toBe(empty);
  });

  it("asserts that nothing is entered behind its last page", () => {
    const table = new IommuTable(39);
    expect(() => table.enter(2 ** 27 - 1, 0, 2, 5)).toThrow("beyond");
    expect(table.walk(0, 0)).toBe(0);
  });

  it("asserts that no large page is cut", () => {
    const table = new IommuTable(48);
    table.enter(0, 1, 1, 5);
    expect(() => table.clear(0, 100, () => {})).toThrow("cut");
  });
});

describe("a domain", () => {
  it("translates what is mapped, page for page, with its permissions, and faults around it", () => {
    const { domain } = mapped(0x3000n, 0x5000);
    expect([0x2fff, 0x3000, 0x7fff, 0x8000].map((iova) => walk(domain, iova))).toEqual([0, ENTRY_READ, ENTRY_READ, 0]);
  });

  it("enters large pages where addresses and memory allow, and small ones at the edges", () => {
    const small = mapped(0x20_0000n, 4 * MIB);
    const large = mapped(0x20_0000n, 4 * MIB, { pageSize: 2 * MIB });
    const shifted = mapped(0x20_1000n, 4 * MIB, { pageSize: 2 * MIB });
    const edges = mapped(0x1f_f000n, 4 * MIB, { pageSize: 2 * MIB, vaddr: RAM + 2 * MIB - 4096 });
    const unable = mapped(0x20_0000n, 4 * MIB, { pageSize: 2 * MIB, pageSizes: 0x1000n });
    const bytes = (of: { domain: IommuDomain }): number => run(of.domain.usage()).tableBytes;
    expect(bytes(small) - bytes(large)).toBe(2 * 2048);
    expect([bytes(shifted), bytes(unable)]).toEqual([bytes(small) + 2048, bytes(small)]);
    expect(bytes(edges)).toBe(bytes(large) + 2 * 2048);
    for (const { domain } of [small, large, edges, unable]) expect(walk(domain, 0x5f_e000)).toBe(ENTRY_READ);
  });

  it("takes 16 bytes a small page at most, and next to nothing for gigabytes of huge ones", () => {
    const small = run(mapped(0n, GIB).domain.usage());
    expect(small.tableBytes / (small.mappedBytes / 4096)).toBeLessThan(16);
    expect(run(mapped(0n, GIB, { pageSize: GIB }).domain.usage()).tableBytes).toBe(2 * 2048);
  });

  it("a part goes, the rest stays; a slot is used again when all of it is gone", () => {
    const { domain, process } = mapped(0n, 0x4000);
    run(domain.unmap(0x1000n, 0x1000n));
    expect([0, 0x1000, 0x2000].map((iova) => walk(domain, iova))).toEqual([ENTRY_READ, 0, ENTRY_READ]);
    expect(run(domain.usage()).mappedBytes).toBe(0x3000);
    run(domain.unmap(0n, 0x10_0000n));
    const pages = process.memory.pin(RAM, 0x1000);
    run(domain.map({ iova: 0x9000n, size: 0x1000n, pages, isReadable: true, isWritable: true }));
    expect(run(domain.walk(0, 0x9000))).toBe((1 << ENTRY_SHIFT) | ENTRY_READ | ENTRY_WRITE);
  });

  it("an entry is good for as long as nothing comes between: there is no frame behind one whose mapping went", () => {
    const { domain, process } = mapped(0n, 0x1000);
    process.memory.setU32(RAM, 0x1234);
    const entry = run(domain.walk(0, 0));
    expect(domain.frame(entry, 0).getUint32(0, true)).toBe(0x1234);
    run(domain.unmap(0n, 0x1000n));
    expect(() => domain.frame(entry, 0)).toThrow("of no mapping");
  });
});
