import { BETWEEN_PORT, DONE_PORT, type Routine, TAKEN_PORT } from "./x86/command-loop.js";

/*
 * The guest of a vector: real mode, one megabyte, flat data segments. Each action is a routine of its own, and user space
 * points RIP at the one that it wants. A routine ends in two writes to ports that nobody in the kernel answers: BETWEEN,
 * after the action, then a no-op, then DONE. A handler tells its vector by a write to TAKEN, then a no-op and DONE: it stays
 * there until the action `iret`, which restores the interrupted routine's registers and goes on with it.
 */

const HANDLERS = 0x1000;
const HANDLER_BYTES = 16;
/** Where a handler that was entered before the action began returns to. */
export const IDLE = 0x2ff0;
const ROUTINES = 0x3000;
const ROUTINE_BYTES = 16;
const FIRST_STACK_TOP = 0xf000;
const STACK_BYTES = 0x1000;
const LAST_STACK_TOP = 0x7000;
export const MEMORY_BYTES = 1 << 20;
/** Above, memory is free; below lie code and stacks. */
export const FREE_MEMORY = FIRST_STACK_TOP + STACK_BYTES;

/** Where the stack of a VM's n-th guest begins; from the tenth on they share. */
export const stackTop = (guest: number): number => Math.max(FIRST_STACK_TOP - guest * STACK_BYTES, LAST_STACK_TOP);

const OUT_IMM8_AL = 0xe6;
const NOP = 0x90;
const MOV_AL = 0xb0;
const PUSHAD = [0x66, 0x60];
const POPAD = [0x66, 0x61];
/** Bytes that PUSHAD puts between SP and the return address. */
export const SAVED_BYTES = 32;

const BETWEEN = [OUT_IMM8_AL, BETWEEN_PORT];
const NOOP_AND_DONE = [NOP, OUT_IMM8_AL, DONE_PORT];

/** The instruction of each action; operands: EBX address, DX port, EAX value, ECX MSR. 0x67 is a 32-bit address, 0x66 a 32-bit operand. */
const INSTRUCTION: Readonly<Record<Routine, readonly number[]>> = {
  nop: [NOP],
  sti: [0xfb],
  cli: [0xfa],
  iret: [...POPAD, 0xcf],
  hlt: [0xf4],
  stiHlt: [0xfb, 0xf4],
  ud2: [0x0f, 0x0b],
  cpuid: [0x0f, 0xa2],
  mmioRead8: [0x67, 0x8a, 0x03],
  mmioRead16: [0x67, 0x8b, 0x03],
  mmioRead32: [0x67, 0x66, 0x8b, 0x03],
  mmioWrite8: [0x67, 0x88, 0x03],
  mmioWrite16: [0x67, 0x89, 0x03],
  mmioWrite32: [0x67, 0x66, 0x89, 0x03],
  in8: [0xec],
  in16: [0xed],
  in32: [0x66, 0xed],
  out8: [0xee],
  out16: [0xef],
  out32: [0x66, 0xef],
  rdmsr: [0x0f, 0x32],
  wrmsr: [0x0f, 0x30],
};
const ACTIONS = Object.keys(INSTRUCTION) as Routine[];

/** Actions that may fault (#UD, #GP): the fault's return address is the instruction itself, of this many bytes. */
export const FAULTING_BYTES = 2;
export const FAULTS: ReadonlySet<number> = new Set([6, 13]);

/** Where a routine begins. A no-op comes first, so that an interrupt before the action and a fault of it return elsewhere. */
export const routineOf = (action: Routine): number => ROUTINES + ACTIONS.indexOf(action) * ROUTINE_BYTES;
export const faultingAddress = (action: Routine): number => routineOf(action) + 1;

/** Writes vectors, handlers and routines into a guest's first bytes, which are zero. */
export function writeGuestCode(memory: Uint8Array): void {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
  for (let vector = 0; vector < 256; vector++) {
    const at = HANDLERS + vector * HANDLER_BYTES;
    view.setUint16(vector * 4, at, true);
    memory.set([...PUSHAD, MOV_AL, vector, OUT_IMM8_AL, TAKEN_PORT, ...NOOP_AND_DONE], at);
  }
  memory.set(NOOP_AND_DONE, IDLE);
  for (const action of ACTIONS) memory.set([NOP, ...INSTRUCTION[action], ...BETWEEN, ...NOOP_AND_DONE], routineOf(action));
}
