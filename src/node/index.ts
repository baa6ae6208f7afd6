export * from "../index.js";
export { loadBoard } from "./load-board.js";
export { RunningKernel } from "./kvm/kernel-system.js";
export { type ProtocolSource, searchInParallel } from "./explore/parallel.js";
export { loadProtocol } from "./explore/protocol-source.js";
