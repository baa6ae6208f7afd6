import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import { EFAULT, EINVAL, EIO } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { PciStage, type PciStageOptions, REGION } from "../explore/stages/pci-stage.js";
import { ARGUMENTS, Registers } from "../explore/stages/vfio-stage.js";

const INTEL = uapi.VFIO_REGION_TYPE_PCI_VENDOR_TYPE + 0x8086;
const VGA = 8 * REGION;

function ready(options: PciStageOptions = {}) {
  const world = new PciStage(options);
  const { d } = world.ready();
  const info = (argsz: number): number => world.call(d, uapi.VFIO_DEVICE_GET_INFO, argsz, 0, 0, 0, 0xaaaa, 0xbbbb, 0xcccc);
  const region = (argsz: number, index: number): number => world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, argsz, 0, index, 0);
  return { world, d, info, region };
}

function vgaAdapter(options: PciStageOptions = {}) {
  const [memory, ports] = [new Registers(), new Registers()];
  return { ...ready({ ...options, vga: { memory, ports } }), memory, ports };
}

/** Two regions of a driver's own, the second for reading. */
function specific() {
  const [first, second] = [new Registers(), new Registers()];
  const regions = () => [
    { type: INTEL, subtype: 1, size: 0x2000, isMappable: true, registers: first },
    { type: INTEL, subtype: 2, size: 0x100, isReadOnly: true, registers: second },
  ];
  return { ...ready({ vfio: { regions } }), first, second };
}

describe("region 8, VGA's legacy ranges (7.3, 14)", () => {
  it("is there for a VGA adapter, unless the module was told not to show it", () => {
    const { world, region } = vgaAdapter();
    expect([region(32, 8), world.answer(4), Number(world.answer64(16)), Number(world.answer64(24))]).toEqual([0, 3, 0xc_0000, VGA]);
    expect(vgaAdapter({ vfio: { disableVga: true } }).region(32, 8)).toBe(-EINVAL);
    expect(ready().region(32, 8)).toBe(-EINVAL);
  });

  it("takes a0000 to bffff as memory, 3b0 to 3bb and 3c0 to 3df as ports, and nothing else", () => {
    const { world, d, memory, ports } = vgaAdapter();
    memory.values.set(0x1_fffc, 0x12345678);
    ports.values.set(0x3da, 0x9);
    const read = (at: number, size: number): number => world.regionRead(d, VGA + at, size);
    expect([read(0xb_fffc, 4), read(0x3da, 1)]).toEqual([0x12345678, 9]);
    expect([0x3af, 0x3bc, 0x3bf, 0x3e0, 0x9_ffff, 0xc_0000].map((at) => read(at, 1))).toEqual(Array(6).fill(-EINVAL));
    expect([world.regionWrite(d, VGA + 0xa_0000, 4, 7), world.regionWrite(d, VGA + 0x3c0, 2, 0x1234)]).toEqual([4, 2]);
    expect([memory.values.get(0), ports.values.get(0x3c0)]).toEqual([7, 0x1234]);
    expect(ports.log.filter((each) => each.startsWith("w"))).toEqual(["w2@3c0=1234"]);
  });

  it("an access ends with its range, and with the caller's memory", () => {
    const { world, d } = vgaAdapter();
    const read = (address: number, length: number, at: number): number => run(world.process.read(d, address, length, VGA + at));
    expect([read(ARGUMENTS, 8, 0x3b8), read(ARGUMENTS, 8, 0xb_fffe), read(0xdead_0000, 4, 0x3c0)]).toEqual([4, 2, -EFAULT]);
  });

  it("answers whatever the user's command register says, and cannot be mapped", () => {
    const { world, d, memory } = vgaAdapter();
    memory.values.set(0, 5);
    world.configWrite(d, 4, 2, 0);
    expect([world.regionRead(d, 0, 4), world.regionRead(d, VGA + 0xa_0000, 4), world.regionRead(d, 0, 4)]).toEqual([-EIO, 5, -EIO]);
    expect(run(world.process.mmap(d, 0x1000, VGA + 0xa_0000, true))).toBe(-EINVAL);
  });
});

describe("regions of a function's own, from 9 on (7.3, 14)", () => {
  it("are counted, and say what they are by the type capability", () => {
    const { world, info, region } = specific();
    expect([info(16), world.answer(8)]).toEqual([0, 11]);
    expect([region(32, 9), world.answer(0), world.answer(4), world.answer(12)]).toEqual([0, 48, 15, 0]);
    expect([region(48, 9), world.answer(0), world.answer(4), world.answer(12), Number(world.answer64(16)), Number(world.answer64(24))]).toEqual([0, 48, 15, 32, 0x2000, 9 * REGION]);
    expect([32, 36, 40, 44].map((at) => world.answer(at) >>> 0)).toEqual([0x1_0002, 0, INTEL, 1]);
    expect([region(48, 10), world.answer(4), world.answer(44), region(48, 11)]).toEqual([0, 9, 2, -EINVAL]);
  });

  it("are read, written and mapped as their driver says", () => {
    const { world, d, first, second } = specific();
    first.values.set(0x1ffc, 3);
    second.values.set(0xfc, 4);
    expect([world.regionRead(d, 9 * REGION + 0x1ffc, 4), world.regionRead(d, 10 * REGION + 0xfc, 4)]).toEqual([3, 4]);
    expect([world.regionRead(d, 9 * REGION + 0x2000, 4), world.regionRead(d, 11 * REGION, 4)]).toEqual([-EINVAL, -EINVAL]);
    expect([world.regionWrite(d, 9 * REGION, 4, 6), world.regionWrite(d, 10 * REGION, 4, 6)]).toEqual([4, -EINVAL]);
    expect([first.values.get(0), second.values.has(0)]).toEqual([6, false]);
    const mmap = (index: number, length: number): number => run(world.process.mmap(d, length, index * REGION, true));
    expect([mmap(9, 0x3000), mmap(10, 0x1000), mmap(6, 0x1000)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    const at = mmap(9, 0x2000);
    const area = world.process.memory.areaAt(at);
    expect(area?.region && run(area.region.read(0x1ffc, 4))).toBe(3);
  });
});

describe("GET_INFO's capabilities (7.2)", () => {
  it("tell the sizes of atomic operations that function and root port complete, where there is room", () => {
    const { world, info } = ready({ atomics: { function: 0b011, rootPort: 0b110 } });
    expect([info(16), world.answer(0), world.answer(4), world.answer(16)]).toEqual([0, 40, 0x83, 0xaaaa]);
    expect([info(24), world.answer(0), world.answer(16), world.answer(24)]).toEqual([0, 40, 0, 0xcccc]);
    expect([info(40), world.answer(0), world.answer(16)]).toEqual([0, 40, 24]);
    expect([24, 28, 32, 36].map((at) => world.answer(at))).toEqual([0x1_0005, 0, uapi.VFIO_PCI_ATOMIC_COMP64, 0]);
  });

  it("are none where no size is completed by both", () => {
    const { world, info } = ready({ atomics: { function: 0b001, rootPort: 0b110 } });
    expect([info(24), world.answer(0), world.answer(4), world.answer(16)]).toEqual([0, 24, 3, 0]);
  });
});
