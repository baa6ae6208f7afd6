// `npm run bench`: nanoseconds of this machine's CPU time per interrupt on each delivery path, medians over several
// runs, side by side in one process; garbage collections; scaling; the command line's own time. Prints a table, or
// --json. Measures, never asserts: a budget beside a figure is for the reader.
import { execFileSync } from "node:child_process";
import { loadavg } from "node:os";
import { performance, PerformanceObserver } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import * as arm from "./arm-irqfd.js";
import { directCycle } from "./direct.js";
import { exploreFigures } from "./explore.js";
import { commandRounds, lpiCycle, memoryOfAll, messageCycle as lpiMessage, saveAndRestore } from "./its.js";
import { multicast, postedCycle } from "./local-apics.js";
import { kernelFigures, modelFigures } from "./kernel.js";
import { library, pcScene, scene } from "./scene.js";
import { levelCycle, messageCycle } from "./x86-irqfd.js";
import * as xics from "./xics.js";
import { vfioFigures } from "./vfio.js";

const RUNS = 7;
const CYCLES = 200_000;
const MILLIONS = 10;
/** Enough for a collection where an interrupt allocates 8 bytes. */
const PC_MILLIONS = 2;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/**
 * Median nanoseconds of CPU time per call over RUNS runs, warmed up by more calls than one run has. What was built for it is
 * old by then, as in any process that has run for a while: stores into young objects pay a write barrier.
 */
function perCall(call, calls = CYCLES) {
  for (let i = 0; i < 2; i++) globalThis.gc();
  for (let i = 0; i < 1.5 * calls; i++) call();
  const runs = [];
  for (let r = 0; r < RUNS; r++) {
    const begin = process.cpuUsage();
    for (let i = 0; i < calls; i++) call();
    const { user, system } = process.cpuUsage(begin);
    runs.push(((user + system) * 1000) / calls);
  }
  return Math.round(median(runs));
}

/** What a row has between an eventfd and the guest's EOI besides KVM's own code. */
const WHOLE_GUEST = "with the kick, the exit and entry of the vCPU thread, and the guest's program";
const AT_HAND = "list registers loaded and folded; no kick, exit or guest program, as in the rows of the IOAPIC";

const tenth = (value) => Math.round(value * 10) / 10;
const rows = [];
/**
 * @param {string} [kernel] what a real kernel's KVM needs for the same
 * @param {string} [remark]
 */
function note(what, value, unit, budget, kernel, remark) {
  rows.push({ what, value, unit, budget, kernel, remark });
  if (process.argv.includes("--json")) return;
  const beside = [budget === undefined ? [] : `budget ${budget}`, kernel === undefined ? [] : `a kernel ${kernel}`, remark ?? []].flat().join("; ");
  console.log(`${what.padEnd(58)} ${String(value).padStart(7)} ${unit.padEnd(3)} ${beside}`.trimEnd());
}

