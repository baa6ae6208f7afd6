const INTEL = [0x1563, 0x1572, 0x1574, 0x1580, 0x1581, 0x1583, 0x1584, 0x1585, 0x1586, 0x1587, 0x1588, 0x1589, 0x158a, 0x158b, 0x37d0, 0x37d1, 0x37d2];

/** Functions whose INTx says that it is pending when it is not, so it is hidden (vfio.md 8.1), as "pciVVVV,DDDD". */
export const NOINTX_FUNCTIONS: ReadonlySet<string> = new Set(INTEL.map((device) => `pci8086,${device.toString(16).padStart(4, "0")}`));
