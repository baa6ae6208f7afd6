import type { BackendRequest } from "../delivery/backends/compare.js";
import { BACKENDS } from "../delivery/backends/result.js";
import { PersonError } from "../sim/person-error.js";
import { boardRequest, type RunOptions } from "./run-options.js";

/** A board with all that the backends are for, where the person names none: wired devices, and a function with pin and message. */
const DEFAULT_BOARD = "overdrive";
const DEFAULT_FUNCTION = { bdf: "01:00.0", vendor: 0x8086, device: 0x10d3, intxPin: 1, msiVectors: 1, under: "00:02.1" } as const;

/** `compare --backend`: what to run. @throws PersonError for a backend that there is not, and options that are about mechanisms */
export function backendRequest(file: string | undefined, options: RunOptions, names: readonly string[]): BackendRequest {
  if (options.mechanism !== undefined) throw new PersonError("--backend takes the mechanism that fits each interrupt: leave --mechanism away");
  if (options.irq !== undefined) throw new PersonError("--backend shows one interrupt of each kind: leave --irq away");
  const backends = names.map((name, i) => {
    const known = BACKENDS.find((each) => each === name);
    if (known === undefined) throw new PersonError(`no backend ${name}: name some of ${BACKENDS.join(", ")}`);
    if (names.indexOf(name) < i) throw new PersonError(`--backend ${name} is named twice: name each once`);
    return known;
  });
  const isDefault = file === undefined && options.board === undefined;
  const asked = isDefault ? { ...options, board: DEFAULT_BOARD, pci: [DEFAULT_FUNCTION, ...(options.pci ?? [])] } : options;
  return { ...boardRequest(file, asked), backends };
}
