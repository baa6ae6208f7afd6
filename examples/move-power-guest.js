// A guest on POWER moves to a fresh VM with a message in flight: node examples/move-power-guest.js
import { DeviceNodes, KvmNode, moveGuest, PhysicalXics, Ppc, PPC_GUEST, PpcModule, PpcSoftware, PpcVmm, Sim, TraceBuffer, XicsHost } from "virq";

const SERVERS = [0, 8]; // interrupt server numbers of its vCPUs
const SOURCE = 0x1300; // a message source, which vCPU 1 takes

export function movedOnce() {
  const trace = new TraceBuffer();
  const sim = new Sim({ cpus: 4, trace });
  const host = new XicsHost(sim, new PhysicalXics(4));
  const nodes = new DeviceNodes();
  nodes.register("/dev/kvm", new KvmNode(new PpcModule(host), new Ppc(4)));
  const devices = [{ source: SOURCE, vcpu: 1, address: PPC_GUEST.devices, accessesPerService: 0 }];
  const software = new PpcSoftware({ servers: SERVERS, tokens: PPC_GUEST.tokens, rtas: PPC_GUEST.rtas, devices, idle: "cede" });
  const vmm = PpcVmm.start(host, nodes, { mainCpu: 1, vcpuCpus: [2, 3], servers: SERVERS, sources: [{ irq: SOURCE, isLsi: false }], software });
  vmm.run();
  sim.settle(); // the guest has set its source up, and sleeps

  const taken = () => trace.events.filter(({ name }) => name === "guest_ack").map(({ args }) => args);
  vmm.setLine(SOURCE, true); // a message, and before anybody runs again
  const before = taken().length;
  const result = moveGuest(vmm, [1, 0]); // the fresh VM makes vCPU 1 first; an errno would leave the guest where it is
  sim.settle();
  return { result, before, after: taken() };
}

console.log(movedOnce());
