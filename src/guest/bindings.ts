/** A device that the guest's driver serves: the register whose access makes the device lower its line. */
export interface DeviceBinding {
  readonly intid: number;
  /** Guest physical address of the register. */
  readonly address: number;
  readonly isWrite: boolean;
  /** What is written. */
  readonly value: number;
  /** Bytes: 1, 2 or 4. */
  readonly size: number;
  /** The register that is loaded. */
  readonly register: number;
  /** Accesses of one service, all to this register. */
  readonly accessesPerService: number;
}

/** A binding with what is usual: one 4-byte write of 1. */
export function binding(intid: number, address: number, options: Partial<DeviceBinding> = {}): DeviceBinding {
  return { intid, address, isWrite: true, value: 1, size: 4, register: 12, accessesPerService: 1, ...options };
}

const INTIDS = 65536;

/** The driver's table of interrupts: which device an INTID belongs to. */
export class Bindings {
  /** Handler runs by binding. */
  readonly handled: Int32Array;
  private readonly byIntid = new Int16Array(INTIDS).fill(-1);

  constructor(private readonly devices: readonly DeviceBinding[]) {
    this.handled = new Int32Array(devices.length);
    for (let i = 0; i < devices.length; i++) this.byIntid[devices[i].intid] = i;
  }

  /** The binding's number, -1 without one. */
  find(intid: number): number {
    return this.byIntid[intid & (INTIDS - 1)];
  }

  device(binding: number): DeviceBinding {
    return this.devices[binding];
  }
}
