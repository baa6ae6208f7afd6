/** Functions with faults that an untrusted user could put to use: Intel's QuickAssist of three generations, and the DSA and IAX of another (vfio.md 2.3). */
export const DENIED_FUNCTIONS: ReadonlySet<string> = new Set([
  "pci8086,19e2",
  "pci8086,19e3",
  "pci8086,37c8",
  "pci8086,37c9",
  "pci8086,0435",
  "pci8086,0443",
  "pci8086,0b25",
  "pci8086,0cfe",
]);
