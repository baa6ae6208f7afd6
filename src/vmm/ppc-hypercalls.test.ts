import { describe, expect, it } from "vitest";
import { CHANGE_FN, CHANGE_MSI_FN, CHANGE_MSIX_FN, H_GET_TCE, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, MSI_TYPE, MSIX_TYPE } from "../arch/papr.js";
import { AddressSpace } from "../host/memory.js";
import { H_RTAS } from "../kvm/powerpc/hypercall.js";
import { run, type Step } from "../sim/step.js";
import { ENOSPC } from "../uapi/errno.js";
import { kvm_run } from "../uapi/kvm.js";
import { GuestWords } from "./guest-words.js";
import { PaprCall } from "./papr-call.js";
import { type DmaMapper, TceTable } from "./ppc-dma.js";
import { PpcHypercalls } from "./ppc-hypercalls.js";
import { MessageFirmware, type MessageFunction } from "./ppc-messages.js";
import { PPC_GUEST } from "./ppc-vmm.js";

const PAGE = 0x1000;
const USER = 0x100_0000;
const RAM = 0x10_0000;
const RUN_PAGE = 0x10_0000;
const ARGS = 0x8000;
const LIST = 0x9000;
const [H_SUCCESS, H_FUNCTION, H_PARAMETER] = [0, -2, -4];
const FUNCTION = 1 << 11;
const OTHER = 2 << 11;

/** A function that notes what it is told. */
class Told implements MessageFunction {
  readonly buid = PPC_GUEST.buid;
  readonly heard: string[] = [];
  /** What the host answers. */
  error = 0;

  constructor(
    readonly configAddress: number,
    readonly msi: number,
    readonly msix: number,
  ) {}

  *setMessages(first: number, count: number): Step<number> {
    this.heard.push(`${first.toString(16)}+${count}`);
    return count === 0 ? 0 : this.error;
  }
}

/** User space's part of a guest's machine: RAM of a mebibyte, a window of 16 pages from 0x1_0000, two functions. */
class Machine implements DmaMapper {
  private readonly memory = new AddressSpace();
  private readonly words: GuestWords;
  private readonly hypercalls: PpcHypercalls;
  readonly msix = new Told(FUNCTION, 0, 9);
  readonly msi = new Told(OTHER, 4, 0);
  /** What devices reach: bus address, real address, access. */
  readonly reached = new Map<number, string>();
  readonly made: number[] = [];

  constructor(sources = { first: 0x1300, count: 16 }) {
    this.memory.map(RUN_PAGE, PAGE);
    this.memory.map(USER, RAM);
    this.words = new GuestWords(this.memory, { user: USER, guest: 0, size: RAM });
    const messages = new MessageFirmware(sources, this);
    messages.plug(this.msix);
    messages.plug(this.msi);
    this.hypercalls = new PpcHypercalls(this.words, messages, PPC_GUEST.tokens);
    this.hypercalls.tables.push(new TceTable(this, this.words, PPC_GUEST.liobn, { start: 0x1_0000, size: 16 * PAGE }));
  }

  *mapDma(iova: number, size: number, user: number, access = 3): Step<number> {
    this.reached.set(iova, `${(user - USER).toString(16)}+${size.toString(16)}:${access}`);
    return 0;
  }

  *unmapDma(iova: number): Step<number> {
    return this.reached.delete(iova) ? 0 : -1;
  }

  *resetSource(irq: number): Step<void> {
    this.made.push(irq);
  }

  /** r3, as the guest finds it. */
  call(number: number, ...args: (number | bigint)[]): number {
    const { nr, args: places, ret } = kvm_run.papr_hcall;
    this.memory.setU64(RUN_PAGE + nr.offset, number);
    args.forEach((value, i) => {
      this.memory.setU32(RUN_PAGE + places[i].offset, Number(BigInt(value) & 0xffff_ffffn));
      this.memory.setU32(RUN_PAGE + places[i].offset + 4, Number(BigInt(value) >> 32n));
    });
    const call = new PaprCall(this.memory, RUN_PAGE);
    call.finish(run(this.hypercalls.serve(call)));
    const [lo, hi] = [this.memory.getU32(RUN_PAGE + ret.offset) | 0, this.memory.getU32(RUN_PAGE + ret.offset + 4) | 0];
    return hi === lo >> 31 ? lo : NaN;
  }

