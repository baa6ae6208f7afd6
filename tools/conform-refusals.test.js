import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/*
 * virq conform on machines that lack something, each by a real run: a copy of the package where anybody may read it, and
 * what is lacking taken away from the process.
 */

const root = fileURLToPath(new URL("..", import.meta.url));
/** Where no folder above has packages: Node would find koffi there. */
const base = [tmpdir(), "/var/tmp", "/dev/shm"].find((each) => !existsSync(join(each, "node_modules"))) ?? tmpdir();
const place = mkdtempSync(join(base, "virq-without-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

const modules = realpathSync(join(root, "node_modules"));
const isLinux = process.platform === "linux" && process.arch === "x64";
const hasKoffi = existsSync(join(modules, "koffi"));
const can = (...command) => isLinux && spawnSync(command[0], command.slice(1)).status === 0;
/** Namespaces of mounts need root. */
const canMount = hasKoffi && existsSync("/dev/kvm") && can("unshare", "--mount", "true");
const canBeNobody = hasKoffi && existsSync("/dev/kvm") && can("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "true");

/** A copy of the command with the packages that it needs but those named. */
function copy(name, without) {
  const to = join(place, name);
  mkdirSync(join(to, "node_modules"), { recursive: true });
  for (const part of ["bin", "package.json"]) cpSync(join(root, part), join(to, part), { recursive: true });
  cpSync(join(root, "dist/straight"), join(to, "dist/straight"), { recursive: true, filter: (path) => !/\.(test|fixture|case|soak)\.|\.map$|\.d\.ts$/.test(path) });
  const needed = ["commander", "yaml", "zod", "koffi", ...readdirSync(modules).filter((each) => each === "@koromix")];
  for (const each of needed) if (!without.includes(each) && existsSync(join(modules, each))) cpSync(realpathSync(join(modules, each)), join(to, "node_modules", each), { recursive: true, dereference: true });
  return join(to, "bin/virq.js");
}

let whole = "";
beforeAll(() => {
  chmodSync(place, 0o755);
  if (hasKoffi) whole = copy("whole", []);
}, 60_000);

function run(...command) {
  const { status, stdout, stderr } = spawnSync(command[0], command.slice(1), { encoding: "utf8" });
  return { status, out: stdout, err: stderr };
}

const RANDOM = ["conform", "--diff", "--random", "2", "--seed", "1"];

describe.skipIf(!isLinux)("virq conform against a kernel that is not there says what is missing in one sentence, status 2", () => {
  it("no koffi", () => {
    const command = copy("bare", ["koffi", "@koromix"]);
    for (const args of [RANDOM, ["conform", "--target", "kvm", vector()], ["conform", "--diff", vector()]]) {
      expect(run(process.execPath, command, ...args)).toEqual({ status: 2, out: "", err: "virq: the package koffi, which makes the system calls, is not installed; run npm install koffi\n" });
    }
  }, 60_000);

  it.skipIf(!canMount)("no device file (needs root, koffi and /dev/kvm)", () => {
    const answer = run("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh", process.execPath, whole, ...RANDOM);
    expect(answer).toEqual({ status: 2, out: "", err: "virq: /dev/kvm cannot be opened (ENOENT); it needs a machine with KVM, and root or the group kvm\n" });
  });

  it.skipIf(!canMount)("a device file that is another device (needs root, koffi and /dev/kvm)", () => {
    const answer = run("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/kvm && exec "$@"', "sh", process.execPath, whole, ...RANDOM);
    expect(answer).toEqual({ status: 2, out: "", err: "virq: /dev/kvm is not KVM (KVM_GET_API_VERSION: ENOTTY); it needs a machine with KVM, and root or the group kvm\n" });
  });

  it.skipIf(!canBeNobody)("no permission (needs root, koffi and /dev/kvm)", () => {
    const answer = run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", process.execPath, whole, ...RANDOM);
    expect(answer).toEqual({ status: 2, out: "", err: "virq: /dev/kvm cannot be opened (EACCES); it needs a machine with KVM, and root or the group kvm\n" });
  });
});

function vector() {
  const file = join(place, "one.json");
  writeFileSync(file, JSON.stringify([{ id: "one", title: "one", kind: "vm", flavour: "any", steps: [{ op: "createVm", args: {}, expect: { ret: "fd" } }] }]));
  return file;
}
