import { IcpRegister, PhysicalXics } from "../host/xics/physical-xics.js";
import { Psi } from "../host/xics/psi.js";
import { H_CPPR, H_EOI, H_IPI, H_IPOLL, H_XIRR, H_XIRR_X } from "../irqchip/xics/constants.js";
import { run, type Step } from "../sim/step.js";
import { KVM_INTERRUPT_SET, KVM_INTERRUPT_SET_LEVEL, KVM_INTERRUPT_UNSET, KVM_XICS_LEVEL_SENSITIVE_HI } from "../uapi/powerpc.js";
import { PaprMachine } from "./papr-machine.js";
import type { Difference, VectorResult } from "./runner.js";
import type { Compared, TargetName } from "./target.js";
import { describeXicsStep, PSI_FIRST, type XicsStep, type XicsVector } from "./xics-vector.js";

/** Level sources and message sources of the recorded machine, four each. */
const LSIS = 0x1200;
const MSIS = 0x1300;
const EACH = 4;
const MASKED = 0xff;

const NUMBERS = { H_XIRR, H_XIRR_X, H_CPPR, H_EOI, H_IPI, H_IPOLL } as const;
/** Outputs of each call of RTAS. */
const RTAS_OUTPUTS = { "ibm,set-xive": 1, "ibm,get-xive": 3, "ibm,int-off": 1, "ibm,int-on": 1 } as const;

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Performs steps: what each shows, null for nothing. */
interface XicsTarget {
  start(): Step<void>;
  perform(step: XicsStep): Step<unknown>;
}

/** KVM's XICS by the calls that QEMU makes, its guests by theirs. */
class PaprTarget implements XicsTarget {
  private readonly machine: PaprMachine;

  constructor(cpus: number) {
    this.machine = new PaprMachine({ servers: Array.from({ length: cpus }, (_, id) => id) });
  }

  *start(): Step<void> {
    yield* this.machine.start();
    for (let i = 0; i < EACH; i++) {
      yield* this.machine.setSource(LSIS + i, MASKED | KVM_XICS_LEVEL_SENSITIVE_HI, 0);
      yield* this.machine.setSource(MSIS + i, MASKED, 0);
    }
  }

  *perform(step: XicsStep): Step<unknown> {
    const { machine } = this;
    switch (step.op) {
      case "hcall": {
        const { status, r4, r5 } = yield* machine.hypercall(step.cpu, NUMBERS[step.name], step.args.map(Number));
        // The time stamp of H_XIRR_X is nobody's to record.
        const outputs = { H_XIRR: [r4], H_XIRR_X: [r4], H_CPPR: [], H_EOI: [], H_IPI: [], H_IPOLL: [r4, r5] }[step.name];
        return status !== 0 || outputs.length === 0 ? { rc: status } : { rc: status, ret: outputs.map(hex) };
      }
      case "rtas": {
        const outputs = yield* machine.rtas(step.name, step.args.map(Number), RTAS_OUTPUTS[step.name]);
        if (outputs === null || outputs[0] !== 0) return outputs?.slice(0, 1) ?? null;
        return [outputs[0], ...outputs.slice(1).map(hex)];
      }
      case "extint":
        return (yield* machine.externalOf(step.cpu)) ? 1 : 0;
      case "msi":
        yield* machine.line(Number(step.irq), KVM_INTERRUPT_SET);
        return null;
      case "setIrq":
        yield* machine.line(Number(step.irq), step.level === 1 ? KVM_INTERRUPT_SET_LEVEL : KVM_INTERRUPT_UNSET);
        return null;
      default:
        throw new Error(`${step.op} on pseries`);
    }
  }
}

const OFFSETS = { XIRR_POLL: IcpRegister.XIRR_POLL, XIRR: IcpRegister.XIRR, CPPR: IcpRegister.XIRR, MFRR: IcpRegister.MFRR } as const;

/** A physical XICS by its registers. */
class NativeTarget implements XicsTarget {
  private readonly xics: PhysicalXics;
  private readonly psi: Psi;

  constructor(cpus: number) {
    this.xics = new PhysicalXics(cpus);
    this.psi = new Psi(this.xics, PSI_FIRST);
  }

  *start(): Step<void> {}

  *perform(step: XicsStep): Step<unknown> {
    const { xics, psi } = this;
    switch (step.op) {
      case "icpRead":
        return hex(yield* xics.read(step.server, OFFSETS[step.reg], step.size));
      case "icpWrite":
        yield* xics.write(step.server, OFFSETS[step.reg], step.size, Number(step.value));
        return null;
      case "xivrRead":
        return yield* psi.readXivr(step.source);
      case "xivrWrite":
        yield* psi.writeXivr(step.source, step.server, step.priority);
        return null;
      case "setIrq":
        yield* psi.setLine(Number(step.irq) - PSI_FIRST, step.level === 1);
        return null;
      default:
        throw new Error(`${step.op} on powernv`);
    }
  }
}

/** What a step is held to: of KVM's XICS the kernel's answer where it is another than QEMU's. */
function expectationOf(step: XicsStep, target: TargetName): { readonly value: unknown; readonly isKvm: boolean } | null {
  if (!("expect" in step)) return null;
  const isKvm = target === "virtual" && "expectKvm" in step && step.expectKvm !== undefined;
  return { value: isKvm ? step.expectKvm : step.expect, isKvm };
}

/** In one form, whatever the order of the members. */
function shown(value: unknown): string {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return JSON.stringify(value).toLowerCase();
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))).toLowerCase();
}

/** Runs one vector on a fresh machine: KVM's XICS ("virtual") or the physical one. */
export function runXicsVector(vector: XicsVector, name: TargetName): VectorResult {
  const compared: Compared = { answers: 0, kvmAnswers: 0 };
  const target = name === "virtual" ? new PaprTarget(vector.cpus) : new NativeTarget(vector.cpus);
  const difference = run(replay(vector, target, name, compared));
  return { id: vector.id, title: vector.title, target: name, outcome: difference === null ? "passed" : "failed", reason: null, difference, compared };
}

function* replay(vector: XicsVector, target: XicsTarget, name: TargetName, compared: Compared): Step<Difference | null> {
  yield* target.start();
  for (let i = 0; i < vector.steps.length; i++) {
    const step = vector.steps[i];
    const got = yield* target.perform(step);
    const expected = expectationOf(step, name);
    if (expected === null) continue;
    compared.answers++;
    if (expected.isKvm) compared.kvmAnswers++;
    if (shown(expected.value) !== shown(got)) return { step: i, text: describeXicsStep(step), expected: shown(expected.value), got: shown(got) };
  }
  return null;
}
