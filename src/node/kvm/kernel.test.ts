import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { PersonError } from "../../sim/person-error.js";
import { MEMORY_BYTES, routineOf, writeGuestCode } from "../../conform/guest-code.js";
import { RunningKernel } from "./kernel-system.js";
import { Syscalls } from "./syscalls.js";

describe("the running kernel", () => {
  it("without koffi is refused in one sentence with the remedy", async () => {
    const refusal = await Syscalls.load("koffi-that-is-not-there").catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(PersonError);
    expect(String(refusal)).toMatch(/koffi.*is not installed; run npm install koffi$|x86-64 Linux/);
  });

  it("with a koffi that does not load is refused in one sentence that says so", async () => {
    const folder = mkdtempSync(join(tmpdir(), "virq-koffi-"));
    const broken = join(folder, "index.mjs");
    writeFileSync(broken, 'throw new Error("invalid ELF header\\n  at somewhere")');
    const refusal = await Syscalls.load(pathToFileURL(broken).href).catch((error: unknown) => error);
    const without = await Syscalls.load(pathToFileURL(join(folder, "importer.mjs")).href).catch((error: unknown) => error);
    rmSync(folder, { recursive: true });
    expect(refusal).toBeInstanceOf(PersonError);
    expect(String(refusal)).toMatch(/is installed and cannot be loaded \(invalid ELF header\); run npm rebuild koffi.*machine$|x86-64 Linux/);
    expect(without).toBeInstanceOf(PersonError);
  });

  it("without a usable /dev/kvm is refused in one sentence with the remedy", async () => {
    const hasKoffi = await Syscalls.load().then(
      () => true,
      () => false,
    );
    const refusal = await RunningKernel.open("/dev/kvm-that-is-not-there").catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(PersonError);
    if (hasKoffi) expect(String(refusal)).toMatch(/kvm-that-is-not-there cannot be opened \(ENOENT\); it needs a machine with KVM, and root or the group kvm$/);
  });
});

describe("the guest's code", () => {
  it("every vector has its handler, every action its routine, and none runs into the next", () => {
    const memory = new Uint8Array(MEMORY_BYTES);
    writeGuestCode(memory);
    const view = new DataView(memory.buffer);
    for (let vector = 0; vector < 256; vector++) {
      const handler = view.getUint16(vector * 4, true);
      expect([...memory.subarray(handler, handler + 6)]).toEqual([0x66, 0x60, 0xb0, vector, 0xe6, 0xe1]);
      expect([view.getUint16(vector * 4 + 2, true), memory[handler + 9]]).toEqual([0, 0]);
    }
    // no-op, instruction, out BETWEEN, no-op, out DONE
    expect([...memory.subarray(routineOf("mmioWrite32"), routineOf("mmioWrite32") + 11)]).toEqual([0x90, 0x67, 0x66, 0x89, 0x03, 0xe6, 0xe2, 0x90, 0xe6, 0xe3, 0]);
    expect([...memory.subarray(routineOf("iret"), routineOf("iret") + 4)]).toEqual([0x90, 0x66, 0x61, 0xcf]);
  });
});
