import { H_CPPR, H_EOI, H_IPI, H_XIRR, XICS_IPI } from "../irqchip/xics/constants.js";
import { EXTERNAL_VECTOR } from "../kvm/powerpc/guest.js";
import { H_CEDE, H_RTAS } from "../kvm/powerpc/hypercall.js";
import { PpcDriverGuest } from "./ppc-driver-guest.js";
import { PpcAssembler, PpcOp } from "./ppc-op.js";

/** An interrupt that the guest's driver serves. */
export interface PpcBinding {
  /** Number of its source. */
  readonly source: number;
  /** Index of the vCPU that takes it. */
  readonly vcpu?: number;
  /** Priority, 0 the most favoured; the kernel gives all the same. */
  readonly priority?: number;
  /** Guest real address of the register whose access services the device. */
  readonly address: number;
  readonly accessesPerService: number;
  /** Written into its handler, before the end of the interrupt; r15 to r20 are free. */
  readonly onInterrupt?: (code: PpcAssembler) => void;
}

/** Tokens of the firmware calls that the guest makes, as its device tree has them. */
export interface PpcTokens {
  readonly setXive: number;
  readonly intOn: number;
}

/** What the guest's kernel and drivers do. */
export interface PpcSoftwareOptions {
  /** Interrupt server numbers, by index of the vCPU. */
  readonly servers: readonly number[];
  readonly tokens: PpcTokens;
  /** Guest real address of the arguments of firmware calls. */
  readonly rtas: number;
  readonly devices: readonly PpcBinding[];
  /** What vCPU 0 does between interrupts; the others cede. */
  readonly idle: "spin" | "cede";
  /** The handler's own work, nanoseconds; by default the profile's. */
  readonly handlerNs?: number;
  /** Written between set-up and idling, for the vCPU with this index; r3 to r5 and r13 to r20 are the handler's. */
  readonly main?: (code: PpcAssembler, vcpu: number) => void;
  /** Written into the handler of an inter-processor interrupt, behind the withdrawal of the request. */
  readonly onIpi?: (code: PpcAssembler) => void;
}

/** What Linux gives every source, and its inter-processor interrupt. */
const DEFAULT_PRIORITY = 5;
const IPI_PRIORITY = 4;
const LOWEST_PRIORITY = 0xff;
const NO_REQUEST = 0xff;

/** The CPU's own number, as Linux's per-CPU area is behind r13. */
export const SERVER = 13;
/** It keeps the XIRR throughout a handler. */
const XIRR = 14;

/**
 * A guest kernel with its drivers, as Linux drives a XICS by hypercalls (arch/powerpc/sysdev/xics): the program, which
 * begins at the vector of external interrupts, and where each vCPU enters it.
 */
export class PpcSoftware {
  readonly guest: PpcDriverGuest;
  /** Entry address by vCPU index: the program counter that user space sets. */
  readonly entries: readonly number[];

  constructor(readonly options: PpcSoftwareOptions) {
    const code = new PpcAssembler(EXTERNAL_VECTOR);
    writeHandler(code, options);
    this.entries = options.servers.map((server, vcpu) => {
      const entry = code.here;
      writeBoot(code, options, vcpu, server);
      return entry;
    });
    this.guest = new PpcDriverGuest(code.assemble());
  }
}

/** The CPU's priority is opened before its sources are; the boot CPU opens those. */
function writeBoot(code: PpcAssembler, options: PpcSoftwareOptions, vcpu: number, server: number): void {
  code.op(PpcOp.LI, SERVER, server).hypercall(H_CPPR, LOWEST_PRIORITY);
  if (vcpu === 0) for (const device of options.devices) writeUnmask(code, options, device);
  code.op(PpcOp.EE, 1);
  options.main?.(code, vcpu);
  const loop = code.here;
  if (vcpu === 0 && options.idle === "spin") code.op(PpcOp.SPIN);
  else code.hypercall(H_CEDE).branch(loop);
}

/** xics_unmask_irq: where the source goes and how urgently, then on. */
function writeUnmask(code: PpcAssembler, options: PpcSoftwareOptions, { source, vcpu = 0, priority = DEFAULT_PRIORITY }: PpcBinding): void {
  writeRtas(code, options.rtas, options.tokens.setXive, [source, options.servers[vcpu], priority], 1);
  writeRtas(code, options.rtas, options.tokens.intOn, [source], 1);
}

/** A firmware call: token, counts and inputs at `address`, then H_RTAS. */
export function writeRtas(code: PpcAssembler, address: number, token: number, inputs: readonly number[], outputs: number): void {
  [token, inputs.length, outputs, ...inputs].forEach((word, i) => code.wideOp(PpcOp.STW, address + 4 * i, word));
  code.hypercall(H_RTAS, address);
}

/** A request at another CPU's presentation controller, or at the own one. */
export function writeIpi(code: PpcAssembler, server: number): void {
  code.hypercall(H_IPI, server, IPI_PRIORITY);
}

/** Accept, serve, end: the XIRR that was accepted goes back whole, and brings the priority back with it. */
function writeHandler(code: PpcAssembler, options: PpcSoftwareOptions): void {
  const { devices, handlerNs = -1, onIpi } = options;
  code.hypercall(H_XIRR).op(PpcOp.MR, XIRR, 4).op(PpcOp.ENTER, XIRR);
  code.when(XIRR, 0, () => code.op(PpcOp.RFID));
  code.when(XIRR, XICS_IPI, () => {
    // The request is withdrawn before what it announces is looked at: one that comes between them raises it again.
    code.op(PpcOp.MR, 4, SERVER).op(PpcOp.LI, 5, NO_REQUEST).op(PpcOp.LI, 3, H_IPI).op(PpcOp.SC);
    onIpi?.(code);
  });
  for (const device of devices)
    code.when(XIRR, device.source, () => {
      for (let i = 0; i < device.accessesPerService; i++) code.wideOp(PpcOp.STWBRX, device.address, 1);
      code.wideOp(PpcOp.WORK, handlerNs);
      device.onInterrupt?.(code);
    });
  code.op(PpcOp.END, XIRR).op(PpcOp.MR, 4, XIRR).op(PpcOp.LI, 3, H_EOI).op(PpcOp.SC).op(PpcOp.RFID);
}
