// What PAPR has for DMA windows and messages: numbers that guests and hypervisors share.

/** Hypercalls that read and write entries of a DMA window (translation control entries): one, a range of one value, a list. */
export const H_GET_TCE = 0x1c;
export const H_PUT_TCE = 0x20;
export const H_STUFF_TCE = 0x138;
export const H_PUT_TCE_INDIRECT = 0x13c;
/** An entry: a real address with what a device may do there; without either it leads nowhere. */
export const TCE_READ = 1;
export const TCE_WRITE = 2;
export const TCE_PAGE_SHIFT = 12;
export const TCE_PAGE = 1 << TCE_PAGE_SHIFT;
export const TCE_BYTES = 8;
/** Entries of one H_PUT_TCE_INDIRECT: a page of them. */
export const TCE_LIST = TCE_PAGE / TCE_BYTES;

/** Functions of ibm,change-msi: messages of whatever kind, MSI, MSI-X. */
export const CHANGE_FN = 1;
export const CHANGE_MSI_FN = 3;
export const CHANGE_MSIX_FN = 4;
/** Kinds of messages that it answers. */
export const MSI_TYPE = 1;
export const MSIX_TYPE = 2;
/** The first of the sequence numbers by which a call that takes several goes on. */
export const FIRST_SEQUENCE = 1;
/** Arguments of ibm,change-msi and ibm,query-interrupt-source-number. */
export const CHANGE_MSI_INPUTS = 6;
export const QUERY_SOURCE_INPUTS = 4;
export const QUERY_SOURCE_OUTPUTS = 3;

/** A PCI function as PAPR's calls name it: the unit of its host bridge (BUID) in halves, and bus and devfn in their place of a configuration address. */
export interface PaprFunction {
  readonly buid: readonly [hi: number, lo: number];
  readonly configAddress: number;
}
