// What the explorer's benchmarks run besides the built-in protocols; workers load it by its name.
const from = (name) => import(new URL(`../dist/stepped/${name}.js`, import.meta.url).href);
const { PROTOCOLS } = await from("explore/protocols/index");
const { CoreStage } = await from("explore/stages/core-stage");
const { Raise } = await from("explore/stages/threads");
const { KVM_IRQ_ROUTING_MSI } = await from("uapi/kvm");

const GSI = 5;

/** One signal of an eventfd whose irqfd sends a message: twelve accesses through the real callback. */
const signalByMessage = {
  name: "signal-by-message",
  title: "A device signals an irqfd whose route is a message.",
  source: "kvm-irq-core.md 2.4",
  program(hazards) {
    const stage = new CoreStage(hazards);
    stage.setRoutes([{ gsi: GSI, type: KVM_IRQ_ROUTING_MSI, words: [1, 0, 1] }]);
    const fd = stage.eventfd();
    stage.assign(fd, GSI);
    return { sim: stage.sim, contexts: [new Raise(stage.driver(fd))], check: () => null };
  },
};

export function loadProtocol(name) {
  return name === signalByMessage.name ? signalByMessage : PROTOCOLS.find((protocol) => protocol.name === name);
}
