/** An id that an administrator gave a PCI driver (new_id); -1 matches any. */
export interface DynamicId {
  readonly vendor: number;
  readonly device: number;
  readonly subvendor: number;
  readonly subdevice: number;
  readonly classCode: number;
  readonly classMask: number;
}

const ANY = 0xffff_ffff;

/** "8086 10d3 [subvendor subdevice class classmask]", hexadecimal; null with fewer than two fields. As far as fields are numbers. */
export function parseDynamicId(text: string): DynamicId | null {
  const fields: number[] = [];
  for (const word of text.trim().split(/\s+/)) {
    if (!/^[0-9a-f]{1,8}$/i.test(word)) break;
    fields.push(parseInt(word, 16));
  }
  if (fields.length < 2) return null;
  const [vendor, device, subvendor = ANY, subdevice = ANY, classCode = 0, classMask = 0] = fields;
  const any = (value: number): number => (value === ANY ? -1 : value);
  return { vendor: any(vendor), device: any(device), subvendor: any(subvendor), subdevice: any(subdevice), classCode, classMask };
}

export function sameId(a: DynamicId, b: DynamicId): boolean {
  const isSame = a.vendor === b.vendor && a.device === b.device && a.subvendor === b.subvendor && a.subdevice === b.subdevice;
  return isSame && a.classMask === b.classMask && (a.classCode & a.classMask) === (b.classCode & b.classMask);
}

/** As "pci8086,10d3", which drivers' tables say. */
export function compatibleOf({ vendor, device }: DynamicId): string {
  const hex4 = (value: number): string => value.toString(16).padStart(4, "0");
  return `pci${hex4(vendor)},${hex4(device)}`;
}
