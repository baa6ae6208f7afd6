// Prints the most resident memory, in bytes, of a process that makes a million executions and nothing else.
import { loadProtocol } from "./protocol.js";

const { setUp } = await import(new URL("../dist/stepped/explore/search.js", import.meta.url).href);
const { coordinator } = setUp(loadProtocol("signal-by-message"), { strategy: "random", executions: 1_000_000 });
let most = 0;
coordinator.runAll(({ executions }) => {
  most = Math.max(most, process.memoryUsage.rss());
  return executions < 1_000_000;
});
console.log(most);
