import { GicrTyper } from "../../arch/gic/gicr-vlpi.js";
import { SVPET_AFF3_HIGH, TYPER_VMAPP_HIGH } from "../../arch/gic/gits.js";
import type { Sim } from "../../sim/sim.js";
import { run } from "../../sim/step.js";
import { GicHost } from "../gic/gic-host.js";
import { GicV3 } from "../gic/gicv3.js";
import { type GicV3Implementation, QEMU_GICV3, QEMU_GICV4 } from "../gic/implementation.js";
import { HostRam } from "../gic/its/host-ram.js";
import { type ItsImplementation, QEMU_ITS, QEMU_ITS_V4 } from "../gic/its/implementation.js";
import { PhysicalIts } from "../gic/its/physical-its.js";
import { ItsDriver } from "./its-driver.js";
import { ItsMsiDomain, type ItsOf } from "./its-msi.js";

/** Which LPI hardware a host has (gic.md D0.5): LPIs alone, virtual ones, or those of GICv4.1. */
export type LpiHardware = "v3" | "v4.0" | "v4.1";

/** GICv4.1: vPEs by number, a doorbell for each, direct LPIs, virtual SGIs. */
export const GICV41: GicV3Implementation = {
  ...QEMU_GICV4,
  gicrTyper: QEMU_GICV4.gicrTyper | GicrTyper.RVPEID | GicrTyper.DIRECT_LPI | GicrTyper.DIRTY,
};
export const ITS_V41: ItsImplementation = { ...QEMU_ITS_V4, typerHigh: QEMU_ITS_V4.typerHigh | TYPER_VMAPP_HIGH | SVPET_AFF3_HIGH };

export const GICS: Readonly<Record<LpiHardware, GicV3Implementation>> = { v3: QEMU_GICV3, "v4.0": QEMU_GICV4, "v4.1": GICV41 };
export const ITSES: Readonly<Record<LpiHardware, ItsImplementation>> = { v3: QEMU_ITS, "v4.0": QEMU_ITS_V4, "v4.1": ITS_V41 };

export interface ItsHostOptions {
  readonly hw?: LpiHardware;
  /** SPIs and the 32 private ones. Default 288. */
  readonly interrupts?: number;
  readonly listRegisters?: number;
  /** Physical addresses of the ITSs. Default: one, the virt machine's. */
  readonly itses?: readonly number[];
  /** Where they differ from QEMU's: all of them alike, or each by its number. */
  readonly its?: Partial<ItsImplementation> | ((number: number) => Partial<ItsImplementation>);
  readonly itsOf?: ItsOf;
  /** GICv4.1: what is pending for mapped vPEs stays in the GIC until VMAPP V=0. Default: it is in memory at once. */
  readonly cachesPending?: boolean;
  /** {@link GicV3Implementation.vlpiWinsTie} */
  readonly vlpiWinsTie?: boolean;
}

/** Where the tables lie, and how much there is for them. */
const TABLES = 0x40000000;
const TABLES_SIZE = 0x20000000;
const VIRT_ITS = 0x08080000;

/** A host with LPIs: GIC and ITSs as Linux boots them, and message interrupts for PCI functions and mbigens. */
export class ItsHost {
  private constructor(
    readonly host: GicHost,
    readonly gic: GicV3,
    readonly driver: ItsDriver,
    readonly msi: ItsMsiDomain,
  ) {}

  /** `sim` has a clock for each of the `cpus`; one more, if there is one, is the hardware's. */
  static create(sim: Sim, cpus: number, options: ItsHostOptions = {}): ItsHost {
    const hw = options.hw ?? "v3";
    const ram = new HostRam(TABLES, TABLES_SIZE);
    const common = { cpus, interrupts: options.interrupts ?? 288, implementation: { ...GICS[hw], vlpiWinsTie: options.vlpiWinsTie ?? false }, ram };
    const gic = new GicV3(options.listRegisters === undefined ? common : { ...common, listRegisters: options.listRegisters });
    if (options.cachesPending === true) gic.cachePendingTables();
    gic.boot();
    const host = new GicHost(sim, gic);
    const bases = options.itses ?? [VIRT_ITS];
    const { its } = options;
    const places = bases.map((base, number) => ({ its: new PhysicalIts(gic, { ...ITSES[hw], ...(typeof its === "function" ? its(number) : its) }), base }));
    const driver = run(ItsDriver.create(host, gic, places));
    if (typeof driver === "number") throw new Error(`${bases.length} ITSs have no room for their tables (${driver})`);
    const msi = new ItsMsiDomain(driver, options.itsOf);
    host.msi = msi;
    host.its = driver;
    return new ItsHost(host, gic, driver, msi);
  }
}
