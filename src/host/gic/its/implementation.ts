/** What an implementation of the ITS chooses, where the architecture leaves a choice. */
export interface ItsImplementation {
  /** GITS_TYPER. */
  readonly typerLow: number;
  readonly typerHigh: number;
  readonly iidr: number;
  readonly pidr2: number;
  /** Software may move CREADR (QEMU with one security state). */
  readonly creadrWritable: boolean;
  /** A command that meets memory which cannot be read stops the queue until CWRITER.Retry, as QEMU's; else it is passed over (gic-its.md B11). */
  readonly stalls: boolean;
  /**
   * With GITS_TYPER.PTA: added to a redistributor's address in the RDbase of VMAPP and VMOVP. Hip07 wants its VLPI frame, 128
   * KiB on (gic-v4.md C1.7).
   */
  readonly vlpiRedistOffset: number;
}

/** The ITS of QEMU 7.2's virt machine: 16 device, event and collection bits, 12-byte entries, processor numbers. */
export const QEMU_ITS: ItsImplementation = {
  typerLow: 0x1efb1,
  typerHigh: 0x1f,
  iidr: 0x43b,
  pidr2: 0x3b,
  creadrWritable: true,
  stalls: true,
  vlpiRedistOffset: 0,
};

/** The same with virtual LPIs, and one VMOVP for all ITSs. */
export const QEMU_ITS_V4: ItsImplementation = { ...QEMU_ITS, typerLow: 0x1efb3, typerHigh: 0x3f, pidr2: 0x4b };