  /** H_GET_TCE's answer, or its status. */
  tce(ioba: number): number {
    const status = this.call(H_GET_TCE, PPC_GUEST.liobn, ioba);
    return status < 0 ? status : this.memory.getU64(RUN_PAGE + kvm_run.papr_hcall.args[0].offset);
  }

  list(...entries: number[]): void {
    entries.forEach((entry, i) => {
      this.words.set(LIST + 8 * i, Math.floor(entry / 2 ** 32));
      this.words.set(LIST + 8 * i + 4, entry % 2 ** 32);
    });
  }

  /** The status of the hypercall, and the outputs, 0x77 where there is none. */
  rtas(token: number, inputs: readonly number[], outputs: number, at = ARGS): number[] {
    const block = [token, inputs.length, outputs, ...inputs, ...new Array<number>(outputs).fill(0x77)];
    if (at === ARGS) block.forEach((word, i) => this.words.set(at + 4 * i, word));
    const status = this.call(H_RTAS, at);
    return [status, ...Array.from({ length: outputs }, (_, i) => this.words.get(ARGS + 4 * (3 + inputs.length + i)) | 0)];
  }

  change(how: number, count: number, { to = FUNCTION, sequence = 1, outputs = 4, buid = PPC_GUEST.buid as readonly number[] } = {}): number[] {
    const [status, ...answer] = this.rtas(PPC_GUEST.tokens.changeMsi, [to, ...buid, how, count, sequence], outputs);
    expect(status).toBe(H_SUCCESS);
    return answer;
  }

  query(vector: number, to = FUNCTION): number[] {
    return this.rtas(PPC_GUEST.tokens.querySource, [to, ...PPC_GUEST.buid, vector], 3).slice(1);
  }
}

const NONE = 0x77;

