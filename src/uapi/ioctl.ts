// Request encoding of the generic architectures: direction[31:30] size[29:16] type[15:8] number[7:0]
// (kvm-irq-core.md 0.3; include/uapi/asm-generic/ioctl.h). PowerPC has another encoding; virq uses this one on every board.

const WRITE = 1;
const READ = 2;

function encode(direction: number, type: number, nr: number, size: number): number {
  if ((type & 0xff) !== type || (nr & 0xff) !== nr || (size & 0x3fff) !== size) {
    throw new RangeError(`ioctl ${type}, ${nr}, ${size}: a part does not fit`);
  }
  return ((direction << 30) | (size << 16) | (type << 8) | nr) >>> 0;
}

export const _IO = (type: number, nr: number): number => encode(0, type, nr, 0);
export const _IOW = (type: number, nr: number, size: number): number => encode(WRITE, type, nr, size);
export const _IOR = (type: number, nr: number, size: number): number => encode(READ, type, nr, size);
export const _IOWR = (type: number, nr: number, size: number): number => encode(READ | WRITE, type, nr, size);

/** The type byte of a request: 0xAE for KVM, 0x3B for VFIO. */
export const _IOC_TYPE = (request: number): number => (request >>> 8) & 0xff;
export const _IOC_NR = (request: number): number => request & 0xff;
export const _IOC_SIZE = (request: number): number => (request >>> 16) & 0x3fff;
