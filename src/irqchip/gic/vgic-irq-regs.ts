import type { Step } from "../../sim/step.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { VgicConfig, type VgicIrq } from "./vgic-irq.js";
import * as state from "./vgic-state.js";

/** What an array of registers holds for each of its interrupts. */
export const enum IrqField {
  NONE,
  GROUP,
  SET_ENABLE,
  CLEAR_ENABLE,
  SET_PENDING,
  CLEAR_PENDING,
  SET_ACTIVE,
  CLEAR_ACTIVE,
  PRIORITY,
  CONFIG,
  TARGETS,
  SET_SOURCES,
  CLEAR_SOURCES,
}

/** Row of a register frame to the field it holds. */
export function fieldsOf(rows: readonly (readonly [row: number, field: IrqField])[]): Int8Array {
  const fields = new Int8Array(64);
  for (const [row, field] of rows) fields[row] = field;
  return fields;
}

const isActiveField = (field: IrqField): boolean => field === IrqField.SET_ACTIVE || field === IrqField.CLEAR_ACTIVE;

/**
 * Reads `count` interrupts of `bits` each, from `intid` on; `cpu` is whose private interrupts are meant. A guest that
 * looks at active state has every vCPU folded first (gic-v3.md A7.3).
 */
export function* readIrqs(dist: VgicDist, cpu: VgicCpu, field: IrqField, intid: number, count: number, bits: number, isUser: boolean): Step<number> {
  const isHalting = !isUser && isActiveField(field);
  if (isHalting) yield* state.beginActiveAccess(dist, intid);
  let value = 0;
  for (let i = 0; i < count; i++) {
    const irq = dist.irq(cpu, intid + i);
    if (irq === null) continue;
    const part = yield* readIrq(dist, irq, field, isUser);
    value |= part << (i * bits);
  }
  if (isHalting) yield* state.endActiveAccess(dist, intid);
  return value;
}

function* readIrq(dist: VgicDist, irq: VgicIrq, field: IrqField, isUser: boolean): Step<number> {
  switch (field) {
    case IrqField.GROUP:
      return yield* state.readGroup(irq);
    case IrqField.SET_ENABLE:
    case IrqField.CLEAR_ENABLE: {
      const isEnabled = yield* state.readEnabled(irq);
      return isEnabled ? 1 : 0;
    }
    case IrqField.SET_PENDING:
    case IrqField.CLEAR_PENDING: {
      if (isUser && dist.model === 3 && field === IrqField.CLEAR_PENDING) return 0;
      const isPending = yield* state.readPending(dist, irq, isUser);
      return isPending ? 1 : 0;
    }
    case IrqField.SET_ACTIVE:
    case IrqField.CLEAR_ACTIVE: {
      const isActive = yield* state.readActive(irq);
      return isActive ? 1 : 0;
    }
    case IrqField.PRIORITY:
      return yield* state.readPriority(irq);
    case IrqField.CONFIG: {
      const config = yield* state.readConfig(irq);
      return config === VgicConfig.EDGE ? 2 : 0;
    }
    case IrqField.TARGETS:
      return yield* state.readTargets(irq);
    case IrqField.SET_SOURCES:
    case IrqField.CLEAR_SOURCES:
      return yield* state.readSources(irq);
    default:
      return 0;
  }
}

/** The write; `requester` is the vCPU that does it, null for user space. */
export function* writeIrqs(
  dist: VgicDist,
  cpu: VgicCpu,
  field: IrqField,
  intid: number,
  count: number,
  bits: number,
  value: number,
  requester: VgicCpu | null,
): Step<void> {
  const isHalting = requester !== null && isActiveField(field);
  if (isHalting) yield* state.beginActiveAccess(dist, intid);
  const mask = (1 << bits) - 1;
  for (let i = 0; i < count; i++) {
    const irq = dist.irq(cpu, intid + i);
    if (irq !== null) yield* writeIrq(dist, irq, field, (value >>> (i * bits)) & mask, requester);
  }
  if (isHalting) yield* state.endActiveAccess(dist, intid);
}

function* writeIrq(dist: VgicDist, irq: VgicIrq, field: IrqField, part: number, requester: VgicCpu | null): Step<void> {
  switch (field) {
    case IrqField.GROUP:
      return yield* state.writeGroup(dist, irq, part === 1 ? 1 : 0);
    case IrqField.PRIORITY:
      return yield* state.writePriority(dist, irq, part);
    case IrqField.CONFIG:
      return yield* state.writeConfig(irq, (part & 2) === 0 ? VgicConfig.LEVEL : VgicConfig.EDGE);
    case IrqField.TARGETS:
      return yield* state.writeTargets(dist, irq, part);
    case IrqField.SET_PENDING:
      if (requester === null && dist.model === 3) yield* state.assignPending(dist, irq, part === 1);
      else if (part === 1) yield* state.setPending(dist, irq, requester === null);
      return;
    default:
      if (part !== 0) yield* applyOnes(dist, irq, field, part, requester);
  }
}

/** Registers where a one acts and a zero does nothing. */
function* applyOnes(dist: VgicDist, irq: VgicIrq, field: IrqField, part: number, requester: VgicCpu | null): Step<void> {
  const isUser = requester === null;
  switch (field) {
    case IrqField.SET_ENABLE:
      return yield* state.setEnabled(dist, irq, isUser);
    case IrqField.CLEAR_ENABLE:
      return yield* state.clearEnabled(dist, irq);
    case IrqField.CLEAR_PENDING:
      if (!isUser || dist.model === 2) yield* state.clearPending(dist, irq, isUser);
      return;
    case IrqField.SET_ACTIVE:
      return yield* state.setActive(dist, irq, requester);
    case IrqField.CLEAR_ACTIVE:
      return yield* state.clearActive(dist, irq, requester);
    case IrqField.SET_SOURCES:
      return yield* state.setSources(dist, irq, part);
    case IrqField.CLEAR_SOURCES:
      return yield* state.clearSources(irq, part);
    default:
  }
}