describe("ibm,change-msi and ibm,query-interrupt-source-number", () => {
  it("gives a function sources in a row, tells their number, the next sequence number and their kind, and which source each vector is", () => {
    const m = new Machine();
    expect(m.change(CHANGE_MSIX_FN, 3)).toEqual([0, 3, 2, MSIX_TYPE]);
    expect(m.change(CHANGE_MSI_FN, 3, { to: OTHER, sequence: 41 })).toEqual([0, 3, 42, MSI_TYPE]);
    expect([0, 1, 2].map((vector) => m.query(vector))).toEqual([0x1300, 0x1301, 0x1302].map((source) => [0, source, 1]));
    expect(m.query(2, OTHER)).toEqual([0, 0x1306, 1]); // those of MSI begin at a multiple of four
    expect([m.msix.heard, m.msi.heard, m.made]).toEqual([["1300+3"], ["1304+3"], [0x1300, 0x1301, 0x1302, 0x1304, 0x1305, 0x1306]]);
  });

  it("function 1 takes the kind that there is; three outputs leave the kind out", () => {
    const m = new Machine();
    expect([m.change(CHANGE_FN, 1), m.change(CHANGE_FN, 1, { to: OTHER, outputs: 3 })]).toEqual([
      [0, 1, 2, MSIX_TYPE],
      [0, 1, 2],
    ]);
  });

  it("asked for more than there are vectors it gives none, and says how many it would", () => {
    const m = new Machine();
    expect(m.change(CHANGE_MSIX_FN, 10)).toEqual([0, 9, 2, MSIX_TYPE]);
    expect([m.msix.heard, m.query(0)]).toEqual([[], [-1, NONE, NONE]]);
  });

  it("another number takes the place of the first: new sources, then the old ones are free", () => {
    const m = new Machine({ first: 0x1300, count: 6 });
    m.change(CHANGE_MSIX_FN, 3);
    m.change(CHANGE_MSIX_FN, 2);
    expect([m.query(0), m.query(2)]).toEqual([
      [0, 0x1303, 1],
      [-1, NONE, NONE],
    ]);
    expect(m.change(CHANGE_MSIX_FN, 3)).toEqual([0, 3, 2, MSIX_TYPE]);
    expect(m.query(0)).toEqual([0, 0x1300, 1]);
  });

  it("0 gives them back; of a function that has none it is a hardware error", () => {
    const m = new Machine();
    m.change(CHANGE_MSIX_FN, 3);
    expect([m.change(CHANGE_MSIX_FN, 0), m.change(CHANGE_MSIX_FN, 0), m.query(0)]).toEqual([
      [0, 0, NONE, NONE],
      [-1, NONE, NONE, NONE],
      [-1, NONE, NONE],
    ]);
    expect(m.msix.heard).toEqual(["1300+3", "0+0"]);
  });

  it("where no row is left, or the host has none, it is a hardware error, and the sources stay or are free", () => {
    const m = new Machine({ first: 0x1300, count: 4 });
    m.change(CHANGE_MSIX_FN, 3);
    expect([m.change(CHANGE_MSIX_FN, 4), m.query(2)]).toEqual([
      [-1, NONE, NONE, NONE],
      [0, 0x1302, 1],
    ]);
    const refused = new Machine();
    refused.msix.error = -ENOSPC;
    expect([refused.change(CHANGE_MSIX_FN, 3), refused.query(0)]).toEqual([
      [-1, NONE, NONE, NONE],
      [-1, NONE, NONE],
    ]);
    expect(refused.change(CHANGE_MSI_FN, 4, { to: OTHER })).toEqual([0, 4, 2, MSI_TYPE]);
    expect(refused.query(0, OTHER)).toEqual([0, 0x1300, 1]);
  });

  it.each([
    ["a kind that it has not", (m: Machine) => m.change(CHANGE_MSI_FN, 1)],
    ["0, 2, 5 and 6 of its functions, which QEMU's firmware has not", (m: Machine) => [0, 2, 5, 6].flatMap((how) => m.change(how, 1))],
    ["a function that is not there", (m: Machine) => m.change(CHANGE_MSIX_FN, 1, { to: 3 << 11 })],
    ["another host bridge", (m: Machine) => m.change(CHANGE_MSIX_FN, 1, { buid: [0x800_0000, 0x2000_0001] })],
    ["too few inputs", (m: Machine) => m.rtas(PPC_GUEST.tokens.changeMsi, [FUNCTION, ...PPC_GUEST.buid, CHANGE_MSIX_FN, 1], 4).slice(1)],
    ["two outputs", (m: Machine) => m.change(CHANGE_MSIX_FN, 1, { outputs: 2 })],
    ["a query of a function that is not there", (m: Machine) => m.query(0, 3 << 11)],
    ["a query with two outputs", (m: Machine) => m.rtas(PPC_GUEST.tokens.querySource, [FUNCTION, ...PPC_GUEST.buid, 0], 2).slice(1)],
  ])("a parameter error: %s", (_what, call) => {
    const m = new Machine();
    const answer = call(m);
    expect(answer.filter((word) => word !== NONE).every((word) => word === -3) && answer[0] === -3).toBe(true);
    expect([m.msix.heard, m.msi.heard, m.made]).toEqual([[], [], []]);
  });

  it("an unknown token is H_PARAMETER with a parameter error; a block that is no RAM, or has no room, is not touched", () => {
    const m = new Machine();
    expect(m.rtas(0x2fff, [], 1)).toEqual([H_PARAMETER, -3]);
    expect([m.rtas(0x2018, [], 1, RAM - 8)[0], m.rtas(0x2018, [], 1, RAM - 12)[0], m.rtas(0x2018, [], 0)[0]]).toEqual([H_PARAMETER, H_PARAMETER, H_PARAMETER]);
    expect([m.rtas(0x2018, new Array<number>(16).fill(0), 1), m.rtas(0x2018, new Array<number>(15).fill(0), 1)]).toEqual([
      [H_PARAMETER, NONE],
      [H_SUCCESS, -3],
    ]);
  });

  it("the top four bits of the block's address are no part of it", () => {
    const m = new Machine();
    m.rtas(PPC_GUEST.tokens.querySource, [], 1);
    expect([m.call(H_RTAS, 0xf000_0000_0000_0000n | BigInt(ARGS)), m.call(H_RTAS, 0x0100_0000_0000_0000n | BigInt(ARGS))]).toEqual([H_SUCCESS, H_PARAMETER]);
  });
});

const LIOBN = PPC_GUEST.liobn;

