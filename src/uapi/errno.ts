// Linux generic numbers (kvm-irq-core.md 0.2, host-irq.md 0, vfio.md 0.3; asm-generic/errno*.h).

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const EAGAIN = 11;
export const EWOULDBLOCK = EAGAIN;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const EPIPE = 32;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ENOMSG = 42;
export const EOVERFLOW = 75;
export const EBADFD = 77;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const ECONNRESET = 104;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
/** Kernel internal; some drivers let it out. */
export const ENOTSUPP = 524;

const NAMES: readonly (readonly [number, string])[] = [
  [EPERM, "EPERM"],
  [ENOENT, "ENOENT"],
  [ESRCH, "ESRCH"],
  [EINTR, "EINTR"],
  [EIO, "EIO"],
  [ENXIO, "ENXIO"],
  [E2BIG, "E2BIG"],
  [ENOEXEC, "ENOEXEC"],
  [EBADF, "EBADF"],
  [EAGAIN, "EAGAIN"],
  [ENOMEM, "ENOMEM"],
  [EACCES, "EACCES"],
  [EFAULT, "EFAULT"],
  [EBUSY, "EBUSY"],
  [EEXIST, "EEXIST"],
  [ENODEV, "ENODEV"],
  [EINVAL, "EINVAL"],
  [ENFILE, "ENFILE"],
  [EMFILE, "EMFILE"],
  [ENOTTY, "ENOTTY"],
  [ENOSPC, "ENOSPC"],
  [ESPIPE, "ESPIPE"],
  [EPIPE, "EPIPE"],
  [ERANGE, "ERANGE"],
  [ENAMETOOLONG, "ENAMETOOLONG"],
  [ENOSYS, "ENOSYS"],
  [ENOMSG, "ENOMSG"],
  [EOVERFLOW, "EOVERFLOW"],
  [EBADFD, "EBADFD"],
  [EMSGSIZE, "EMSGSIZE"],
  [EOPNOTSUPP, "EOPNOTSUPP"],
  [EADDRINUSE, "EADDRINUSE"],
  [ECONNRESET, "ECONNRESET"],
  [ENOTCONN, "ENOTCONN"],
  [ETIMEDOUT, "ETIMEDOUT"],
  [ECONNREFUSED, "ECONNREFUSED"],
  [ENOTSUPP, "ENOTSUPP"],
];
const BY_NUMBER = new Map(NAMES);

/** "EINVAL" for 22 and for -22; "errno 999" for a number without a name here. EAGAIN stands for EWOULDBLOCK too. */
export function errnoName(n: number): string {
  const number = Math.abs(n);
  return BY_NUMBER.get(number) ?? `errno ${number}`;
}
