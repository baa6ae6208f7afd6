/** Vectors of a Linux host (arch/x86/include/asm/irq_vectors.h): devices' from FIRST_EXTERNAL up to FIRST_SYSTEM. */
export const enum HostVector {
  FIRST_EXTERNAL = 0x20,
  /** The system call gate of 32-bit programs; no device gets it. */
  INT80 = 0x80,
  FIRST_SYSTEM = 0xec,
  POSTED_INTR_WAKEUP = 0xf1,
  POSTED_INTR = 0xf2,
  CALL_FUNCTION_SINGLE = 0xfb,
  RESCHEDULE = 0xfd,
  SPURIOUS = 0xff,
}
