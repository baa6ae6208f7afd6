/** An id that an administrator gave a PCI driver (new_id); -1 matches any. */
export interface DynamicId {
  readonly vendor: number;
  readonly device: number;
  readonly subvendor: number;
  readonly subdevice: number;
  readonly classCode: number;
  readonly classMask: number;
}

/** One as it was written to the file. */
export interface WrittenId extends DynamicId {
  readonly driverData: number;
  /** All seven fields were given. */
  readonly hasAllFields: boolean;
}

const ANY = 0xffff_ffff;
const FIELDS = 7;

/** "8086 10d3 [subvendor subdevice class classmask driver_data]", hexadecimal; null with fewer than two fields. As far as fields are numbers. */
export function parseDynamicId(text: string): WrittenId | null {
  const fields: number[] = [];
  for (const word of text.trim().split(/\s+/)) {
    if (fields.length === FIELDS || !/^(0x)?[0-9a-f]{1,16}$/i.test(word)) break;
    fields.push(parseInt(word, 16));
  }
  if (fields.length < 2) return null;
  const [vendor, device, subvendor = ANY, subdevice = ANY, classCode = 0, classMask = 0, driverData = 0] = fields;
  const any = (value: number): number => (value === ANY ? -1 : value);
  const id = { vendor: any(vendor), device: any(device), subvendor: any(subvendor), subdevice: any(subdevice), classCode, classMask };
  return { ...id, driverData, hasAllFields: fields.length === FIELDS };
}

/** Does whatever has the second id match the first? */
export function coversId(known: DynamicId, id: DynamicId): boolean {
  const fits = (wanted: number, given: number): boolean => wanted < 0 || wanted === given;
  if (((known.classCode ^ id.classCode) & known.classMask) !== 0) return false;
  return fits(known.vendor, id.vendor) && fits(known.device, id.device) && fits(known.subvendor, id.subvendor) && fits(known.subdevice, id.subdevice);
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
