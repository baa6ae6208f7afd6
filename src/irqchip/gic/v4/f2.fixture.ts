import { DirectMachine, type DirectOptions } from "../../../explore/stages/direct-machine.js";

/** Fixture F2 of gic.md D5, its trace empty. The device's event is 0 of device 0x100 on the host, 7 of device 2 in the guest. */
export function f2(options: DirectOptions = {}): DirectMachine {
  const machine = new DirectMachine(options);
  machine.trace.clear();
  return machine;
}
