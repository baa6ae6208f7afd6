// Numbers of the interface (xics.md 1).

/** Sources in one block, an ICS. */
export const SOURCES_PER_BLOCK = 1024;
export const BLOCK_SHIFT = 10;
export const INDEX_MASK = 0x3ff;
export const BLOCKS = 1024;
export const FIRST_IRQ = 16;
export const LAST_IRQ = 0xf_ffff;
/** The inter-processor interrupt: no source stands behind it. */
export const XICS_IPI = 2;
/** Is this XISR a source's number? 1, too, can be one: RTAS and a restored word ask for no more than its block (xics.md 9.2, 12.2). */
export const isSource = (xisr: number): boolean => xisr > 0 && xisr !== XICS_IPI;
/** The priority that is never delivered. */
export const MASKED = 0xff;

// P and Q of a source.
export const PQ_PRESENTED = 1;
export const PQ_QUEUED = 2;

// Hypercalls.
export const H_EOI = 0x64;
export const H_CPPR = 0x68;
export const H_IPI = 0x6c;
export const H_IPOLL = 0x70;
export const H_XIRR = 0x74;
export const H_XIRR_X = 0x2fc;

export const H_SUCCESS = 0;
export const H_HARDWARE = -1;
export const H_PARAMETER = -4;
/** Of the real-mode half: finish it outside. No guest ever sees it. */
export const H_TOO_HARD = 9999;