describe("the entries of a DMA window", () => {
  it("H_PUT_TCE lets a device reach a page with the access that it says, or takes it away; H_GET_TCE tells", () => {
    const m = new Machine();
    expect([m.call(H_PUT_TCE, LIOBN, 0x1_0000, 0x5003), m.call(H_PUT_TCE, LIOBN, 0x1_1fff, 0x6001), m.call(H_PUT_TCE, LIOBN, 0x1_2000, 0x7002)]).toEqual([0, 0, 0]);
    expect([...m.reached]).toEqual([
      [0x1_0000, "5000+1000:3"],
      [0x1_1000, "6000+1000:1"],
      [0x1_2000, "7000+1000:2"],
    ]);
    expect([m.tce(0x1_0000), m.tce(0x1_1800), m.tce(0x1_3000)]).toEqual([0x5003, 0x6001, 0]);
    m.call(H_PUT_TCE, LIOBN, 0x1_0000, 0x8003);
    m.call(H_PUT_TCE, LIOBN, 0x1_1000, 0x6000); // kept, and without access
    m.call(H_PUT_TCE, LIOBN, 0x1_2000, 0);
    expect([[...m.reached], m.tce(0x1_1000)]).toEqual([[[0x1_0000, "8000+1000:3"]], 0x6000]);
  });

  it("what leads to no RAM is kept, and reaches nothing", () => {
    const m = new Machine();
    const far = 2 ** 40 + 0x5003;
    expect([m.call(H_PUT_TCE, LIOBN, 0x1_0000, RAM + 3), m.call(H_PUT_TCE, LIOBN, 0x1_1000, far), m.tce(0x1_1000)]).toEqual([0, 0, far]);
    expect([...m.reached]).toEqual([]);
  });

  it("H_PUT_TCE_INDIRECT takes a list, H_STUFF_TCE one value for many, both as far as the window goes", () => {
    const m = new Machine();
    m.list(0x1003, 0x2003, 0x3003);
    expect([m.call(H_PUT_TCE_INDIRECT, LIOBN, 0x1_0800, LIST, 2), m.reached.size, m.tce(0x1_1000)]).toEqual([0, 2, 0x2003]);
    expect([m.call(H_PUT_TCE_INDIRECT, LIOBN, 0x1_e000, LIST, 3), m.tce(0x1_f000), m.reached.size]).toEqual([H_PARAMETER, 0x2003, 4]);
    expect([m.call(H_STUFF_TCE, LIOBN, 0x1_1000, 0, 15), [...m.reached.keys()]]).toEqual([0, [0x1_0000]]);
    expect([m.call(H_STUFF_TCE, LIOBN, 0x1_e000, 0x9001, 3), [...m.reached.values()]]).toEqual([H_PARAMETER, ["1000+1000:3", "9000+1000:1", "9000+1000:1"]]);
    expect([m.call(H_STUFF_TCE, LIOBN, 0x1_0000, 0, 16), m.reached.size]).toEqual([0, 0]);
  });

  it.each([
    ["another table", [H_PUT_TCE, LIOBN + 1, 0x1_0000, 0x5003]],
    ["a table's number with bits above 31", [H_PUT_TCE, 0x1_0000_0000 + LIOBN, 0x1_0000, 0x5003]],
    ["an address below the window", [H_PUT_TCE, LIOBN, 0xf000, 0x5003]],
    ["an address above it", [H_PUT_TCE, LIOBN, 0x2_0000, 0x5003]],
    ["an address above all", [H_PUT_TCE, LIOBN, 0xffff_ffff_ffff_f000n, 0x5003]],
    ["a read outside of the window", [H_GET_TCE, LIOBN, 0x2_0000]],
    ["more entries of one value than the window has", [H_STUFF_TCE, LIOBN, 0x1_0000, 0x5003, 17]],
    ["none", [H_STUFF_TCE, LIOBN, 0x1_0000, 0x5003, 0]],
    ["a list of 513", [H_PUT_TCE_INDIRECT, LIOBN, 0x1_0000, LIST, 513]],
    ["a list of none", [H_PUT_TCE_INDIRECT, LIOBN, 0x1_0000, LIST, 0]],
    ["a list that begins in the middle of a page", [H_PUT_TCE_INDIRECT, LIOBN, 0x1_0000, LIST + 8, 1]],
    ["a list that is no RAM", [H_PUT_TCE_INDIRECT, LIOBN, 0x1_0000, RAM, 1]],
  ] as const)("H_PARAMETER, and nothing changed: %s", (_what, [number, ...args]) => {
    const m = new Machine();
    m.list(0x1003);
    expect([m.call(number, ...args), m.reached.size]).toEqual([H_PARAMETER, 0]);
  });

  it("other hypercalls are none: H_FUNCTION", () => {
    expect([new Machine().call(0xfffc), new Machine().call(0x24)]).toEqual([H_FUNCTION, H_FUNCTION]);
  });
});
