import type { Board, Controller, Device, Interrupt, Iommu } from "./board.js";

/** What judging many devices of one board looks up again and again. */
export class BoardIndex {
  readonly controllers = new Map<string, Controller>();
  readonly iommus = new Map<string, Iommu>();
  readonly devices = new Map<string, Device>();
  /** The enabled devices on each line, two at most: enough to name another. */
  readonly lines = new Map<string, Device[]>();
  /** Paths of the functions on each PCI bus. */
  readonly buses = new Map<string, string[]>();

  private constructor(board: Board) {
    for (const controller of board.controllers) this.controllers.set(controller.path, controller);
    for (const iommu of board.iommus) this.iommus.set(iommu.path, iommu);
    for (const device of board.devices) this.enter(device);
  }

  static of(board: Board): BoardIndex {
    const index = indexes.get(board) ?? new BoardIndex(board);
    indexes.set(board, index);
    return index;
  }

  private enter(device: Device): void {
    this.devices.set(device.path, device);
    if (device.enabled) for (const interrupt of device.interrupts) this.enlist(device, interrupt);
    if (device.pci === null) return;
    const key = busKey(device.pci);
    this.buses.set(key, [...(this.buses.get(key) ?? []), device.path]);
  }

  private enlist(device: Device, interrupt: Interrupt): void {
    if (interrupt.intid === null) return;
    const key = lineKey(interrupt);
    const users = this.lines.get(key);
    if (!users) this.lines.set(key, [device]);
    else if (users.length < 2 && users[0] !== device) users.push(device);
  }
}

const indexes = new WeakMap<Board, BoardIndex>();

export const lineKey = (interrupt: Interrupt): string => `${interrupt.intid} ${interrupt.controller}`;
export const busKey = ({ host, requesterId }: { readonly host: string; readonly requesterId: number }): string => `${host} ${requesterId >> 8}`;
