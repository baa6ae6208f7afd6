import { parse } from "acorn";
import MagicString from "magic-string";
import { describe, expect, it } from "vitest";
import { declaredConstants, writeConstants } from "./constants.js";

const constants = new Map([["sim/numbers.js", { SIX: "6", MINUS: "-1", Ev: { ack: 4 } }]]);

function written(code) {
  const magic = new MagicString(code);
  writeConstants(parse(code, { ecmaVersion: "latest", sourceType: "module" }), magic, "kvm/a.js", constants);
  return magic.toString().split("\n").slice(1).join("\n");
}

const IMPORT = 'import { SIX, MINUS as LESS, Ev, other } from "../sim/numbers.js";\n';

describe("the straight build's constants", () => {
  it("stand where they were named", () => {
    expect(written(`${IMPORT}f(SIX, -LESS, Ev.ack, other, o.SIX);`)).toBe("f(6, -(-1), 4, other, o.SIX);");
  });

  it("leave a name that the module declares anew, and a shorthand property", () => {
    expect(written(`${IMPORT}function f(SIX) { return SIX; }`)).toBe("function f(SIX) { return SIX; }");
    expect(written(`${IMPORT}f({ LESS });`)).toBe("f({ LESS });");
  });

  it("stand in their own module too, and so do the members of enums", () => {
    const code = `export const SIX = 6;
export var Bit;
(function (Bit) {
    Bit[Bit["LOW"] = 1] = "LOW";
    Bit[Bit["NONE"] = -1] = "NONE";
})(Bit || (Bit = {}));
`;
    const magic = new MagicString(`${code}f(SIX, Bit.LOW, Bit.NONE, Bit.NEW, Bit[x]);`);
    writeConstants(parse(magic.original, { ecmaVersion: "latest", sourceType: "module" }), magic, "kvm/a.js", new Map([["kvm/a.js", declaredConstants(code)]]));
    expect(magic.toString()).toBe(`${code}f(6, 1, (-1), Bit.NEW, Bit[x]);`);
  });
});
