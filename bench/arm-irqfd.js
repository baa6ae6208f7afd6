// An irqfd of an arm64 VM from the signal of its eventfd to the guest's EOI and the fold of its list register, without the
// kick, the guest's own exits and its program: what x86-irqfd.js measures of an x86 VM. Every cycle looks whether its
// interrupt came, ended and, by level, was sampled again.
import { itsScene } from "./its.js";
import { AT_HAND, path } from "./measure.js";

const from = (name) => import(new URL(`../dist/straight/${name}.js`, import.meta.url).href);
const [{ ArmMachine }, K, { run }] = await Promise.all(["explore/stages/arm-machine", "uapi/kvm", "sim/step"].map(from));

const INTID = 40;
const GSI = INTID - 32;
const MESSAGE_GSI = 100;
const TRANSLATER = 0x0809_0040;
const FIRST_LPI = 8192;
const GROUP1_OPEN = (0xf8 << 24) | 2;
const GICD_ISENABLER1 = 0x104;

/** The vCPU's list registers are loaded, its group is on; the result serves one interrupt. */
function server({ armIrqchip }, expected) {
  const { dist } = armIrqchip;
  dist.enabled = true;
  run(armIrqchip.load(0, 0));
  const { vif } = dist.cpus[0];
  vif.vmcr = GROUP1_OPEN;
  return () => {
    run(armIrqchip.flush(0));
    const intid = run(vif.acknowledge(1));
    if (intid !== expected) throw new Error(`the guest takes ${intid}`);
    run(vif.endOfInterrupt(1, intid));
    run(armIrqchip.sync(0));
  };
}

/** An SPI of a VM of one vCPU, enabled; nobody traces. */
function spi(config) {
  const m = new ArmMachine();
  m.sim.traceTo(null);
  const fd = m.a3();
  const vm = m.vm(fd);
  m.configure(fd, INTID, config);
  run(m.vgic(fd).dist.frames.distributor.mmioWrite(vm.vcpus[0], GICD_ISENABLER1, 4, 1 << (INTID - 32), 0));
  return { m, fd, serve: server(vm, INTID) };
}

/** A message to an LPI, whose translation the ITS's cache knows or does not. */
function lpiCycle({ isCached }) {
  const { m, fd, vm, dist } = itsScene({});
  const trigger = m.eventfd();
  m.route(fd, [{ gsi: MESSAGE_GSI, type: K.KVM_IRQ_ROUTING_MSI, flags: K.KVM_MSI_VALID_DEVID, words: [TRANSLATER, 0, 0, 0] }]);
  m.irqfd(fd, trigger, MESSAGE_GSI);
  const raised = m.context(trigger);
  const serve = server(vm, FIRST_LPI);
  const [{ cache }] = dist.itses;
  const uncached = () => {
    run(cache.invalidate());
    run(raised.signal());
    run(m.sim.settle()); // the translation takes its_lock, so the work item makes it
    serve();
  };
  uncached();
  return !isCached
    ? uncached
    : () => {
        run(raised.signal());
        serve();
      };
}

/** An edge SPI. */
function edgeCycle() {
  const { m, fd, serve } = spi("edge");
  const trigger = m.eventfd();
  m.irqfd(fd, trigger, GSI);
  const raised = m.context(trigger);
  return () => {
    run(raised.signal());
    serve();
  };
}

/** A level SPI: the end lowers the line and signals the resamplefd. */
function levelCycle() {
  const { m, fd, serve } = spi("level");
  const [trigger, resample] = [m.eventfd(), m.eventfd()];
  m.irqfd(fd, trigger, GSI, K.KVM_IRQFD_FLAG_RESAMPLE, resample);
  const [raised, told] = [m.context(trigger), m.context(resample)];
  const irq = m.irq(fd, INTID);
  return () => {
    const { signals } = told;
    run(raised.signal());
    serve();
    if (told.signals !== signals + 1 || irq.lineLevel) throw new Error("the level cycle does not come round");
  };
}

/** @type {import("./measure.js").Scenes} */
export const scenes = {
  level: (note) => path(note, "level cycle with resample, vGICv3, eventfd to resamplefd", levelCycle(), { budget: 500, remark: AT_HAND }),
  edge: (note) => path(note, "edge by irqfd, vGICv3, eventfd to EOI", edgeCycle(), { budget: 250, remark: AT_HAND }),
  lpi: (note) => path(note, "MSI to an LPI by irqfd, eventfd to EOI", lpiCycle({ isCached: true }), { budget: 250, remark: AT_HAND }),
  uncached: (note) => path(note, "  translation not remembered", lpiCycle({ isCached: false }), { budget: 600, remark: AT_HAND }),
};
