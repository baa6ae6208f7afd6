import { describe, expect, it } from "vitest";
import { Command, Pci } from "../../arch/pci/config-registers.js";
import { NO_REGISTERS } from "../../device/pci/bar.js";
import { expressCapability, type MsixLayout, msixCapability } from "../../device/pci/capabilities.js";
import { PciFunction } from "../../device/pci/function.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { IommuDomain } from "../iommu/domain.js";
import { IommuGroup, SW_MSI_REGION } from "../iommu/group.js";
import { type IrqAction, IrqReturn } from "../irq/types.js";
import { PciDevice } from "../pci/pci-device.js";
import { PciRoot } from "../pci/pci-root.js";
import { Smmu } from "../smmu.js";
import { ItsHost } from "./its-host.js";

const MSIX: MsixLayout = { vectors: 4, tableBar: 0, tableOffset: 0, pbaBar: 0, pbaOffset: 0x800 };
const BAR = { index: 0, size: 0x1000, kind: "mem64", registers: NO_REGISTERS } as const;

class Counting implements IrqAction {
  runs = 0;
  *handler(): Step<number> {
    this.runs++;
    return IrqReturn.HANDLED;
  }
}

/** A function with MSI-X behind an SMMU and the ITS; `user`: its group is a user's, with an MSI cookie. */
function machine(isUsers: boolean) {
  const sim = new Sim({ cpus: 3 });
  const its = ItsHost.create(sim, 2, { hw: "v4.0" });
  const smmu = new Smmu(sim, "smmuv3");
  const root = new PciRoot(its.host, smmu);
  const group = new IommuGroup(sim, 1, { reserved: [SW_MSI_REGION] });
  const fn = new PciFunction({ name: "0000:01:10.0", requesterId: 0x180, vendor: 0x8086, device: 0x1520, classCode: 0x020000, bars: [BAR], capabilities: [msixCapability(MSIX), expressCapability({})], msix: MSIX });
  const device = new PciDevice(root, fn, { bus: root.addBus(1, false), group });
  run(root.plug(fn, null));
  run(fn.writeConfig(Pci.COMMAND, 2, Command.MEMORY | Command.MASTER));
  if (isUsers) {
    expect(run(group.claimDmaOwner(device))).toBe(0);
    run(group.attach(new IommuDomain("iommu", { msiWindow: SW_MSI_REGION })));
  }
  expect(run(device.vectors.allocate("msix", 1, 2))).toBe(2);
  const actions = [0, 1].map((vector) => {
    const action = new Counting();
    expect(run(its.host.requestIrq(device.vectors.irqOf(vector), action, 0, "igbvf", action))).toBe(0);
    return action;
  });
  const fire = (vector: number): void => {
    run(fn.vector(vector).pulse());
    run(sim.settle());
  };
  const address = (vector: number): number => run(fn.readBar(0, 16 * vector, 4));
  return { sim, smmu, actions, fire, address, group, root, its };
}

describe("a PCI function behind SMMU and ITS", () => {
  it("under a host driver writes GITS_TRANSLATER itself", () => {
    const { actions, address, fire } = machine(false);
    expect(address(1)).toBe(0x08090040);
    fire(1);
    fire(0);
    fire(1);
    expect(actions.map(({ runs }) => runs)).toEqual([1, 2]);
  });

  it("in a user's domain writes where the MSI cookie has mapped it; the ITS knows the requester", () => {
    const { actions, address, fire, smmu } = machine(true);
    expect(address(0)).toBe(0x08000040);
    fire(0);
    expect([actions.map(({ runs }) => runs), smmu.events.records.length]).toEqual([[1, 0], 0]);
  });

  it("whose domain is gone reaches nothing", () => {
    const { actions, fire, group, smmu } = machine(true);
    run(group.attach(null));
    fire(0);
    expect([actions[0].runs, smmu.events.records.length]).toEqual([0, 0]);
  });

  it("host-irq.md, vector 95: writes another function's event, or none that is mapped: only its own table is looked in", () => {
    const { actions, address, root, its, sim } = machine(false);
    const other = new PciFunction({ name: "0000:01:10.1", requesterId: 0x181, vendor: 0x8086, device: 0x1520, classCode: 0x020000, bars: [BAR], capabilities: [msixCapability(MSIX), expressCapability({})], msix: MSIX });
    const device = new PciDevice(root, other, { bus: root.buses[0] });
    run(root.plug(other, null));
    run(other.writeConfig(Pci.COMMAND, 2, Command.MEMORY | Command.MASTER));
    expect(run(device.vectors.allocate("msix", 1, 4))).toBe(4);
    const theirs = [0, 1, 2, 3].map((vector) => {
      const action = new Counting();
      expect(run(its.host.requestIrq(device.vectors.irqOf(vector), action, 0, "other", action))).toBe(0);
      return action;
    });
    const runs = (): number[][] => [actions, theirs].map((all) => all.map((action) => action.runs));
    const writes = (requester: number, event: number): void => {
      run(root.message(requester, 0, address(0), event));
      run(sim.settle());
    };
    // Events 2 and 3 are the other's alone; 0 is both's.
    for (const event of [2, 3, 0]) writes(0x180, event);
    expect(runs()).toEqual([[1, 0], [0, 0, 0, 0]]);
    for (const event of [2, 9]) writes(0x181, event);
    expect(runs()).toEqual([[1, 0], [0, 0, 1, 0]]);
  });
});
