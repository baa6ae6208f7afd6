import { describe, expect, it } from "vitest";
import { strip } from "./strip.js";

const straight = (code) => strip(code, "example.ts", { strict: true }).magic.toString();

describe("the straight build", () => {
  it("turns generators into functions, delegations into calls, and drops points", () => {
    const code = `class A { *lock() { yield acquires(this); while (this.held) yield* this.sim.wait(this); return 1; } }
function* f() { const x = yield* g(1); return x; }`;
    const result = straight(code);
    expect(result).not.toMatch(/yield|function\s*\*|\*\s*lock/);
    expect(result).toContain("while (this.held) this.sim.wait(this);");
    expect(result).toContain("const x = g(1);");
  });

  it("looks up the arguments of an event only while somebody listens", () => {
    const result = straight("function* f(vm) { vm.sim.emit(Ev.kvm_exit, vm.id, NAMES[vm.exit]); }");
    expect(result).toContain("if (vm.sim.tracing) vm.sim.emit(Ev.kvm_exit, vm.id, NAMES[vm.exit]);");
  });

  it.each([
    ["an argument has an effect", "sim.emit(Ev.kvm_exit, next());"],
    ["the world comes from a call", "worldOf(vm).emit(Ev.kvm_exit, vm.id);"],
    ["it is another object's", "emitter.emit(name, value);"],
  ])("leaves an emission as it is where %s", (_what, statement) => {
    expect(straight(`function f() { ${statement} }`)).toContain(`{ ${statement} }`);
  });

  it.each([
    ["a point inside an expression", "function* f() { const x = yield reads(a, 'b'); }", "statement of its own"],
    ["a point with an effect", "function* f() { yield reads(next(), 'b'); }", "pure arguments"],
    ["a yield in finally", "function* f() { try { g(); } finally { yield reads(a, 'b'); } }", "no yield in finally"],
    ["a JavaScript collection across a yield", "function* f() { for (const x of xs) { yield* g(x); } }", "across a yield"],
    ["a stray generator", "const f = function* () {};", "not a function expression"],
    ["a delegation to something that is no call", "function* f() { yield* step; }", "takes the call"],
  ])("refuses %s", (_what, code, message) => {
    expect(() => straight(code)).toThrow(message);
  });
});