/** Garbage collections while `call` runs `calls` times; what came before is collected first. */
async function collections(call, calls) {
  for (let i = 0; i < 2; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  let count = 0;
  const observer = new PerformanceObserver((list) => (count += list.getEntries().length));
  observer.observe({ entryTypes: ["gc"] });
  for (let i = 0; i < calls; i++) call();
  await new Promise((resolve) => setTimeout(resolve, 50));
  observer.disconnect();
  return count;
}

/** The command line, from start to end: seconds of CPU time would hide its start-up, so these are seconds of the clock. */
function commandSeconds(...args) {
  const seconds = [];
  for (let i = 0; i < 3; i++) {
    const begin = performance.now();
    execFileSync(process.execPath, [fileURLToPath(new URL("../bin/virq.js", import.meta.url)), ...args], { stdio: "ignore" });
    seconds.push((performance.now() - begin) / 1000);
  }
  return Math.round(median(seconds) * 100) / 100;
}

/** An ITS with every LPI that there is, 224 events on each of 256 devices, beside one of one event. */
async function itsFigures() {
  for (const [what, isCached, budget, make, remark] of [
    ["MSI to an LPI by irqfd, to the guest's EOI", true, 250, lpiCycle, WHOLE_GUEST],
    ["  translation not remembered", false, 600, lpiCycle, WHOLE_GUEST],
    ["MSI to an LPI by irqfd, eventfd to EOI", true, 250, arm.lpiCycle, AT_HAND],
    ["  translation not remembered", false, 600, arm.lpiCycle, AT_HAND],
  ]) {
    const cycle = make({ isCached });
    note(what, perCall(cycle), "ns", budget, undefined, remark);
    note(`  collections in ${MILLIONS} million`, await collections(cycle, MILLIONS * 1e6), "", 1);
  }
  const small = perCall(lpiMessage({}));
  note("MSI to an LPI, message to EOI, 1 vCPU and 1 event", small, "ns");
  note("  512 vCPUs, 57,344 events in turn", perCall(lpiMessage({ vcpus: 512, devices: 256, events: 224 })), "ns", Math.round(1.5 * small));
  const { round, commands } = commandRounds();
  note("ITS commands, 57,344 events mapped, of each", Math.round(perCall(round, 300) / commands), "ns", 500);
  const { save, restore } = saveAndRestore();
  note("ITS tables of 57,344 events and pending tables, save", tenth(save), "ms", 60);
  note("  restore", tenth(restore), "ms", 60);
  const { perEvent, perLpi } = memoryOfAll();
  note("memory for each mapped event, its translation remembered", tenth(perEvent), "B", 64);
  note("  for each LPI", tenth(perLpi), "B", 16);
}

const straight = await library("straight");
const LEVEL = { board: "virt", trigger: "level-high", mechanism: "irqfd+resample" };
const FORWARD = { board: "virt", trigger: "level-high", mechanism: "forward" };
const EDGE = { board: "virt", trigger: "edge-rising", mechanism: "irqfd" };
const PATHS = [
  ["level cycle with resample, vGICv3", LEVEL, 500, "8000-15000 ns"],
  ["level, forwarded, vGICv3", FORWARD, 350],
  ["edge by irqfd, vGICv3", EDGE, 250, "600 ns (eventfd to an MSI route), 450 ns (KVM_SIGNAL_MSI)"],
  ["level cycle with resample, vGICv2", { ...LEVEL, board: "overdrive" }],
  ["level, forwarded, vGICv2", { ...FORWARD, board: "overdrive" }],
  ["edge by irqfd, vGICv2", { ...EDGE, board: "overdrive" }],
];
for (const [what, options, budget, kernel] of PATHS) {
  const { cycle } = scene(straight, options);
  note(what, perCall(cycle), "ns", budget, kernel);
  if (budget !== undefined) note(`  collections in ${MILLIONS} million`, await collections(cycle, MILLIONS * 1e6), "", 1);
}
for (const [what, cycle] of [
  ["level cycle with resample, vGICv3, eventfd to resamplefd", arm.levelCycle()],
  ["edge by irqfd, vGICv3, eventfd to EOI", arm.edgeCycle()],
]) {
  note(what, perCall(cycle), "ns", undefined, undefined, AT_HAND);
  note(`  collections in ${MILLIONS} million`, await collections(cycle, MILLIONS * 1e6), "", 1);
}
const small = perCall(scene(straight, LEVEL).cycle);
const large = perCall(scene(straight, { ...LEVEL, vcpus: 512, spis: 928 }).cycle);
note("level cycle, 1 vCPU and 1 interrupt", small, "ns");
note("level cycle, 512 vCPUs, 928 interrupts in turn", large, "ns", 2 * small);
await itsFigures();
note("level cycle, stepped", perCall(scene(await library("stepped"), LEVEL).cycle, 4000), "ns", 20_000);
const COMPARE = ["compare", "--board", "overdrive", "--device", "/smb/xgmac@e0700000", "--irq", "0,1", "--interrupts", "100000"];
note("virq compare, overdrive, 5 mechanisms of 100,000", commandSeconds(...COMPARE), "s", 3);
note("virq compare, pc, 5 mechanisms of 100,000", commandSeconds("compare", "--board", "pc", "--interrupts", "100000"), "s");
note("virq compare, pc, as it is", commandSeconds("compare", "--board", "pc"), "s");
note("  of it, the start of virq", commandSeconds("--version"), "s");
for (const [what, cycle, budget, kernel] of [
  ["level cycle with resample, IOAPIC", levelCycle(20), 400, "8000-15000 ns"],
  ["level cycle with resample, IOAPIC and PIC", levelCycle(11), 400, "8000-15000 ns"],
  ["message by irqfd, to the EOI", messageCycle(), 150],
  ["message posted by its remapping entry, to the EOI", postedCycle(), 100],
]) {
  note(what, perCall(cycle), "ns", budget, kernel);
  note(`  collections in ${MILLIONS} million`, await collections(cycle, MILLIONS * 1e6), "", 1);
}
for (const row of await vfioFigures()) note(...row);
const direct = directCycle();
note("message injected directly into a resident vPE, to the EOI", perCall(direct), "ns", 120);
note(`  collections in ${MILLIONS} million`, await collections(direct, MILLIONS * 1e6), "", 1);
const manyDirect = perCall(directCycle({ cpus: 256, events: 222 * 256, perDevice: 256 }));
note("  of 56,832 events in turn, 256 on each of 222 devices; 256 vPEs", manyDirect, "ns", undefined, undefined, "every LPI but those of the doorbells");
/** Targets that stay as the machine grows, and that grow in a machine that stays: the cost goes with the targets alone. */
const MULTICASTS = [
  ...[2, 8, 64, 255].map((cpus) => ({ cpus, x2apic: false, targets: 2 })),
  ...[2, 64, 1024].map((cpus) => ({ cpus, x2apic: true, targets: 2 })),
  ...[1, 4, 7].map((targets) => ({ cpus: 255, x2apic: false, targets })),
  ...[1, 4, 16].map((targets) => ({ cpus: 1024, x2apic: true, targets })),
];
for (const scale of MULTICASTS) {
  const { cpus, x2apic, targets } = scale;
  const ns = perCall(multicast(scale).some);
  note(`message to ${targets} of ${cpus} ${x2apic ? "x2APICs" : "xAPICs"} by logical id`, ns, "ns", undefined, undefined, `${tenth(ns / targets)} ns each`);
}
for (const scale of [...[8, 64, 255].map((cpus) => ({ cpus, x2apic: false, targets: 1 })), { cpus: 1024, x2apic: true, targets: 1 }])
  note(`broadcast to ${scale.cpus} ${scale.x2apic ? "x2APICs" : "xAPICs"}, for each`, tenth(perCall(multicast(scale).all, 4000) / scale.cpus), "ns");
for (const [what, options, budget, remark] of [
  ["message, irqfd, whole PC", { mechanism: "irqfd", irq: 1 }, 1],
  ["message, posted, whole PC", { mechanism: "posted", irq: 1 }, 1],
  ["message, user space, whole PC", { mechanism: "userspace", irq: 1 }, 1],
  ["pin, level cycle with resample, whole PC", { mechanism: "irqfd+resample", irq: 0 }, 1],
  ["pin, split irqchip, whole PC", { mechanism: "split", irq: 0 }, 1],
  ["pin, user space, whole PC", { mechanism: "userspace", irq: 0 }, undefined, "the VMM unmaps and maps the registers: a new table of memory slots each time"],
]) {
  const { cycle } = pcScene(straight, options);
  note(what, perCall(cycle, 50_000), "ns");
  note(`  collections in ${PC_MILLIONS} million`, await collections(cycle, PC_MILLIONS * 1e6), "", budget, undefined, remark);
}
for (const [what, cycle, budget] of [
  ["message by irqfd, to H_EOI, XICS", xics.messageCycle(), 200],
  ["level cycle with resample, two presentations, XICS", xics.levelCycle(), 350],
  ["IPI round, XICS", xics.ipiCycle(), 150],
]) {
  note(what, perCall(cycle), "ns", budget);
  note(`  collections in ${MILLIONS} million`, await collections(cycle, MILLIONS * 1e6), "", 1);
}
const few = perCall(xics.messageCycle(1));
note("message by irqfd, 1 server", few, "ns");
for (const servers of [256, 1024]) note(`message by irqfd, ${servers} servers in turn`, perCall(xics.messageCycle(servers)), "ns", Math.round(1.5 * few));
note("scan of 1,023 blocks, one of them flagged, and its interrupt", perCall(xics.scanCycle()), "ns");
const every = xics.everySource(() => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
});
note("SET_SOURCES of all 1,048,560", Math.round(every.set), "ms", 120);
note("GET_SOURCES of all 1,048,560", Math.round(every.get), "ms", 80);
note("  of each source, memory", tenth(every.bytes), "B", 24);
const modelled = modelFigures();
const kernel = await kernelFigures();
/** What, the figure, and the system calls in it: each costs the kernel's side an FFI call. */
const SIDE_BY_SIDE = [
  ["KVM_SIGNAL_MSI", "signalMsi", 1],
  ["KVM_IRQ_LINE", "irqLine", 1],
  ["write of an eventfd, irqfd to an MSI route", "eventfdMsi", 1],
  ["level cycle with resample, IOAPIC: eventfd to resamplefd", "resample", 3],
  ["KVM_SET_GSI_ROUTING with 4,096 entries", "routing", 1],
];
/** "350 ns, 3.5 times virq's; 152 ns and 1.5 times net of the FFI", which takes the system call's own entry away too. */
function besideModel(figure, calls) {
  const times = (ns) => `${Math.round((10 * ns) / modelled[figure]) / 10} times`;
  const net = Math.round(kernel[figure] - calls * kernel.ffi);
  return `here ${kernel[figure]} ns, ${times(kernel[figure])} virq's; net of the FFI ${net} ns, ${times(net)}`;
}
for (const [what, figure, calls] of SIDE_BY_SIDE)
  note(`${what}, x86`, modelled[figure], "ns", undefined, typeof kernel === "string" ? undefined : besideModel(figure, calls));
if (typeof kernel === "string") note(`beside the running kernel: no, ${kernel}`, 0, "");
else note("  of each system call in the kernel's figures, FFI and entry", kernel.ffi, "ns");
await exploreFigures(note);
note("load of the machine", Math.round(loadavg()[0] * 10) / 10, "");
if (process.argv.includes("--json")) console.log(JSON.stringify(rows, null, 2));
