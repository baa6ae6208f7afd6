import { expect, it } from "vitest";
import * as errno from "./errno.js";

it("numbers are those of kvm-irq-core.md 0.2, host-irq.md 0 and vfio.md 0.3", () => {
  const { errnoName, EWOULDBLOCK, ...numbers } = errno;
  expect(EWOULDBLOCK).toBe(11);
  expect(errnoName(11)).toBe("EAGAIN");
  expect(numbers).toEqual({
    EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, ENOEXEC: 8, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13,
    EFAULT: 14, EBUSY: 16, EEXIST: 17, ENODEV: 19, EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ENOSPC: 28, ESPIPE: 29, EPIPE: 32,
    ERANGE: 34, ENAMETOOLONG: 36, ENOSYS: 38, ENOMSG: 42, EOVERFLOW: 75, EBADFD: 77, EMSGSIZE: 90, EOPNOTSUPP: 95,
    EADDRINUSE: 98, ECONNRESET: 104, ENOTCONN: 107, ETIMEDOUT: 110, ECONNREFUSED: 111, ENOTSUPP: 524,
  });
});

it("every number has its name, with either sign", () => {
  const { errnoName, EWOULDBLOCK: _alias, ...numbers } = errno;
  for (const [name, n] of Object.entries(numbers)) {
    expect(errnoName(n)).toBe(name);
    expect(errnoName(-n)).toBe(name);
  }
  expect(errnoName(-999)).toBe("errno 999");
});
