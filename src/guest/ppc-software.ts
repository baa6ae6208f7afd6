import { H_CPPR, H_EOI, H_IPI, H_XIRR, XICS_IPI } from "../irqchip/xics/constants.js";
import { EXTERNAL_VECTOR } from "../kvm/powerpc/guest.js";
import { H_CEDE } from "../kvm/powerpc/hypercall.js";
import { PpcDriverGuest } from "./ppc-driver-guest.js";
import { type PpcFunctionDriver, type PpcService, writeDmaSetup, writeMessageHandlers, writeProbe } from "./ppc-function-driver.js";
import { PpcAssembler, PpcOp } from "./ppc-op.js";
import { type PpcTokens, writeUnmask } from "./ppc-rtas.js";

/** An interrupt that the guest's driver serves. */
export interface PpcBinding extends PpcService {
  /** Number of its source. */
  readonly source: number;
}

/** What the guest's kernel and drivers do. */
export interface PpcSoftwareOptions {
  /** Interrupt server numbers, by index of the vCPU. */
  readonly servers: readonly number[];
  readonly tokens: PpcTokens;
  /** Guest real address of the arguments of firmware calls. */
  readonly rtas: number;
  readonly devices: readonly PpcBinding[];
  /** Functions whose drivers set up DMA and messages themselves. */
  readonly functions?: readonly PpcFunctionDriver[];
  /** What vCPU 0 does between interrupts; the others cede. */
  readonly idle: "spin" | "cede";
  /** The handler's own work, nanoseconds; by default the profile's. */
  readonly handlerNs?: number;
  /** Written between set-up and idling, for the vCPU with this index; r3 to r5 and r13 to r20 are the handler's. */
  readonly main?: (code: PpcAssembler, vcpu: number) => void;
  /** Written into the handler of an inter-processor interrupt, behind the withdrawal of the request. */
  readonly onIpi?: (code: PpcAssembler) => void;
}

/** What Linux gives its inter-processor interrupt. */
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
  if (vcpu === 0) {
    for (const { source, ...service } of options.devices) writeUnmask(code, options, source, service);
    for (const { dma } of options.functions ?? []) if (dma !== null) writeDmaSetup(code, dma);
  }
  code.op(PpcOp.EE, 1);
  if (vcpu === 0) for (const driver of options.functions ?? []) writeProbe(code, options, driver);
  options.main?.(code, vcpu);
  const loop = code.here;
  if (vcpu === 0 && options.idle === "spin") code.op(PpcOp.SPIN);
  else code.hypercall(H_CEDE).branch(loop);
}

/** A request at another CPU's presentation controller, or at the own one. */
export function writeIpi(code: PpcAssembler, server: number): void {
  code.hypercall(H_IPI, server, IPI_PRIORITY);
}

/** Accept, serve, end: the XIRR that was accepted goes back whole, and brings the priority back with it. */
function writeHandler(code: PpcAssembler, options: PpcSoftwareOptions): void {
  const { devices, functions = [], handlerNs = -1, onIpi } = options;
  code.hypercall(H_XIRR).op(PpcOp.MR, XIRR, 4).op(PpcOp.ENTER, XIRR);
  code.when(XIRR, 0, () => code.op(PpcOp.RFID));
  code.when(XIRR, XICS_IPI, () => {
    // The request is withdrawn before what it announces is looked at: one that comes between them raises it again.
    code.op(PpcOp.MR, 4, SERVER).op(PpcOp.LI, 5, NO_REQUEST).op(PpcOp.LI, 3, H_IPI).op(PpcOp.SC);
    onIpi?.(code);
  });
  for (const { source, ...service } of devices) code.when(XIRR, source, () => writeService(code, service, handlerNs));
  for (const driver of functions) writeMessageHandlers(code, driver, XIRR, (service) => writeService(code, service, handlerNs));
  code.op(PpcOp.END, XIRR).op(PpcOp.MR, 4, XIRR).op(PpcOp.LI, 3, H_EOI).op(PpcOp.SC).op(PpcOp.RFID);
}

function writeService(code: PpcAssembler, { accessesPerService, address, onInterrupt }: PpcService, handlerNs: number): void {
  for (let i = 0; i < accessesPerService; i++) code.wideOp(PpcOp.STWBRX, address, 1);
  code.wideOp(PpcOp.WORK, handlerNs);
  onInterrupt?.(code);
}
