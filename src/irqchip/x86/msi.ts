import type { ApicMessage, DeliveryMode } from "./contract.js";
import { Shorthand } from "./contract.js";

// Message signalled interrupts (x86-irqchip.md 6.1). Address bits 31:20 and the extended destination 11:5 mean nothing
// to the kernel.

const LOGICAL = 1 << 2;
const REDIRECTION_HINT = 1 << 3;
const LEVEL = 1 << 15;

/** Is the high half of the address allowed? Its low byte must be zero where it carries destination bits. */
export function isValidMsi(addressHi: number, use32BitIds: boolean): boolean {
  return !use32BitIds || (addressHi & 0xff) === 0;
}

/** Fills `message`; halves and data as int32. */
export function decodeMsi(message: ApicMessage, addressHi: number, addressLo: number, data: number, use32BitIds: boolean): void {
  const low = (addressLo >>> 12) & 0xff;
  message.destination = use32BitIds ? ((addressHi & 0xffffff00) | low) >>> 0 : low;
  message.isLogical = (addressLo & LOGICAL) !== 0;
  message.hasRedirectionHint = (addressLo & REDIRECTION_HINT) !== 0;
  message.vector = data & 0xff;
  message.mode = ((data >> 8) & 7) as DeliveryMode;
  message.isLevel = (data & LEVEL) !== 0;
  message.isAsserted = true;
  message.shorthand = Shorthand.NONE;
}
